"""`hmr2[:CHECKPOINT]`: HMR2.0, the body regressor of 4D-Humans (MIT licence; weights apart).

The checkpoint is the published Lightning file (`epoch=35-step=1000000.ckpt`), which keeps the
weights under the key `state_dict`, or the same names in `.safetensors`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.errors import BadInput
from chorus.models import registry

if TYPE_CHECKING:
    from chorus.body.joint_sets import JointSource
    from chorus.perception.crop_regression import CropRegressor
    from chorus.perception.hmr2_network import Hmr2Network

WEIGHT = "hmr2"
_KEY = "state_dict"
_WHAT = "a checkpoint of HMR2.0"
FOCAL = 5000 / 256
"""Focal length of its camera, in sides of the crop (4D-Humans' EXTRA.FOCAL_LENGTH, IMAGE_SIZE)."""
_AT_ONCE = 32  # crops: about 1 GB of activations beside 2.7 GB of weights


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if the checkpoint is not there."""
    _checkpoint(source, imports_dir)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, body: JointSource
) -> CropRegressor:
    """The regressor on `device`; `source` is a checkpoint, or "" for the published one.

    `body` gives the 24 joints, which are projected by the network's own pinhole camera. BadInput,
    naming the first difference, if the file is no checkpoint of this network.
    """
    from chorus.geometry.weak_perspective import project_long
    from chorus.perception.crop_regression import CropRegressor
    from chorus.perception.person_crops import hmr2_crop

    network = load_network(_checkpoint(source, imports_dir)).to(device)
    project = functools.partial(project_long, focal=FOCAL)
    return CropRegressor(network, hmr2_crop, body, device, _AT_ONCE, project)


def load_network(path: Path) -> Hmr2Network:
    """The network of a checkpoint, on the CPU, ready to predict; its sizes are the checkpoint's."""
    from chorus.models import checkpoints
    from chorus.perception.hmr2_network import OWN_PREFIXES, Hmr2Network, layout_of

    state = checkpoints.read_state_dict(path, _KEY)
    try:
        layout = layout_of(state)
    except BadInput as error:
        raise BadInput(f"{path} is not {_WHAT}: {error}") from error
    network = Hmr2Network(layout)
    checkpoints.fill(network, state, OWN_PREFIXES, path, _WHAT)
    return network.eval()


def _checkpoint(source: str, imports_dir: Path) -> Path:
    return registry.given_or_published(
        source, WEIGHT, imports_dir, f"{_WHAT}, .ckpt or .safetensors"
    )
