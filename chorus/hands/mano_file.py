"""MANO's files, and the free hand in their layout, as arrays: checked, with what is wrong in them.

Known faults of such files, and what is done about them:

- a file of the other side under this side's name, or with the other side's mean pose: refused;
- MANO_LEFT's shape blend shapes move x as the right hand's do (smplx issue 48): compared with the
  MANO_RIGHT beside it, and their x mirrored; the other components are right and are left alone.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from chorus.body.stored_arrays import Wanted, read_stored
from chorus.errors import BadInput
from chorus.hands.joints import JOINT_COUNT, JOINT_NAMES, PARENTS

if TYPE_CHECKING:
    from chorus.hands.hand_model import HandModel

logger = logging.getLogger(__name__)

SHAPE_COMPONENTS = 10
MANO_VERTICES, MANO_FACES = 778, 1538

# Triangle and barycentric corner of index, middle, pinky, ring, thumb on MANO's surface.
_TIPS = {
    "right": ((411, 1), (674, 2), (1141, 1), (910, 2), (1277, 0)),
    "left": ((411, 1), (674, 2), (1141, 1), (910, 2), (1312, 2)),
}
_FORMAT = "MANO_RIGHT.pkl or MANO_LEFT.pkl as published, or an .npz with the same arrays"
_WANTED = Wanted(
    "hand file",
    _FORMAT,
    ("v_template", "shapedirs", "weights", "J_regressor", "f", "kintree_table", "hands_mean"),
    ("posedirs", "tip_faces", "tip_weights"),
)
_PER_JOINT = 9
_SIMILAR = 0.2  # of their size, by which shape blend shapes may differ and count as equal


def read_hand(path: Path, side: Literal["right", "left"] = "right") -> HandModel:
    """The hand of a MANO file (.pkl or .npz) on the CPU, float32.

    side: which hand it is to be. BadInput if the file is damaged, no hand, or the other hand.
    """
    import torch

    from chorus.hands.hand_model import HandModel

    arrays = checked_arrays(path, side)
    faces, weights = _tips_of(arrays, side, path)
    posedirs = arrays.get("posedirs")
    if posedirs is not None:
        posedirs = (
            posedirs.reshape(-1, _PER_JOINT * (JOINT_COUNT - 1)).T if posedirs.any() else None
        )

    def floats(array: np.ndarray) -> torch.Tensor:
        # a copy: the file's arrays may be read-only, in Fortran order or big-endian
        return torch.from_numpy(np.array(array, np.float32, order="C"))

    return HandModel(
        name=path.name,
        side=side,
        v_template=floats(arrays["v_template"]),
        shapedirs=floats(arrays["shapedirs"][..., :SHAPE_COMPONENTS]),
        posedirs=None if posedirs is None else floats(posedirs),
        weights=floats(arrays["weights"] / arrays["weights"].sum(axis=1, keepdims=True)),
        joint_regressor=floats(arrays["J_regressor"]),
        faces=torch.from_numpy(np.array(arrays["f"], np.int64, order="C")),
        mean_pose=floats(arrays["hands_mean"].reshape(-1, 3)),
        tip_faces=torch.from_numpy(np.array(faces, np.int64)),
        tip_weights=floats(weights),
    )


def checked_arrays(path: Path, side: Literal["right", "left"]) -> dict[str, np.ndarray]:
    """The arrays of a hand file by MANO's names; BadInput as `read_hand`."""
    arrays = read_stored(path, _WANTED)
    _check_shapes(arrays, path)
    _check_side(arrays, side, path)
    if side == "left":
        arrays["shapedirs"] = _mended(arrays["shapedirs"], path)
    return arrays


