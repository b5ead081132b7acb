"""Pseudo-labels: the keypoints that a network finds in web images, in the published files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from chorus.animals.annotations import Record
from chorus.animals.keypoints import KEYPOINTS
from chorus.errors import BadInput
from chorus.files import atomic_write

if TYPE_CHECKING:
    from chorus.animals.pose.finding import Found

Confidence = Literal["published", "bounded"]
"""published: a peak's height as a share of the highest of the whole set, which may be negative and
depends on the other images. bounded: the height itself, cut to 0 ... 1."""


def confidences(
    heights: Float[np.ndarray, "*batch K"], kind: Confidence = "bounded"
) -> Float[np.ndarray, "*batch K"]:
    """Confidences of peaks by their heights."""
    if kind == "bounded":
        return np.clip(heights, 0, 1)
    highest = np.max(heights, initial=-np.inf)
    if not highest > 0:
        raise BadInput("no heat map has a peak above 0; train the network longer.")
    return heights / highest


def labelled_records(found: Iterable[Found], kind: Confidence = "bounded") -> list[Record]:
    """The records of `<name>_pl_2d.json`: box records with joints, without those that failed."""
    good = [each for each in found if not each.problem]
    if not good:
        raise BadInput("no image could be looked at, so there are no pseudo-labels.")
    weights = confidences(np.stack([each.heights for each in good]), kind)
    return [
        {**each.record, "joints": np.column_stack([each.places, row]).tolist()}
        for each, row in zip(good, weights, strict=True)
    ]


def write_transformed(
    folder: Path, found: Sequence[Sequence[Found]], kind: Confidence = "bounded"
) -> None:
    """Write `augm_<t>.txt` per transform: lines `img_id keypoint x y confidence`."""
    good = [[each for each in one if not each.problem] for one in found]
    if not all(good):
        raise BadInput("no image could be looked at, so there are no pseudo-labels.")
    heights = [np.stack([each.heights for each in one]) for one in good]
    # the published divisor is the highest peak of all transforms
    joined = confidences(np.concatenate(heights), kind)
    parts = np.split(joined, np.cumsum([len(each) for each in heights])[:-1])
    for number, (one, weights) in enumerate(zip(good, parts, strict=True)):
        lines = [
            f"{each.record['img_id']} {keypoint} {x:g} {y:g} {weight:.6g}"
            for each, row in zip(one, weights, strict=True)
            for keypoint, ((x, y), weight) in enumerate(zip(each.places, row, strict=True))
        ]
        atomic_write(folder / f"augm_{number}.txt", "\n".join(lines).encode())


def read_transformed(folder: Path) -> tuple[dict[str, np.ndarray], list[int]]:
    """Keypoints (T, 16, 3) of each image by id, x, y, confidence, and the T transforms' numbers.

    The first transform is the identity. Images that a file lacks are left out. BadInput for a
    folder without files of two or more transforms, or a damaged line.
    """
    files = {
        int(path.stem.removeprefix("augm_")): path
        for path in folder.glob("augm_*.txt")
        if path.stem.removeprefix("augm_").isdigit()
    }
    if 0 not in files or len(files) < 2:
        raise BadInput(
            f"{folder} needs augm_0.txt and one or more of augm_1.txt, augm_2.txt and so on; make "
            "them with `chorus animals generate_pl_mt`."
        )
    numbers = sorted(files)
    read = [_read_file(files[number]) for number in numbers]
    ids = [each for each in read[0] if all(each in one for one in read)]
    return {each: np.stack([one[each] for one in read]) for each in ids}, numbers


def _read_file(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            identifier, keypoint, *values = line.split()
            row = found.setdefault(identifier, np.full((len(KEYPOINTS), 3), np.nan))
            if not 0 <= int(keypoint) < len(KEYPOINTS):
                raise ValueError
            row[int(keypoint)] = np.array(values, float)
        except ValueError as error:
            raise BadInput(
                f"{path}, line {number}: `img_id keypoint x y confidence` was expected, found "
                f"{line[:80]!r}."
            ) from error
    lacking = [each for each, row in found.items() if np.isnan(row).any()]
    if lacking:
        raise BadInput(f"{path} has not all {len(KEYPOINTS)} keypoints of {lacking[0]!r}.")
    return found
