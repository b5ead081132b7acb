"""The synthetic world: procedural scenes with known truth instead of a text-to-image model."""
