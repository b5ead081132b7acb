"""Per-azimuth-bin counts of one cluster: what aggregation adds up (method.md 8).

Counts are whole numbers, so those of shards, prompts and machines add up exactly in any order, and
the views are weighted only at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32, UInt64

from chorus.errors import BadInput, unknown_name
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import Weighting

BINS = 12
"""Azimuth bins of 30 degrees."""
PROBES = 8
"""Points of each voxel that a posed mesh is asked at: two along each axis."""
_FIRST_BIN = np.eye(BINS)[0]


@dataclass(frozen=True, eq=False)
class BinCounts:
    """Counts of one cluster (a set of prompts and one body part) over one grid."""

    grid: VoxelGrid
    """Where the voxels are."""
    image: UInt32[np.ndarray, "12 N N N"]
    """How many of the cluster's samples of each azimuth bin have the voxel inside the image."""
    mask: UInt32[np.ndarray, "12 N N N"]
    """In how many of those it is inside the object's mask."""
    samples: Int[np.ndarray, 12]
    """Samples per bin of the whole aggregation, in or out of this cluster: they set the weights."""
    members: Int[np.ndarray, 12]
    """Samples per bin that joined this cluster."""
    hidden: UInt32[np.ndarray, "12 N N N"] | None = None
    """In how many of `image` it is outside the mask and behind the person's body, so that nobody
    could have seen whether the object is there; None if that was not counted."""
    once: Int[np.ndarray, "2 12"] | None = None
    """`samples` and `members` with every sample counted once, whatever its level; None where there
    are no levels, or where it is not known."""
    filled: UInt32[np.ndarray, "N N N"] | None = None
    """How many of the voxel's `PROBES` lie inside the object, over all posed meshes of the cluster
    together; None where meshes are not counted."""
    meshes: Int[np.ndarray, 2] | None = None
    """Posed meshes of the whole aggregation, and those that joined this cluster; None likewise."""

    @classmethod
    def empty(
        cls, grid: VoxelGrid, hidden: bool = False, levels: bool = False, meshes: bool = False
    ) -> BinCounts:
        """Counts of no sample, with or without those of hidden voxels and of posed meshes; levels:
        whether samples will have some, so that they are also counted once."""
        image, mask, behind = (np.zeros((BINS, *grid.shape), np.uint32) for _ in range(3))
        samples, members = np.zeros((2, BINS), np.int64)
        once = np.zeros((2, BINS), np.int64) if levels else None
        lifted = (np.zeros(grid.shape, np.uint32), np.zeros(2, np.int64)) if meshes else ()
        behind = behind if hidden else None
        return cls(grid, image, mask, samples, members, behind, once, *lifted)

    @property
    def count(self) -> int:
        """How many samples of the whole aggregation were counted, each once: masks and meshes."""
        masks = self.samples if self.once is None else self.once[0]
        return int(masks.sum()) + (0 if self.meshes is None else int(self.meshes[0]))

    def __add__(self, other: BinCounts) -> BinCounts:
        """Both together; BadInput if they lie on different grids or one lacks hidden voxels."""
        self._check_fits(other)
        return BinCounts(
            self.grid,
            **{name: getattr(self, name) + getattr(other, name) for name in self._shared(other)},
        )

    def merge(self, other: BinCounts) -> BinCounts:
        """Add the other's counts to these in place and return these; BadInput as for +."""
        self._check_fits(other)
        names = self._shared(other)
        for name in names:
            np.add(getattr(self, name), getattr(other, name), out=getattr(self, name))
        return self if "once" in names or self.once is None else replace(self, once=None)

    def _shared(self, other: BinCounts) -> tuple[str, ...]:
        """The arrays that are in both."""
        names = ("image", "mask", "samples", "members", "hidden", "once", "filled", "meshes")
        return tuple(
            name
            for name in names
            if getattr(self, name) is not None and getattr(other, name) is not None
        )

    def probability(
        self, weighting: Weighting = "azimuth-uniform-fine"
    ) -> Float[np.ndarray, "N N N"]:
        """(N, N, N) float32: weighted mask count over weighted image count, 0 where never seen.

        Weights (method.md 8): `total-uniform`, all samples alike; `azimuth-uniform-fine`, a sample
        counts 1 / (samples in its bin of 30 degrees); `azimuth-uniform`, 1 / (samples in its
        pair of opposite 60 degree sectors, of which the first begin at 0 and 180 degrees).
        Bins without samples weigh nothing. Posed meshes count as views of all bins (`observed`).
        """
        mask, image = self.observed()
        samples = self.samples if self.samples.any() or self.meshes is None else _FIRST_BIN
        weights = bin_weights(samples, weighting)
        # einsum converts in passing, without a float64 copy of all the counts.
        image = np.einsum("b,bxyz->xyz", weights, image)
        mask = np.einsum("b,bxyz->xyz", weights, mask)
        return np.divide(mask, image, out=np.zeros_like(image), where=image > 0).astype(np.float32)

    def observed(
        self,
    ) -> tuple[Float[np.ndarray, "12 N N N"], Float[np.ndarray, "12 N N N"]]:
        """Hits and visits of both kinds of evidence together, per bin; those of the masks as they
        are where there are no meshes.

        A posed mesh visits every voxel, and hits it with the share that lies inside. It looks from
        nowhere, so it counts as one more sample that is spread over the bins as the samples of
        masks are; without any of these it is in the first bin.
        """
        if self.meshes is None or not self.meshes[1]:
            return self.mask, self.image
        total = self.samples.sum()
        spread = self.samples / total if total else _FIRST_BIN
        spread = spread.astype(np.float32)[:, None, None, None]
        share = self.filled.astype(np.float32) / PROBES
        visits = self.image + spread * np.float32(self.meshes[1])
        return self.mask + spread * share, visits

    def seen(self) -> Float[np.ndarray, "N N N"]:
        """(N, N, N) uint32: how many of the cluster's images have the voxel inside, and how many
        posed meshes it has, which tell of every voxel."""
        seen = self.image.sum(axis=0, dtype=np.uint32)
        return seen if self.meshes is None else seen + np.uint32(self.meshes[1])

    def arrays(self) -> dict[str, np.ndarray]:
        """The counts as arrays for a file, in the smallest whole-number types that hold them."""
        arrays = {
            "image_count": _compact(self.image),
            "mask_count": _compact(self.mask),
            "samples": self.samples,
            "members": self.members,
        }
        if self.hidden is not None:
            arrays["hidden_count"] = _compact(self.hidden)
        if self.meshes is not None:
            arrays |= {"filled_count": _compact(self.filled), "meshes": self.meshes}
        return arrays if self.once is None else arrays | {"once": self.once}

    @classmethod
    def from_arrays(
        cls, grid: VoxelGrid, arrays: dict[str, np.ndarray], where: object
    ) -> BinCounts:
        """The counts that `arrays` wrote; BadInput, naming `where`, if they are anything else."""
        shapes = {
            "image_count": (BINS, *grid.shape),
            "mask_count": (BINS, *grid.shape),
            "samples": (BINS,),
            "members": (BINS,),
        }
        hidden = "hidden_count" in arrays
        if hidden:
            shapes["hidden_count"] = shapes["image_count"]
        if "once" in arrays:
            shapes["once"] = (2, BINS)
        lifted = "filled_count" in arrays or "meshes" in arrays
        if lifted:
            shapes |= {"filled_count": grid.shape, "meshes": (2,)}
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None or array.shape != shape or array.dtype.kind not in "iu":
                raise BadInput(
                    f"{where}: expected whole numbers of shape {shape} as {name!r}, found "
                    f"{'nothing' if array is None else f'{array.dtype} {array.shape}'}; "
                    "aggregate again."
                )
        return cls(
            grid,
            arrays["image_count"].astype(np.uint32),
            arrays["mask_count"].astype(np.uint32),
            arrays["samples"].astype(np.int64),
            arrays["members"].astype(np.int64),
            arrays["hidden_count"].astype(np.uint32) if hidden else None,
            arrays["once"].astype(np.int64) if "once" in arrays else None,
            arrays["filled_count"].astype(np.uint32) if lifted else None,
            arrays["meshes"].astype(np.int64) if lifted else None,
        )

    def _check_fits(self, other: BinCounts) -> None:
        if self.grid != other.grid:
            raise BadInput(
                f"counts over different grids cannot be added: {self.grid} and {other.grid}; "
                "aggregate all samples with the same resolution and side."
            )
        if (self.hidden is None) != (other.hidden is None):
            raise BadInput(
                "counts with and without hidden voxels cannot be added; aggregate all samples with "
                "the same setting `hidden`."
            )
        if (self.meshes is None) != (other.meshes is None):
            raise BadInput(
                "counts with and without posed meshes cannot be added; aggregate all prompts with "
                "the same --evidence."
            )


