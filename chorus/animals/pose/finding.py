"""Keypoints that a network finds in images: crops, heat maps, and the way back to the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from chorus.animals.annotations import Record, read_image
from chorus.animals.crops import after, as_input, crop_transform, overlaps, square_of, warp
from chorus.animals.pose.heat_maps import Placement, decode
from chorus.animals.pose.network import KeypointNetwork
from chorus.errors import BadInput
from chorus.geometry.image_transforms import Transform, about, inverse, move_points

INPUT = 256
"""The published side of a crop, pixels."""
TRANSFORMS = (
    (1.0, 0.0), (1 / 1.1, 0.0), (1 / 1.2, 0.0), (1.0, -20.0), (1.0, -10.0), (1.0, 10.0),
    (1.0, 20.0),
)  # fmt: skip
"""Scale and turn, degrees counter-clockwise on the screen, of the crops of `generate_pl_mt`."""


@dataclass(frozen=True)
class Reading:
    """How keypoints are found."""

    placement: Placement = "exact"
    """How heat maps are read: exact, or published, which is 2 to 3 pixels off and cuts places to
    whole pixels."""
    flip_test: bool = False
    """Whether the mirror image is looked at as well."""
    input_res: int = INPUT
    """Side of a crop, pixels; the one that the network was trained with."""
    batch_size: int = 32
    """Crops at a time."""

    def __post_init__(self) -> None:
        if self.input_res < 64 or self.input_res % 32:
            raise BadInput(
                f"--input_res must be a multiple of 32 from 64 on, found {self.input_res}."
            )
        if self.batch_size < 1:
            raise BadInput(f"--batch_size must be 1 or more, found {self.batch_size}.")


@dataclass(frozen=True, eq=False)
class Found:
    """One record's keypoints: places (16, 2), image pixels, and heights of the peaks (16,); or why
    there are none."""

    record: Record
    places: Float[np.ndarray, "K 2"] | None = None
    heights: Float[np.ndarray, " K"] | None = None
    problem: str = ""


def find_keypoints(
    network: KeypointNetwork,
    images: Path,
    records: Sequence[Record],
    reading: Reading,
    transform: int = 0,
) -> Iterator[Found]:
    """The keypoints of each record, in order. What cannot be looked at comes with its reason.

    transform: number in TRANSFORMS of what is done to the crop; places are mapped back.
    """
    for start in range(0, len(records), reading.batch_size):
        part = records[start : start + reading.batch_size]
        crops = [_crop(images, record, reading.input_res, transform) for record in part]
        whole = [crop for crop in crops if not isinstance(crop, str)]
        places, heights = _predicted(network, [pixels for pixels, _ in whole], reading)
        number = 0
        for record, crop in zip(part, crops, strict=True):
            if isinstance(crop, str):
                yield Found(record, problem=crop)
                continue
            back = _to_image(places[number], crop[1], reading.placement)
            yield Found(record, back, heights[number])
            number += 1


def _crop(
    images: Path, record: Record, size: int, number: int
) -> tuple[np.ndarray, tuple[Transform, Transform]] | str:
    """A crop, and the two transforms to it: the crop's, then the one about its middle; or why
    there is none."""
    try:
        image = read_image(images, record)
    except BadInput as error:
        return str(error)
    box = np.asarray(record["img_bbox"], float)
    if not overlaps(box, image):
        height, width = image.shape[:2]
        return (
            f"the box {record['img_bbox']} of {record['img_id']!r} lies outside of its image of "
            f"{width} x {height} pixels; left out."
        )
    corner, side = square_of(box)
    scale, turn = TRANSFORMS[number]
    first = crop_transform(corner, side, size)
    # `about` turns clockwise
    second = about(np.array([size / 2, size / 2]), scale, -turn)
    return warp(image, after(second, first), size), (first, second)


def _to_image(
    places: np.ndarray, transforms: tuple[Transform, Transform], placement: Placement
) -> np.ndarray:
    """Places (16, 2) of the crop in the image; the published way cuts them off at every step."""
    for transform in reversed(transforms):
        places = move_points(places, inverse(transform))
        if placement == "published":
            places = np.trunc(places + 1e-9)
    return places


def _predicted(
    network: KeypointNetwork, crops: list[np.ndarray], reading: Reading
) -> tuple[np.ndarray, np.ndarray]:
    if not crops:
        return np.zeros((0, 16, 2)), np.zeros((0, 16))
    device = next(network.parameters()).device
    images = as_input(np.stack(crops)).to(device)
    with torch.inference_mode():
        maps = network.with_flip(images) if reading.flip_test else network(images)
        places, heights = decode(maps, reading.placement)
    return places.double().cpu().numpy(), heights.double().cpu().numpy()
