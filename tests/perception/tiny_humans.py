"""Small random checkpoints of the body regressors, in the layout of the published files."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import torch

from chorus.body.skeleton import PARENTS
from chorus.perception.hmr2_network import Hmr2Network, Layout
from chorus.perception.spin_network import SpinNetwork

IDENTITY_6D = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)  # a (3, 2) matrix: the first two columns of identity


def spin_state(width: int = 4, hidden: int = 24, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a narrow network that answers with moderate poses and a camera in front."""
    generator = torch.Generator().manual_seed(seed)
    state = SpinNetwork(width, hidden).state_dict()
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            value.fill_(3)
        elif name.endswith("running_var") or (".bn" in name or name.startswith("bn")):
            value.copy_(torch.rand(value.shape, generator=generator) * 0.5 + 0.5)
        else:
            fan = value[0].numel() if value.ndim > 1 else 1
            value.copy_(torch.randn(value.shape, generator=generator) / fan**0.5)
        if name.startswith("dec"):
            value.mul_(0.02)
    state["init_pose"].copy_(torch.tensor(IDENTITY_6D * 24))
    state["init_shape"].mul_(0.1)
    state["init_cam"].copy_(torch.tensor([0.9, 0.0, 0.0]))
    return state


def save_tiny_spin_checkpoint(path: Path, seed: int = 0, **layout: int) -> Path:
    """A narrow checkpoint in EFT's layout: key `model`, and what else a trainer keeps.

    Written in the old format of torch, as the published file is.
    """
    state = spin_state(seed=seed, **layout)
    torch.save(
        {
            "model": {**state, "smpl.v_template": torch.zeros(6890, 3)},
            "optimizer": {"state": {}, "param_groups": [{"lr": 5e-5, "params": [0, 1]}]},
            "epoch": 7,
            "total_step_count": 1000,
            "best_performance": np.float64(51.7),
        },
        path,
        _use_new_zipfile_serialization=False,
    )
    return path


def save_small_body(path: Path, vertices: int = 80, seed: int = 3) -> Path:
    """A random body of SMPL's format (.npz) with pose blend shapes, of any number of vertices."""
    rng = np.random.default_rng(seed)
    regressor = np.zeros((24, vertices))
    for row in regressor:
        row[rng.choice(vertices, 8, replace=False)] = rng.dirichlet(np.ones(8))
    np.savez(
        path,
        v_template=rng.normal(size=(vertices, 3)) * 0.5,
        shapedirs=rng.normal(size=(vertices, 3, 10)) * 0.03,
        posedirs=rng.normal(size=(vertices, 3, 207)) * 0.01,
        weights=rng.dirichlet(np.full(24, 0.2), vertices),
        J_regressor=regressor,
        f=rng.integers(0, vertices, (50, 3)).astype(np.uint32),
        kintree_table=(np.array([PARENTS, range(24)]) % 2**32).astype(np.uint32),
    )
    return path


TINY_HMR2 = Layout(
    width=32,
    depth=2,
    mlp=24,
    decoder_width=20,
    decoder_depth=2,
    decoder_mlp=12,
    decoder_attention=128,
)


def hmr2_state(layout: Layout = TINY_HMR2, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a narrow HMR2.0 that answers with moderate poses and a camera in front."""
    generator = torch.Generator().manual_seed(seed)
    state = Hmr2Network(layout).state_dict()
    for name, value in state.items():
        fan = value[0].numel() if value.ndim > 1 else 4
        value.copy_(torch.randn(value.shape, generator=generator) / fan**0.5)
        if "norm" in name and name.endswith("weight"):
            value.add_(1)
        if ".dec" in name:
            value.mul_(0.2)
    state["smpl_head.init_body_pose"].copy_(torch.tensor([1.0, 0, 0, 0, 1, 0] * 24))
    state["smpl_head.init_cam"].copy_(torch.tensor([0.9, 0.0, 0.0]))
    return state


class CfgNode(dict):
    """What a checkpoint of 4D-Humans keeps its settings in, under the name of its package."""


def save_tiny_hmr2(path: Path, seed: int = 0, layout: Layout = TINY_HMR2) -> Path:
    """A narrow checkpoint in the layout of 4D-Humans' Lightning file, settings included."""
    state = hmr2_state(layout, seed)
    state |= {
        "smpl.v_template": torch.zeros(6890, 3),
        "discriminator.D_conv1.weight": torch.zeros(32, 9, 1, 1),
        "initialized": torch.tensor(True),
    }
    module = types.ModuleType("yacs.config")
    CfgNode.__module__, module.CfgNode = "yacs.config", CfgNode
    hidden = {name: sys.modules.get(name) for name in ("yacs", "yacs.config")}
    sys.modules.update({"yacs": types.ModuleType("yacs"), "yacs.config": module})
    settings = CfgNode(MODEL=CfgNode(IMAGE_SIZE=256))
    settings.__dict__["__immutable__"] = True
    try:
        torch.save(
            {
                "epoch": 35,
                "global_step": 1_000_000,
                "pytorch-lightning_version": "1.8.1",
                "state_dict": state,
                "loops": {"fit_loop": {"state_dict": {}}},
                "optimizer_states": [{"state": {}, "param_groups": []}],
                "hyper_parameters": {"cfg": settings},
            },
            path,
        )
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path
