"""Where the joints of an evaluation set's ground truth are in its images, for pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput
from chorus.hands.datasets import HandSet
from chorus.hands.joints import gather
from chorus.hands.prediction_file import read_json, read_points
from chorus.hands.truth_files import JOINTS

_CAMERAS = "evaluation_K.json"


def true_keypoints(hands: HandSet, folder: Path) -> Float[np.ndarray, "N 21 2"] | None:
    """Image pixels of the true joints, HO-3D's order; None where the folder has no ground truth.

    FreiHAND's cameras are in `evaluation_K.json`, HO-3D's in its meta files. BadInput if the ground
    truth is of another number of samples, or damaged.
    """
    path = folder / JOINTS
    if not path.is_file() or not (hands.opengl or (folder / _CAMERAS).is_file()):
        return None
    joints = read_points(path, 21)
    K = _cameras_of_meta(hands) if hands.opengl else _cameras_of_file(folder / _CAMERAS)
    if not len(joints) == len(K) == len(hands.images):
        raise BadInput(
            f"{folder} has {len(hands.images)} images, {len(joints)} samples of ground truth and "
            f"{len(K)} cameras; they belong to different sets."
        )
    in_camera = hands.in_own_axes(joints)  # the change of axes is its own inverse
    projected = np.einsum("nab,njb->nja", K, in_camera)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = projected[..., :2] / projected[..., 2:]
    return pixels[:, gather(hands.joint_order, "ho3d")]


def _cameras_of_file(path: Path) -> Float[np.ndarray, "N 3 3"]:
    return _checked(read_json(path), str(path))


def _cameras_of_meta(hands: HandSet) -> Float[np.ndarray, "N 3 3"]:
    cameras = []
    for image in hands.images:
        path = image.path.parents[1] / "meta" / f"{image.path.stem}.pkl"
        stored = load_restricted(path)
        if not isinstance(stored, dict) or stored.get("camMat") is None:
            raise BadInput(f"{path} has no camMat; it is not a meta file of HO-3D.")
        cameras.append(_checked([array_of(stored["camMat"], f"camMat of {path}")], str(path))[0])
    return np.stack(cameras)


def _checked(value: object, what: str) -> Float[np.ndarray, "N 3 3"]:
    try:
        K = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} holds no cameras: {str(error)[:200]}.") from error
    if K.ndim != 3 or K.shape[1:] != (3, 3) or not np.isfinite(K).all():
        raise BadInput(f"{what} must hold finite camera matrices (N, 3, 3); found {K.shape}.")
    return K
