"""Names of samples and shards, and the seed that belongs to each sample (method.md 0)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

GLOBAL_SEED = 42
TOTAL = "total-aggregation"  # method.md 0: the pseudo-prompt of results over all prompts


class ShardKey(NamedTuple):
    """One table of samples: all images of one augprompt of one prompt, by one image model."""

    model: str
    category: str
    prompt: str
    augprompt: str

    def __str__(self) -> str:
        return f"{self.category} / {self.prompt} / {self.augprompt}"


class SampleKey(NamedTuple):
    """One generated image: its shard and its number there (six digits on disk)."""

    model: str
    category: str
    prompt: str
    augprompt: str
    index: int

    @property
    def shard(self) -> ShardKey:
        """The table that holds this sample."""
        return ShardKey(*self[:4])

    def __str__(self) -> str:
        return f"{self.shard} / {self.index:06d}"


def sample_seed(key: SampleKey, purpose: str = "", global_seed: int = GLOBAL_SEED) -> int:
    """Seed of a sample, 0 <= seed < 2**63, from the global seed, its names and its index.

    The image model's key is left out, so the same noise can be compared across models. `purpose`
    separates independent draws for one sample ("image", "segmentation", ...).
    """
    text = "\0".join(
        [str(global_seed), key.category, key.prompt, key.augprompt, str(key.index), purpose]
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