def has_left_shape_flaw(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether a left hand's shape blend shapes (V, 3, S) move x as the right hand's do.

    They should be mirrored, which to within 0.2 of their size they are in no published file.
    """
    if left.shape != right.shape:
        return False
    size = np.abs(right[:, 0]).mean()
    same = np.abs(left[:, 0] - right[:, 0]).mean()
    opposite = np.abs(left[:, 0] + right[:, 0]).mean()
    return bool(same < _SIMILAR * size and same < opposite)


def _mended(shapedirs: np.ndarray, path: Path) -> np.ndarray:
    """A left hand's shape blend shapes with x mirrored if the file has them unmirrored."""
    beside = path.with_name(path.name.replace("LEFT", "RIGHT"))
    if beside == path or not beside.is_file():
        if path.name.startswith("MANO_LEFT"):
            logger.warning(
                "%s: without MANO_RIGHT beside it, it cannot be told whether its shape blend "
                "shapes have the published fault (their x is the right hand's); they are taken as "
                "they are.",
                path,
            )
        return shapedirs
    right = read_stored(beside, _WANTED)
    _check_shapes(right, beside)
    if not has_left_shape_flaw(shapedirs, right["shapedirs"]):
        return shapedirs
    logger.info("%s: the x of its shape blend shapes is the right hand's; it is mirrored.", path)
    return shapedirs * np.array([-1.0, 1.0, 1.0])[:, None]


def _tips_of(arrays: dict[str, np.ndarray], side: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (5,) and barycentric coordinates (5, 3) of the fingertips: the file's, else those
    published for MANO's surface."""
    if "tip_faces" in arrays and "tip_weights" in arrays:
        return arrays["tip_faces"], arrays["tip_weights"]
    found = (len(arrays["v_template"]), len(arrays["f"]))
    if found != (MANO_VERTICES, MANO_FACES):
        raise BadInput(
            f"{path} has {found[0]} vertices and {found[1]} triangles, not MANO's {MANO_VERTICES} "
            f"and {MANO_FACES}, and no tip_faces and tip_weights that say where its fingertips "
            "are; add them, or give MANO's own file."
        )
    faces, corners = np.array(_TIPS[side]).T
    return faces, np.eye(3)[corners]


def _check_shapes(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise BadInput unless the arrays fit together."""

    def demand(right: bool, key: str, expected: str) -> None:
        if not right:
            found = arrays[key]
            raise BadInput(
                f"{key} of {path} is {found.dtype} of shape {found.shape}; expected {expected}. "
                f"The file is not {_FORMAT}."
            )

    whole = {"f", "kintree_table", "tip_faces"}
    for key, array in arrays.items():
        demand(array.dtype.kind in ("iu" if key in whole else "fiu"), key, "numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"{key} of {path} holds NaN or infinity; the file is damaged.")
    count = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    joints = JOINT_COUNT
    demand(arrays["kintree_table"].shape == (2, joints), "kintree_table", "(2, 16) of one hand")
    demand(count > 0 and arrays["v_template"].shape == (count, 3), "v_template", "(V, 3)")
    shapes = arrays["shapedirs"].shape
    demand(len(shapes) == 3 and shapes[:2] == (count, 3), "shapedirs", f"({count}, 3, S)")
    demand(shapes[2] >= SHAPE_COMPONENTS, "shapedirs", f"{SHAPE_COMPONENTS} components or more")
    demand(arrays["weights"].shape == (count, joints), "weights", f"({count}, {joints})")
    demand(arrays["J_regressor"].shape == (joints, count), "J_regressor", f"({joints}, {count})")
    demand(arrays["f"].ndim == 2 and arrays["f"].shape[1] == 3, "f", "(F, 3)")
    faces = arrays["f"]
    demand(faces.size > 0 and faces.min() >= 0 and faces.max() < count, "f", f"0 .. {count - 1}")
    demand(arrays["hands_mean"].size == 3 * (joints - 1), "hands_mean", "45 numbers")
    if "posedirs" in arrays:
        pose = (count, 3, _PER_JOINT * (joints - 1))
        demand(arrays["posedirs"].shape == pose, "posedirs", str(pose))
    if "tip_faces" in arrays:
        tips = arrays["tip_faces"]
        within = tips.shape == (5,) and tips.min() >= 0 and tips.max() < len(faces)
        demand(bool(within), "tip_faces", f"5 of the {len(faces)} triangles")
    if "tip_weights" in arrays:
        demand(arrays["tip_weights"].shape == (5, 3), "tip_weights", "(5, 3)")
    sums = arrays["weights"].sum(axis=1)
    if arrays["weights"].min() < -1e-6 or abs(sums - 1).max() > 1e-3:
        raise BadInput(
            f"weights of {path} are not skinning weights: rows sum to {sums.min():.3g} .. "
            f"{sums.max():.3g}; expected none negative and rows that sum to 1."
        )
    parents = arrays["kintree_table"][0, 1:].astype(np.int64).tolist()
    if parents != list(PARENTS[1:]):
        raise BadInput(
            f"kintree_table of {path} is another skeleton than MANO's: parents {parents}, expected "
            f"{list(PARENTS[1:])}."
        )


def _check_side(arrays: dict[str, np.ndarray], side: str, path: Path) -> None:
    """Raise BadInput for a hand of the other side, or with the other side's mean pose."""
    toward = -1 if side == "right" else 1
    joints = arrays["J_regressor"] @ arrays["v_template"]
    along = joints[JOINT_NAMES.index("middle1")] - joints[0]
    if along[0] * toward <= 0:
        other = "left" if side == "right" else "right"
        raise BadInput(
            f"{path} is a {other} hand (its fingers point to {'+' if toward < 0 else '-'}x); "
            f"expected a {side} one: give MANO_{side.upper()}.pkl."
        )
    # fingers of a right hand close by turning about +z, of a left one about -z
    bends = arrays["hands_mean"].reshape(-1, 3)[:12, 2] * -toward
    if bends.sum() < 0:
        raise BadInput(
            f"hands_mean of {path} bends the fingers of a {side} hand backward: it is the other "
            f"hand's mean pose. Give MANO_{side.upper()}.pkl as published."
        )
