"""Writers of small model files as SMPL's authors publish them, for the tests of loading."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from scipy import sparse

from chorus.body.skeleton import PARENTS
from references.chumpy_pickles import as_python_2, fake_chumpy


def parents_of(joints: int) -> list[int]:
    """The tree of SMPL (24), SMPL-H (52) or SMPL-X (55)."""
    if joints == 24:
        return list(PARENTS)
    parents = [*PARENTS[:22], *([15, 15, 15] if joints == 55 else [])]
    for wrist in (20, 21):
        first = len(parents)
        parents += [wrist if joint % 3 == 0 else first + joint - 1 for joint in range(15)]
    return parents


def arrays(joints: int = 24, vertices: int = 80, shapes: int = 10, seed: int = 3) -> dict:
    """A small random model in the published types (float64, uint32, root parent 4294967295)."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(joints, 0.2), vertices)
    regressor = rng.dirichlet(np.full(vertices, 0.2), joints)
    tree = np.array([parents_of(joints), range(joints)]) % 2**32
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, shapes)) * 0.03,
        "posedirs": rng.normal(size=(vertices, 3, 9 * (joints - 1))) * 0.01,
        "weights": weights,
        "J_regressor": regressor,
        "f": rng.integers(0, vertices, (50, 3)).astype(np.uint32),
        "kintree_table": tree.astype(np.uint32),
    }


def write_chumpy_pickle(path: Path, model: dict) -> None:
    """`model` as the original SMPL pickles hold it: chumpy objects, a sparse regressor, extras."""
    with fake_chumpy() as (ch, select):
        order = np.arange(model["v_template"].size)[::-1]
        stored = {
            **model,
            "v_template": select(
                a=ch(x=model["v_template"].ravel()[::-1].copy(), _parents=None, _cache=None),
                idxs=order,
                preferred_shape=model["v_template"].shape,
                _dirty_vars=set(),
            ),
            "shapedirs": ch(x=model["shapedirs"], _dirty_vars=set(), _itr=None),
            "weights": ch(x=np.asfortranarray(model["weights"])),
            "J_regressor": sparse.csc_matrix(model["J_regressor"]),
            "J": ch(x=model["J_regressor"] @ model["v_template"]),
            "bs_style": "lbs",
            "bs_type": "lrotmin",
            "vert_sym_idxs": np.arange(len(model["v_template"])),
            "pose_training_info": {"gender": "neutral"},
        }
        path.write_bytes(as_python_2(pickle.dumps(stored, protocol=2)))
