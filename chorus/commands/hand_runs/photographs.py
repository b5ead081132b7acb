"""`chorus hands PHOTO…`: the hands of photographs, without a results tree.

<out>/<photo>.hands.jpg   the photograph with landmarks and fitted hands
<out>/<photo>.json        a record per hand: side, box, landmarks, pose, shape, camera
<out>/<photo>.npz         the same numbers as arrays, a row per hand, with meshes and joints
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from chorus.commands.perceiving.photos import photographs_of, pixels_of
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.files import atomic_write, replacing
from chorus.hands.joints import FREIHAND_FINGERS, places

if TYPE_CHECKING:
    from chorus.hands.photographs import HandPerceiver, PerceivedHand

OVERLAY = ".hands.jpg"
_JPEG_QUALITY = 90
_DIGITS = 5


def perceive_hands(
    photographs: Sequence[Path], out: Path, imports_dir: Path, hand: Path | None, progress: Progress
) -> CommandResult:
    """Find the hands of every photograph; one that cannot be read is reported and does not stop the
    rest. Unavailable without the networks."""
    from chorus.hands.free_hand import load_hand
    from chorus.hands.mediapipe_hands import MediapipeHands
    from chorus.hands.photographs import HandPerceiver

    photos = photographs_of(photographs, OVERLAY)
    perceive = HandPerceiver(MediapipeHands(imports_dir), load_hand(hand, imports_dir))
    problems, empty, hands, done = [], [], 0, 0
    with progress_bar(progress, len(photos), "hands", "photo") as advance:
        for photo in photos:
            try:
                pixels = pixels_of(photo.path)
            except BadInput as error:
                problems.append(f"{photo.name}: {error}")
            else:
                found = perceive(pixels)
                _write(out / photo.name, photo.name, pixels, found, perceive)
                hands, done = hands + len(found), done + 1
                empty += [] if found else [photo.name]
            advance(1)
    remarks = [f"no hand was found in {', '.join(empty)}."] if empty else []
    line = f"hands: {hands} hands in {done} of {len(photos)} photographs → {out}"
    return CommandResult(line, [*problems, *remarks], ok=not problems)


def _write(
    place: Path,
    name: str,
    pixels: UInt8[np.ndarray, "H W 3"],
    hands: list[PerceivedHand],
    perceive: HandPerceiver,
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    record = {"image": name, "width": width, "height": height, "hands": [_record(h) for h in hands]}
    stem = place.name
    atomic_write(place.with_name(f"{stem}.json"), json.dumps(record, indent=1).encode())
    with replacing(place.with_name(f"{stem}.npz")) as part:
        np.savez_compressed(part, **_arrays(hands))
    _draw(place.with_name(f"{stem}{OVERLAY}"), pixels, hands, perceive)


def _record(hand: PerceivedHand) -> dict[str, Any]:
    found = hand.found
    numbers = {
        "box": found.box,
        "landmarks": found.landmarks,
        "world": found.world,
        "pose": hand.pose,
        "betas": hand.betas,
        "root": hand.root,
        "K": hand.K,
    }
    scores = {
        "side_score": found.side_score,
        "presence": found.presence,
        "score": found.score,
        "error": hand.error,
    }
    return {
        "side": found.side,
        **{key: round(float(value), _DIGITS) for key, value in scores.items()},
        **{key: np.asarray(value, np.float64).round(_DIGITS).tolist()
           for key, value in numbers.items()},
    }  # fmt: skip


def _arrays(hands: list[PerceivedHand]) -> dict[str, np.ndarray]:
    arrays: dict[str, Any] = {
        "side": [hand.found.side for hand in hands],
        "landmarks": [hand.found.landmarks for hand in hands],
        "world": [hand.found.world for hand in hands],
    }
    for name in ("pose", "betas", "root", "K", "vertices", "joints", "error"):
        arrays[name] = [getattr(hand, name) for hand in hands]
    return {name: np.array(values) for name, values in arrays.items()}


def _draw(
    path: Path,
    pixels: UInt8[np.ndarray, "H W 3"],
    hands: list[PerceivedHand],
    perceive: HandPerceiver,
) -> None:
    from PIL import Image

    from chorus.viewing.hand_pictures import draw_hand_skeleton
    from chorus.viewing.overlay import body_overlay

    chains = [
        places(["wrist", *(f"{finger}{end}" for end in ("1", "2", "3", "_tip"))])
        for finger in FREIHAND_FINGERS
    ]
    drawn = pixels
    for hand in hands:
        faces = perceive.faces(hand.found.side)
        drawn = body_overlay(drawn, hand.vertices, faces, np.eye(3), np.zeros(3), hand.K)
    for hand in hands:
        drawn = draw_hand_skeleton(drawn, hand.found.landmarks[:, :2], chains)
    with replacing(path) as part:
        Image.fromarray(drawn).save(part, quality=_JPEG_QUALITY)
