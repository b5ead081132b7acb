"""The synthetic world: procedural scenes with known truth, standing in for a text-to-image model."""
