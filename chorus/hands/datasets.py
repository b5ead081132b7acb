"""FreiHAND's and HO-3D's evaluation sets as their servers count them: which images, in which order,
and where the hand is in them.

Joints are compared sample by sample without names, so the order is checked: FreiHAND's files are
numbered without gaps, HO-3D's are the lines of `evaluation.txt` (in version 3, folders hold more
images than samples).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput

DatasetName = Literal["freihand", "ho3d"]
_BOX_MARGIN = 2.0  # HO-3D: side of a crop, in longest edges of the box
_EVALUATION = "evaluation"
_VERSIONS = {"v2": "png", "v3": "jpg"}
_HO3D_LINE = re.compile(r"[\w-]+/\d+")


@dataclass(frozen=True)
class HandImage:
    """An image with one right hand in it."""

    name: str
    """Its name in the data set, for people: `00000012`, `SM1/0003`."""
    path: Path
    box: Float[np.ndarray, " 4"] | None
    """Of the hand, xyxy pixels; None where the whole image is cropped."""

    def square(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, " 2"], float]:
        """Centre and side, pixels, of the crop as TempCLR takes it: the whole image of FreiHAND,
        twice the box's longest edge of HO-3D."""
        if self.box is None:
            height, width = image.shape[:2]
            return np.array([width, height]) / 2, float(max(width, height))
        centre = (self.box[:2] + self.box[2:]) / 2
        return centre, _BOX_MARGIN * float((self.box[2:] - self.box[:2]).max())


@dataclass(frozen=True)
class HandSet:
    """An evaluation set. joint_order: of its joints (`joints.ORDERS`). opengl: whether its axes are
    OpenGL's, x right, y up, z backward, instead of the camera's. remarks: about single images."""

    name: str
    images: list[HandImage]
    joint_order: str
    opengl: bool
    remarks: list[str]

    def in_own_axes(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the camera's axes in the set's own (a copy)."""
        return points * ([1.0, -1.0, -1.0] if self.opengl else [1.0, 1.0, 1.0])


def read_images(dataset: DatasetName, folder: Path) -> HandSet:
    """The evaluation images of a data set's folder. BadInput if it is not one, or not whole."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; give the one that {dataset} was unpacked to.")
    return {"freihand": _freihand, "ho3d": _ho3d}[dataset](folder)


def read_pixels(image: HandImage) -> UInt8[np.ndarray, "H W 3"]:
    """An image's pixels, RGB; BadInput if it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image.path) as opened:
            return np.asarray(opened.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{image.path} cannot be read as an image: {error}.") from error


def _freihand(folder: Path) -> HandSet:
    rgb = folder / _EVALUATION / "rgb"
    paths = sorted(rgb.glob("*.jpg")) if rgb.is_dir() else []
    if not paths:
        raise BadInput(
            f"{rgb} holds no images (%08d.jpg); give the folder that FreiHAND's evaluation set was "
            "unpacked to."
        )
    for number, path in enumerate(paths):
        if path.stem != f"{number:08d}":
            raise BadInput(
                f"{rgb}: {number:08d}.jpg is not there (found {path.name} in its place); the "
                "evaluation set is not whole, and predictions would not be in the servers' order."
            )
    images = [HandImage(path.stem, path, None) for path in paths]
    return HandSet("FreiHAND", images, "freihand", opengl=False, remarks=[])


def _ho3d(folder: Path) -> HandSet:
    listing = folder / "evaluation.txt"
    if not listing.is_file():
        raise BadInput(
            f"{listing} is not there; HO-3D's evaluation samples are what it lists, in its order. "
            "Give the folder that HO-3D v2 or v3 was unpacked to."
        )
    lines = listing.read_text(encoding="utf-8", errors="replace").split()
    if not lines:
        raise BadInput(f"{listing} is empty; unpack HO-3D again.")
    for line in lines:
        if not _HO3D_LINE.fullmatch(line):
            raise BadInput(f"{listing} has a line {line[:60]!r}; expected SEQUENCE/NUMBER.")
    version = _version(folder, lines[0])
    images, remarks = [], []
    for line in lines:
        sequence, number = line.split("/")
        place = folder / _EVALUATION / sequence
        path = place / "rgb" / f"{number}.{_VERSIONS[version]}"
        if not path.is_file():
            raise BadInput(
                f"{path} is not there, though {listing} lists {line}: the folder is not whole, or "
                "the list is of the other version (images of v2 are png, of v3 jpg)."
            )
        box = _box_of(place / "meta" / f"{number}.pkl")
        if box is None:
            remarks.append(f"{line}: its meta file has no box of a hand; the whole image is taken.")
        images.append(HandImage(line, path, box))
    return HandSet(f"HO-3D {version}", images, "ho3d", opengl=True, remarks=remarks)


def _version(folder: Path, line: str) -> str:
    sequence, number = line.split("/")
    rgb = folder / _EVALUATION / sequence / "rgb"
    for version, end in _VERSIONS.items():
        if (rgb / f"{number}.{end}").is_file():
            return version
    raise BadInput(
        f"{rgb} has no {number}.png (HO-3D v2) and no {number}.jpg (v3); the folder is not whole."
    )


def _box_of(path: Path) -> Float[np.ndarray, " 4"] | None:
    """The box (4,) xyxy of a meta file; None if it says that there is none."""
    stored: Any = load_restricted(path)
    if not isinstance(stored, dict) or "handBoundingBox" not in stored:
        raise BadInput(
            f"{path} has no handBoundingBox; it is not the meta file of an evaluation sample."
        )
    if stored["handBoundingBox"] is None:
        return None
    box = array_of(stored["handBoundingBox"], f"handBoundingBox of {path}")
    if box.shape != (4,) or box.dtype.kind not in "fiu" or not np.isfinite(box).all():
        raise BadInput(f"handBoundingBox of {path} is {box}; expected 4 numbers x1, y1, x2, y2.")
    box = box.astype(np.float64)
    return box if (box[2:] > box[:2]).all() else None
