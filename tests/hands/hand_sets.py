"""Small folders of FreiHAND and HO-3D in the published layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from PIL import Image


def texture(seed: int, width: int = 224, height: int = 224) -> np.ndarray:
    """A smooth random picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def freihand(folder: Path, count: int = 5) -> Path:
    """evaluation/rgb of FreiHAND."""
    rgb = folder / "evaluation" / "rgb"
    rgb.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(texture(number)).save(rgb / f"{number:08d}.jpg")
    return folder


def ho3d(folder: Path, end: str = "png", lines=("SM1/0003", "SM1/0001", "AP10/0000")) -> Path:
    """HO-3D with more images than evaluation.txt lists."""
    for sequence in ("SM1", "AP10"):
        rgb = folder / "evaluation" / sequence / "rgb"
        meta = rgb.parent / "meta"
        rgb.mkdir(parents=True)
        meta.mkdir()
        for number in range(4):
            Image.fromarray(texture(number, 640, 480)).save(rgb / f"{number:04d}.{end}")
            box = np.array([200.0 + 10 * number, 150, 320, 280])
            write_meta(meta / f"{number:04d}.pkl", box)
    (folder / "evaluation.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_meta(path: Path, box) -> None:
    """An evaluation sample's meta file."""
    meta = {"camMat": np.eye(3), "handBoundingBox": box, "handJoints3D": np.zeros(3)}
    path.write_bytes(pickle.dumps({**meta, "objName": "021_bleach_cleanser"}, protocol=2))
