"""The public ground truth of FreiHAND's and HO-3D's evaluation sets: `evaluation_xyz.json` and
`evaluation_verts.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chorus.errors import BadInput
from chorus.hands.prediction_file import read_points
from chorus.hands.scoring import HandTruth

JOINTS, VERTICES = "evaluation_xyz.json", "evaluation_verts.json"


def read_truth(folder: Path) -> HandTruth:
    """The ground truth in a folder.

    Which data set it is of is told by the axes: in front of a camera z is positive in FreiHAND's
    and negative in HO-3D's. BadInput if a file is missing or damaged.
    """
    for name in (JOINTS, VERTICES):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder / name} is not there; give the folder with {JOINTS} and {VERTICES}, "
                "which FreiHAND's and HO-3D's pages publish."
            )
    joints, vertices = read_points(folder / JOINTS, 21), read_points(folder / VERTICES)
    if len(joints) != len(vertices) or not len(joints):
        raise BadInput(
            f"{folder}: {JOINTS} has {len(joints)} samples, {VERTICES} {len(vertices)}; expected "
            "as many of both, and not none."
        )
    depths = np.sign(joints[..., 2].mean(axis=1))
    if abs(depths.sum()) != len(depths):
        raise BadInput(
            f"{folder / JOINTS} has hands on both sides of the camera (z above and below 0); it is "
            "neither FreiHAND's nor HO-3D's."
        )
    return HandTruth(joints, vertices, opengl=bool(depths[0] < 0))
