"""`frankmocap-eft[:CHECKPOINT]`: FrankMocap's body regressor with the weights of EFT (method.md 4).

The checkpoint is the published `.pt`, which keeps the weights under the key `model`, or what
scripts/convert_spin_checkpoint.py makes of it (`.safetensors`). Its licence is CC BY-NC 4.0.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.errors import BadInput
from chorus.models import registry

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.body.joint_sets import JointSource
    from chorus.perception.crop_regression import CropRegressor
    from chorus.perception.spin_network import SpinNetwork

logger = logging.getLogger(__name__)

WEIGHT = "frankmocap-eft"
_KEY = "model"
_WHAT = "a checkpoint of the HMR / SPIN / FrankMocap body regressor"
_AT_ONCE = 64  # crops: about 2 GB of activations


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if the checkpoint is not there."""
    _checkpoint(source, imports_dir)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, body: JointSource
) -> CropRegressor:
    """The regressor on `device`; `source` is a checkpoint, or "" for the published one.

    `body` gives the 24 joints that are projected. BadInput, naming the first difference, if the
    file is no checkpoint of this network.
    """
    from chorus.perception.crop_regression import CropRegressor
    from chorus.perception.person_crops import spin_crop

    network = load_network(_checkpoint(source, imports_dir)).to(device)
    return CropRegressor(network, spin_crop, body, device, _AT_ONCE)


def load_network(path: Path) -> SpinNetwork:
    """The network of a checkpoint, on the CPU, ready to predict; its width is the checkpoint's."""
    from chorus.models import checkpoints
    from chorus.perception.spin_network import HIDDEN, OWN_PREFIXES, WIDTH, SpinNetwork

    state = checkpoints.read_state_dict(path, _KEY)
    network = SpinNetwork(_rows(state, "conv1.weight", WIDTH), _rows(state, "fc1.weight", HIDDEN))
    checkpoints.fill(network, state, OWN_PREFIXES, path, _WHAT)
    return network.eval()


def convert(source: Path, destination: Path) -> str:
    """Write a published checkpoint's weights as `.safetensors`; the checksum of their layout.

    Only the network's own tensors are kept. BadInput, saying exactly what differs, unless names and
    shapes are those of the published network; then nothing is written.
    """
    from safetensors.torch import save_file

    from chorus.files import replacing
    from chorus.models import checkpoints
    from chorus.perception.spin_network import OWN_PREFIXES

    if destination.suffix != ".safetensors":
        raise BadInput(f"{destination} must end in .safetensors.")
    state = checkpoints.read_state_dict(source, _KEY)
    expected = published_shapes()
    state_shapes = checkpoints.shapes_of(state)
    differences = checkpoints.differences(state_shapes, expected, OWN_PREFIXES)
    own = {name: tensor.contiguous() for name, tensor in state.items() if name in expected}
    sums = [checkpoints.checksum(shapes) for shapes in (checkpoints.shapes_of(own), expected)]
    if differences:
        raise BadInput(
            f"{source} is not {_WHAT} as published: {'; '.join(differences)}. The checksum of its "
            f"names and shapes is {sums[0]}, expected {sums[1]}."
        )
    with replacing(destination) as place:
        save_file(own, place, metadata={"layout": sums[0], "made from": source.name})
    return sums[0]


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published network's weights."""
    import torch

    from chorus.models.checkpoints import shapes_of
    from chorus.perception.spin_network import SpinNetwork

    with torch.device("meta"):
        return shapes_of(SpinNetwork().state_dict())


def _checkpoint(source: str, imports_dir: Path) -> Path:
    return registry.given_or_published(source, WEIGHT, imports_dir, f"{_WHAT}, .pt or .safetensors")


def _rows(state: dict[str, Tensor], name: str, published: int) -> int:
    """How many rows a weight has; the published number if it is not there (it is missed later)."""
    return len(state[name]) if name in state and state[name].ndim else published
