"""PAP, projective average precision: how well a posed distribution foretells objects.

See method.md 12.

A test image shows one person, whose pose and camera are known, and one object, whose mask is. The
distribution is posed like the person and projected once; the largest probability that lands in each
cell of a small pixel grid is kept, and that one map answers every threshold.

Versions (a figure means nothing without its version):
- `pap/v1`, the paper's. Pixels and voxels round toward zero and points behind the camera count, as
  in the published code. The curve is not closed: recall still alive at the last threshold earns
  nothing, so a perfect field of value 1 scores 0.
- `pap/v2`. Points are floored and must lie in front of the camera; the curve is closed at recall 0,
  so a perfect field of value 1 scores 1 in every variant.
- `pap/v2-relative`. As `pap/v2`, of the field divided by its highest value. The thresholds are the
  same for every field, 0.01 to 0.99, so `pap/v2` compares a field whose values are small, as honest
  probabilities of a small object are, at a few thresholds only; this compares how fields rank
  voxels.

Variants: `strict` gives nothing for a drop of recall to a threshold that predicts nothing; `hoa`
(human-occlusion-aware) leaves out cells that a vertex of the posed body lands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from chorus.errors import BadInput
from chorus.evaluation.curves import Curve, area, precision_recall
from chorus.evaluation.labelled_images import LabelledImage, check_field
from chorus.evaluation.pap_settings import PapSettings
from chorus.evaluation.pixel_grid import cells_of, covered, highest, resize_area, small_shape
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posing import canonical_points

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution
    from chorus.occupancy.presets import FieldSettings


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """A test image made ready for any number of fields over one voxel grid."""

    voxel: Int[np.ndarray, " P"]
    """Canonical voxels that are seen somewhere, flat numbers, int32, in step with `cell`."""
    cell: Int[np.ndarray, " P"]
    """The cells they land in, int32."""
    target: Bool[np.ndarray, "h w"]
    """The object's mask on the small grid."""
    human: Bool[np.ndarray, "h w"]
    """Cells that a vertex of the posed body lands in."""


@dataclass(frozen=True, eq=False)
class ImageScore:
    """One field's result on one test image."""

    pap: Float[np.ndarray, " 4"]
    """The figures of VARIANTS, 0..1; NaN where the target is empty: left out of means."""
    curve: Curve
    """Precision and recall over all cells."""
    curve_hoa: Curve
    """The same without the cells that the person covers."""
    likelihood: Float[np.ndarray, "h w"]
    """Largest probability per cell, -1 where no voxel lands."""
    target: Bool[np.ndarray, "h w"]
    """What it was compared with."""


def prepare(
    image: LabelledImage,
    body: BodyModel,
    grid: VoxelGrid,
    settings: PapSettings | None = None,
    *,
    canonical: bool = True,
    field_settings: FieldSettings | None = None,
    threads: int = 1,
) -> PreparedImage:
    """Pose the grid's voxels like the person of the image and project them: the slow part.

    canonical=False leaves the voxels where they are, for fields that were aggregated without
    canonicalisation. threads: of the search for neighbours. BadInput if the image's numbers are not
    finite or its mask is not (H, W) bool.
    """
    settings = settings or PapSettings()
    pose, R, t, K = _checked(image)
    shape = small_shape(*image.mask.shape, settings.downscale_length)
    centres = grid.centres()
    voxel = np.arange(grid.count)
    if canonical:
        places = canonical_points(body, torch.from_numpy(pose), grid, field_settings, threads)
        voxel = grid.index_of(places, truncate=settings.release)
    pose = pose.copy()
    pose[0] = 0
    vertices = body.pose(pose).vertices.cpu().numpy()

    def cells(points: np.ndarray) -> np.ndarray:
        return cells_of(points, R, t, K, image.mask.shape, shape, truncate=settings.release)

    cell = cells(centres)
    seen = (voxel >= 0) & (cell >= 0)
    return PreparedImage(
        voxel=voxel[seen].astype(np.int32),
        cell=cell[seen].astype(np.int32),
        target=resize_area(image.mask, shape),
        human=covered(cells(vertices), shape),
    )


def score(
    probability: Float[np.ndarray, "N N N"],
    image: PreparedImage,
    settings: PapSettings | None = None,
) -> ImageScore:
    """All figures of one field (N, N, N), in [0, 1], on one prepared image.

    The image must have been prepared for the field's grid with the same settings. BadInput if the
    field holds NaN or other values than probabilities.
    """
    settings = settings or PapSettings()
    field = np.asarray(probability).reshape(-1)
    if not ((field >= 0) & (field <= 1)).all():
        raise BadInput(
            "a field that is scored must hold probabilities from 0 to 1, found NaN or others; "
            "aggregate again, or divide the field by its maximum."
        )
    if settings.metric == "pap/v2-relative" and field.any():
        field = field * (settings.thresholds[-1] / field.max())
    likelihood = highest(field[image.voxel], image.cell, image.target.shape)
    thresholds = np.asarray(settings.thresholds, np.float64)
    curve = precision_recall(likelihood, image.target, thresholds)
    curve_hoa = precision_recall(likelihood, image.target, thresholds, ignored=image.human)
    closed = settings.metric != "pap/v1"
    pap = [
        area(pr_curve, closed, strict)
        for pr_curve in (curve, curve_hoa)
        for strict in (False, True)
    ]
    return ImageScore(np.array(pap), curve, curve_hoa, likelihood, image.target)


def score_images(
    field: Distribution,
    body: BodyModel,
    images: Sequence[LabelledImage],
    settings: PapSettings | None = None,
    threads: int = 1,
) -> list[ImageScore]:
    """The field on every image, `threads` images at a time; in the order of the images.

    A field whose provenance says that it was aggregated with `canonicalise: false` stays in place.
    BadInput if the field was made on another body, or for what `prepare` and `score` refuse.
    """
    check_field(field, body.fingerprint)
    settings = settings or PapSettings()

    def score_image(image: LabelledImage) -> ImageScore:
        ready = prepare(image, body, field.grid, settings, canonical=field.canonical)
        return score(field.probability, ready, settings)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        return list(pool.map(score_image, images))


def _checked(image: LabelledImage) -> tuple[np.ndarray, ...]:
    """pose, R, t, K of the image in their shapes, float64 (the pose float32); BadInput if bad."""
    mask = np.asarray(image.mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise BadInput(f"a test image's mask must be bool (height, width), not {mask.dtype} "
                       f"{mask.shape}; build the test set again.")  # fmt: skip
    shapes = {"pose": (24, 3), "R": (3, 3), "t": (3,), "K": (3, 3)}
    numbers = []
    for name, shape in shapes.items():
        value = np.asarray(getattr(image, name), np.float64)
        if value.size != np.prod(shape) or not np.isfinite(value).all():
            raise BadInput(
                f"a test image's {name} must be {shape} finite numbers, found {value.shape} "
                f"with {np.count_nonzero(~np.isfinite(value))} NaN or infinite; build the test "
                "set again."
            )
        numbers.append(value.reshape(shape))
    numbers[0] = numbers[0].astype(np.float32)
    return tuple(numbers)
