"""Predicting an evaluation set: `pred.json` for its server, the parameters that it leaves out, and
pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, Unavailable
from chorus.files import replacing
from chorus.hands.datasets import HandImage, HandSet, read_pixels
from chorus.hands.joints import FREIHAND_FINGERS, gather, places
from chorus.hands.true_keypoints import true_keypoints

if TYPE_CHECKING:
    from chorus.hands.backbone_names import Backbone
    from chorus.hands.hand_model import HandModel
    from chorus.hands.regression import HandRegressor, RegressedHands
    from chorus.perception.person_crops import Crop

PARAMETERS = "parameters.npz"
"""Beside pred.json: what the release does not keep."""


@dataclass(frozen=True)
class Run:
    """What a set is predicted with. summaries: folder of pictures, None for none."""

    checkpoint: Path
    backbone: Backbone
    hand: Path | None
    batch_size: int
    device: str
    out: Path
    summaries: Path | None


def load_regressor(run: Run) -> tuple[HandRegressor, HandModel, list[str]]:
    """The regressor, its hand, and remarks. Unavailable without a checkpoint or without a hand."""
    from chorus.hands.checkpoint import differs, load_checkpoint
    from chorus.hands.mano_file import read_hand
    from chorus.hands.regression import HandRegressor

    loaded = load_checkpoint(run.checkpoint, run.backbone)
    given = read_hand(run.hand) if run.hand is not None and run.hand.is_file() else None
    remarks = []
    if loaded.hand is not None and given is not None:
        difference = differs(given, loaded.hand)
        if difference:
            remarks.append(f"{difference}; the checkpoint's is taken, as the release does.")
    hand = loaded.hand or given
    if hand is None:
        where = f"{run.hand} is not there" if run.hand else "no hand is given"
        raise Unavailable(
            f"{run.checkpoint} holds no hand, and {where}; give MANO_RIGHT.pkl with --hand (from "
            "https://mano.is.tue.mpg.de, after registering)."
        )
    return HandRegressor(loaded.network, hand, run.device), hand, remarks


def predict_set(hands: HandSet, folder: Path, run: Run, progress: Progress) -> list[str]:
    """Predict every image of a set's folder and write pred.json, parameters.npz and the pictures;
    remarks.

    BadInput for an image that cannot be read or cropped: the server counts every sample.
    """
    from chorus.hands.regression import together

    regress, model, remarks = load_regressor(run)
    run.out.mkdir(parents=True, exist_ok=True)
    truth = None if run.summaries is None else true_keypoints(hands, folder)
    parts = []
    with progress_bar(progress, len(hands.images), hands.name, "image") as advance:
        for number, (images, crops) in enumerate(_batches(hands, run.batch_size)):
            found = regress(crops)
            _check_finite(found, images)
            if run.summaries is not None:
                path = run.summaries / f"batch_{number}.png"
                first = number * run.batch_size
                known = None if truth is None else truth[first : first + len(images)]
                _write_pictures(path, crops, found, model.faces.numpy(), known)
            parts.append(found)
            advance(len(images))
    _write(together(parts), hands, run.out)
    return remarks


def _batches(hands: HandSet, size: int) -> Iterator[tuple[list[HandImage], list[Crop]]]:
    from chorus.hands.network import CROP_SIDE
    from chorus.perception.person_crops import whole_pixel_crop

    for start in range(0, len(hands.images), size):
        images = hands.images[start : start + size]
        crops = []
        for image in images:
            pixels = read_pixels(image)
            centre, side = image.square(pixels)
            crop = whole_pixel_crop(pixels, centre, side, CROP_SIDE)
            if crop is None:
                raise BadInput(
                    f"{image.path}: the hand's crop (centre {centre.round()}, side {side:.0f}) "
                    "lies outside of the image or has fewer than 20 pixels."
                )
            crops.append(crop)
        yield images, crops


def _check_finite(found: RegressedHands, images: list[HandImage]) -> None:
    finite = np.isfinite(found.vertices).all((1, 2)) & np.isfinite(found.joints).all((1, 2))
    if not finite.all():
        name = images[int(np.flatnonzero(~finite)[0])].name
        raise BadInput(f"{name}: the network's prediction is not finite; its weights are damaged.")


def _write(found: RegressedHands, hands: HandSet, out: Path) -> None:
    from chorus.hands.prediction_file import NAME, write_predictions

    order = gather("ho3d", hands.joint_order)
    write_predictions(
        out / NAME, hands.in_own_axes(found.joints[:, order]), hands.in_own_axes(found.vertices)
    )
    with replacing(out / PARAMETERS) as part:
        np.savez_compressed(
            part,
            names=np.array([image.name for image in hands.images]),
            joint_order=np.array(hands.joint_order),
            **{name: getattr(found, name) for name in ("pose", "betas", "camera")},
            crop_centre=found.crop_centre,
            crop_side=found.crop_side,
            joints=found.joints[:, order],
            keypoints=found.keypoints[:, order],
        )


def _write_pictures(
    path: Path,
    crops: list[Crop],
    found: RegressedHands,
    faces: np.ndarray,
    truth: np.ndarray | None,
) -> None:
    from PIL import Image

    from chorus.viewing.hand_pictures import hand_grid, hand_row

    chains = [
        places(["wrist", *(f"{finger}{end}" for end in ("1", "2", "3", "_tip"))], "ho3d")
        for finger in FREIHAND_FINGERS
    ]
    rows = []
    for at, crop in enumerate(crops):
        corner, scale = crop.centre - crop.side / 2, len(crop.pixels) / crop.side
        seen = [] if truth is None else [truth[at]]
        in_crop = [(points - corner) * scale for points in (*seen, found.keypoints[at])]
        rows.append(
            hand_row(crop.pixels, in_crop, chains, found.vertices[at], faces, found.camera[at])
        )
    with replacing(path) as part:
        Image.fromarray(hand_grid(rows)).save(part)
