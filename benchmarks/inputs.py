"""What the benchmarks work on: the free body, its spaces, and synthetic samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from chorus.body.loading import load_body
from chorus.body.model import star_body
from chorus.geometry.cameras import intrinsics, look_at
from chorus.geometry.masks import encode
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.mask_bits import of_counts
from chorus.occupancy.presets import preset
from chorus.occupancy.regions import Part, parts
from chorus.occupancy.views import Views
from chorus.settings import usable_cores

SIDE, PIXELS, POOL = 3.0, 512, 1024


@dataclass(frozen=True)
class Setting:
    """What all rows share: where the body is, the device, and whether to be quick."""

    imports: str = "imports"
    device: str = "cpu"
    quick: bool = False
    threads: int = usable_cores()

    @cached_property
    def body(self):
        """The free body, built at first use."""
        return load_body(imports=self.imports)

    @cached_property
    def star(self):
        """The body in the canonical pose."""
        return star_body(self.body)

    def grid(self, resolution: int) -> VoxelGrid:
        """A grid of the usual side."""
        return VoxelGrid(resolution, SIDE)

    @property
    def compared(self) -> int:
        """Resolution at which slow references are run."""
        return 24 if self.quick else 48

    def space(self, name: str, resolution: int = 48, hidden: bool = False):
        """The canonical space of a preset as `chorus aggregate` makes it, or with hidden voxels."""
        settings = replace(preset(name), resolution=resolution, hidden=hidden)
        clusters = (Part("all"), *parts(settings.parts))
        cache = Path(self.imports) / "cache"
        return canonical_space(self.body, settings, cache, clusters, self.threads)


@dataclass(frozen=True, eq=False)
class Samples:
    """Synthetic samples: poses, cameras all around and elliptic objects as compressed counts."""

    pose: np.ndarray
    R: np.ndarray
    t: np.ndarray
    K: np.ndarray
    counts: list[bytes]

    @classmethod
    def random(cls, number: int, seed: int = 0) -> Samples:
        """Bodies within the picture, seen from 2.5 to 4 m, with an object near the person."""
        rng = np.random.default_rng(seed)
        pose = rng.normal(0, 0.3, (number, 24, 3)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi, number)
        eye = np.stack([np.sin(angle), rng.uniform(-0.1, 0.3, number), np.cos(angle)], axis=1)
        eye = torch.tensor(eye * rng.uniform(2.5, 4, (number, 1)), dtype=torch.float32)
        R, t = look_at(eye, torch.zeros(3).expand(number, 3))
        K = intrinsics(torch.full((number,), 1.17), PIXELS, PIXELS)
        rows, columns = np.ogrid[:PIXELS, :PIXELS]
        counts = []
        for _ in range(number):
            y, x = rng.uniform(150, 360, 2)
            a, b = rng.uniform(40, 140, 2)
            counts.append(encode(((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1))
        return cls(pose, R.numpy(), t.numpy(), K.float().numpy(), counts)

    def views(self, number: int) -> Views:
        """The first samples as aggregation takes them, from their compressed masks."""
        masks = [of_counts([one], PIXELS, PIXELS) for one in self.counts[:number]]
        return Views.of(
            self.pose[:number], self.R[:number], self.t[:number], self.K[:number], masks
        )
