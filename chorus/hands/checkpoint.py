"""TempCLR's published checkpoints: the network, and the hand that they hold.

A checkpoint folder has a text file `latest_checkpoint` with the checkpoint's path in it. MANO's
arrays lie inside of a checkpoint, so its licence binds those who pass one on. The release goes on
with random weights where it finds no checkpoint; here that is an error.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chorus.errors import BadInput, Unavailable
from chorus.models import checkpoints

if TYPE_CHECKING:
    from torch import Tensor

    from chorus.hands.hand_model import HandModel
    from chorus.hands.network import HandNetwork

logger = logging.getLogger(__name__)

LATEST = "latest_checkpoint"
_KEY = "model"
_HAND = {
    "v_template": (3,),
    "shapedirs": (3, 10),
    "J_regressor": None,
    "posedirs": None,
    "lbs_weights": (16,),
    "faces_tensor": (3,),
    "extra_joint_selector.bcs": (3,),
    "extra_joint_selector.face_ids": (),
}
_AGREE = 1e-6  # metres by which a hand of one's own may differ from the checkpoint's


class Loaded(NamedTuple):
    """A checkpoint's network, ready to predict, and the hand it was trained with, if it has it."""

    network: HandNetwork
    hand: HandModel | None


def checkpoint_file(path: Path) -> Path:
    """The checkpoint of a file, or of a folder with `latest_checkpoint`.

    The text in that file may be a path of the machine it was written on: then the file of that name
    in the folder counts. Unavailable if there is none.
    """
    if path.is_file() and path.name != LATEST:
        return path
    folder = path.parent if path.name == LATEST else path
    note = folder / LATEST
    if not note.is_file():
        raise Unavailable(
            f"there is no checkpoint at {path}: expected a file of TempCLR's release, such as "
            f"FreiHAND_model/checkpoints/tempclr_freihand, or a folder with {LATEST}. Without one "
            "nothing is predicted."
        )
    try:
        written = note.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{note} cannot be read as text: {error}.") from error
    name = written.replace("\\", "/").rpartition("/")[2]
    for found in (folder / written, folder / name):
        if name and found.is_file():
            return found
    raise Unavailable(
        f"{note} names {written!r}, and neither that nor {folder / name} is there; put the "
        "checkpoint beside it, or name the file itself."
    )


def load_checkpoint(path: Path, backbone: str) -> Loaded:
    """The network of a checkpoint (file or folder) on the CPU, and the hand inside of it.

    Unavailable if it is missing; BadInput, naming the first difference, if it is another network.
    """
    from chorus.hands.network import HIDDEN, OWN_PREFIXES, HandNetwork

    file = checkpoint_file(path)
    state = checkpoints.read_state_dict(file, _KEY)
    network = HandNetwork(
        backbone,
        _rows(state, "backbone.conv1.weight", 64),
        _rows(state, "regressor.module.layer_000.0.weight", HIDDEN),
    )
    checkpoints.fill(network, state, OWN_PREFIXES, file, f"a checkpoint of TempCLR with {backbone}")
    return Loaded(network.eval(), embedded_hand(state, file))


def _rows(state: dict[str, Tensor], name: str, usual: int) -> int:
    return len(state[name]) if name in state and state[name].ndim else usual


def embedded_hand(state: dict[str, Tensor], path: Path) -> HandModel | None:
    """The right hand that a checkpoint's `model.…` holds; None if it has none.

    Its mean pose is not stored and zero here: the network's poses are absolute. BadInput if parts
    of it are missing or misshapen.
    """
    import torch

    from chorus.hands.hand_model import HandModel

    found = {name: state[f"model.{name}"] for name in _HAND if f"model.{name}" in state}
    if not found:
        return None
    for name, ending in _HAND.items():
        if name not in found:
            raise BadInput(f"{path} holds a hand without model.{name}; it is damaged.")
        if ending is not None and tuple(found[name].shape[1:]) != ending:
            raise BadInput(
                f"model.{name} of {path} has the shape {tuple(found[name].shape)}; expected "
                f"(…, {', '.join(map(str, ending))})."
            )
    count = len(found["v_template"])
    fits = found["J_regressor"].shape == (16, count) and found["posedirs"].shape == (135, 3 * count)
    if not fits:
        raise BadInput(f"the hand in {path} has parts that do not fit together; it is damaged.")
    return HandModel(
        name=f"hand of {path.name}",
        side="right",
        v_template=found["v_template"].float(),
        shapedirs=found["shapedirs"].float(),
        posedirs=found["posedirs"].float(),
        weights=found["lbs_weights"].float(),
        joint_regressor=found["J_regressor"].float(),
        faces=found["faces_tensor"].long(),
        mean_pose=torch.zeros(15, 3),
        tip_faces=found["extra_joint_selector.face_ids"].long().flatten(),
        tip_weights=found["extra_joint_selector.bcs"].float(),
    )


def differs(hand: HandModel, trained: HandModel) -> str:
    """How a hand of one's own differs from the one a network was trained with; empty if not."""
    if hand.v_template.shape != trained.v_template.shape:
        return (
            f"{hand.name} has {len(hand.v_template)} vertices, the network was trained with "
            f"{len(trained.v_template)}"
        )
    largest = float((hand.v_template - trained.v_template).abs().max())
    if largest > _AGREE:
        return (
            f"{hand.name} differs from the hand in the checkpoint by up to {1e3 * largest:.3g} mm"
        )
    return ""