def bin_weights(samples: Int[np.ndarray, 12], weighting: Weighting) -> Float[np.ndarray, 12]:
    """(12,) float64: what one sample of each azimuth bin counts, 0 for a bin without samples."""
    if weighting == "total-uniform":
        together = np.ones(BINS)
    elif weighting == "azimuth-uniform-fine":
        together = np.asarray(samples, np.float64)
    elif weighting == "azimuth-uniform":
        pair = np.arange(BINS) // 2 % 3
        together = np.bincount(pair, weights=samples, minlength=3)[pair]
    else:
        raise unknown_name("weighting", weighting, get_args(Weighting))
    return np.divide(1.0, together, out=np.zeros(BINS), where=together > 0)


def target_words(
    members: Bool[np.ndarray, "clusters B"],
    bins: Int[np.ndarray, " B"],
    bits: UInt64[np.ndarray, " B"],
    levels: Int[np.ndarray, " B"],
) -> tuple[Int[np.ndarray, " T"], UInt64[np.ndarray, " T"]]:
    """Which rows of counts a batch adds to, and the images that each row counts.

    rows (T,): a cluster's number times 12 plus an azimuth bin; words (T,): the `bits` of the images
    of that cluster and bin together. An image of level n is in n words of its row. Rows without
    images are left out.
    """
    rows, words = [], []
    for cluster, mine in enumerate(members):
        for azimuth in np.unique(bins[mine]):
            here = mine & (bins == azimuth)
            for level in range(1, levels[here].max() + 1):
                rows.append(cluster * BINS + azimuth)
                words.append(np.bitwise_or.reduce(bits[here & (levels >= level)]))
    return np.array(rows, np.int64), np.array(words, np.uint64)


def grid_of(metadata: dict, where: object) -> VoxelGrid:
    """The grid that a file's metadata names; BadInput, naming the file, if it names none."""
    try:
        return VoxelGrid(metadata["resolution"], metadata["side"])
    except (KeyError, TypeError) as problem:
        raise BadInput(f"{where}: its metadata names no grid; make the file again.") from problem


def _compact(counts: np.ndarray) -> np.ndarray:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
