"""A small hand in MANO's exact schema, and the files that its authors publish it in."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from chorus.hands.hand_model import HandModel
from chorus.hands.joints import JOINT_COUNT, PARENTS, TIP_FINGERS
from chorus.hands.network import HandNetwork
from references.chumpy_pickles import as_python_2, fake_chumpy

VERTICES, FACES = 778, 1538


def rest_joints() -> np.ndarray:
    """(16, 3) metres: joints of a flat right hand in MANO's axes, simple places."""
    joints = np.zeros((JOINT_COUNT, 3))
    side = {"index": 0.025, "middle": 0.0, "pinky": -0.04, "ring": -0.02}
    for finger, name in enumerate(TIP_FINGERS):
        for n in range(3):
            along = 0.09 + 0.03 * n if name != "thumb" else 0.03 + 0.025 * n
            across = side.get(name, 0.03 + 0.02 * n)
            joints[1 + 3 * finger + n] = [-along, 0.0, across]
    return joints


def mano_arrays(side: str = "right", shape_scale: float = 1e-3, seed: int = 3) -> dict:
    """MANO's arrays in the published types (float64, uint32, root parent 4294967295).

    Vertices are scattered about the joints; each joint is the mean of its own vertices. The
    fingertips are the vertices of the published triangles.
    """
    rng = np.random.default_rng(seed)
    joints = rest_joints()
    owner = np.arange(VERTICES) % JOINT_COUNT
    around = 0.008 * rng.normal(size=(VERTICES, 3))
    regressor = np.zeros((JOINT_COUNT, VERTICES))
    for joint in range(JOINT_COUNT):
        around[owner == joint] -= around[owner == joint].mean(axis=0)
        regressor[joint, owner == joint] = 1 / np.count_nonzero(owner == joint)
    weights = 0.8 * np.eye(JOINT_COUNT)[owner] + 0.2 * rng.dirichlet(np.full(16, 0.2), VERTICES)
    tree = np.array([PARENTS, range(JOINT_COUNT)]) % 2**32
    mean = np.tile([0.05, -0.05, 0.4], 15)
    model = {
        "v_template": joints[owner] + around,
        "shapedirs": shape_scale * rng.normal(size=(VERTICES, 3, 10)),
        "posedirs": 1e-3 * rng.normal(size=(VERTICES, 3, 135)),
        "weights": weights,
        "J_regressor": regressor,
        "f": rng.integers(0, VERTICES, (FACES, 3)).astype(np.uint32),
        "kintree_table": tree.astype(np.uint32),
        "hands_mean": mean,
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
    }
    return model if side == "right" else left_of(model)


def left_of(model: dict, flawed: bool = False) -> dict:
    """The left hand's arrays; flawed: with the published fault of its shape blend shapes."""
    flip = np.array([-1.0, 1.0, 1.0])
    turn = np.tile(np.outer(flip, flip).ravel(), 15)
    return {
        **model,
        "v_template": model["v_template"] * flip,
        "shapedirs": model["shapedirs"] * (1.0 if flawed else flip[:, None]),
        "posedirs": model["posedirs"] * flip[:, None] * turn,
        "f": model["f"][:, ::-1].copy(),
        "hands_mean": model["hands_mean"] * np.tile([1.0, -1.0, -1.0], 15),
    }


def write_mano(path: Path, model: dict) -> Path:
    """The arrays as MANO's pickles hold them: chumpy objects, a sparse regressor, extras."""
    with fake_chumpy() as (ch, select):
        template = model["v_template"]
        stored = {
            **model,
            "shapedirs": select(
                a=ch(x=model["shapedirs"].ravel()[::-1].copy()),
                idxs=np.arange(model["shapedirs"].size)[::-1],
                preferred_shape=model["shapedirs"].shape,
            ),
            "v_template": ch(x=template, _dirty_vars=set()),
            "J_regressor": sparse.csc_matrix(model["J_regressor"]),
            "J": model["J_regressor"] @ template,
            "hands_coeffs": np.zeros((1554, 45)),
            "bs_style": "lbs",
            "bs_type": "lrotmin",
        }
        path.write_bytes(as_python_2(pickle.dumps(stored, protocol=2)))
    return path


def small_hand(seed: int = 3) -> HandModel:
    """The right hand of `mano_arrays` as a model, float64."""
    model = mano_arrays(seed=seed)
    as_tensor = {
        name: torch.from_numpy(np.asarray(array))
        for name, array in model.items()
        if name not in ("f", "kintree_table")
    }
    return HandModel(
        name="small hand",
        side="right",
        v_template=as_tensor["v_template"],
        shapedirs=as_tensor["shapedirs"],
        posedirs=as_tensor["posedirs"].reshape(-1, 135).T,
        weights=as_tensor["weights"],
        joint_regressor=as_tensor["J_regressor"],
        faces=torch.from_numpy(model["f"].astype(np.int64)),
        mean_pose=as_tensor["hands_mean"].reshape(15, 3),
        tip_faces=torch.tensor([411, 674, 1141, 910, 1277]),
        tip_weights=torch.eye(3, dtype=torch.float64)[[1, 2, 1, 2, 0]],
    )


def save_checkpoint(
    path: Path, backbone: str = "resnet18", hand: HandModel | None = None, seed: int = 0
) -> Path:
    """A small random network in the layout of TempCLR's checkpoints, with what lies beside it."""
    torch.manual_seed(seed)
    network = HandNetwork(backbone, width=4, hidden=16).eval()
    # so that crops differ in what is predicted
    torch.nn.init.normal_(network.regressor.module.output_layer.weight, std=0.3)
    state = network.state_dict()
    sizes = {"wrist_pose": 6, "hand_pose": 90, "betas": 10, "camera": 3}
    start = 0
    for name, size in sizes.items():
        state[f"{name}_idxs"] = torch.arange(start, start + size)
        state[f"{name}_mean"] = state["regressor.mean_param"][0, start : start + size]
        start += size
    state["param_mean"] = state["regressor.mean_param"].clone()
    for name in ("wrist_pose", "hand_pose"):
        state[f"{name}_decoder.mean"] = state[f"{name}_mean"]
    if hand is not None:
        state |= {
            "model.v_template": hand.v_template,
            "model.shapedirs": hand.shapedirs,
            "model.J_regressor": hand.joint_regressor,
            "model.posedirs": hand.posedirs,
            "model.lbs_weights": hand.weights,
            "model.parents": torch.tensor(PARENTS),
            "model.faces_tensor": hand.faces,
            "model.extra_joint_selector.bcs": hand.tip_weights,
            "model.extra_joint_selector.face_ids": hand.tip_faces,
        }
    torch.save({"model": state, "iteration": 7, "epoch_number": 1, "optimizer": {}}, path)
    return path
