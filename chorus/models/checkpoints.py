"""Checkpoints of third parties: read without running what is in them, compared name by name.

A published `.pt` or `.ckpt` file holds, beside the weights, whatever its trainer kept. Only tensors
and plain values are read. Names on a closed list (numpy's arrays and numbers; the settings of yacs,
Lightning and omegaconf; mmengine's logs) are answered with stand-ins that hold nothing and run
nothing, and any other name ends in `BadInput`.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chorus.errors import BadInput, Unavailable, shown
from chorus.models.registry import how_to_replace

logger = logging.getLogger(__name__)

Shapes = dict[str, tuple[int, ...]]


class _Held:
    """Stands for an object that no weights need: takes everything, holds and does nothing."""

    __slots__ = ()

    def __new__(cls, *arguments: Any) -> _Held:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _no_items(*arguments: Any) -> dict[Any, Any]:
    """Stands for a class of dictionaries that a file fills by its own opcodes."""
    return {}


# What trainers keep beside the weights: their settings, logs, numbers and places.
_HELD = (
    "numpy.ndarray",
    "numpy.dtype",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *(f"builtins.{name}" for name in ("bool", "bytes", "float", "int", "list", "str", "tuple")),
    "builtins.getattr",  # how mmengine's logs refer to their own methods
    "mmengine.logging.history_buffer.HistoryBuffer",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")
    ),
    "typing.Any",
    *(
        f"pathlib.{local}{name}"
        for local in ("", "_local.")
        for name in ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
    ),
)
_MAPPINGS = (
    "yacs.config.CfgNode",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
_STAND_INS: list[Any] = [
    *((_Held, name) for name in _HELD),
    *((OrderedDict, name) for name in _MAPPINGS),
    *((_no_items, name) for name in ("builtins.dict", "collections.defaultdict")),
]


_DEEPEST = 40
"""Containers within containers of recorded results; tools nest four or five."""


def read_state_dict(path: Path, key: str) -> dict[str, Tensor]:
    """The tensors that a checkpoint keeps under `key`, by name, on the CPU.

    A `.safetensors` file has no key and is read as it is. BadInput if the file is damaged, cut
    short, no checkpoint, or asks for what is not on the list; nothing in it is executed.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    stored = _read_torch(
        path,
        refused="which no weights need and which could run code. Nothing in it was executed, and "
        "the file need not be damaged. Take the published file; or, if it is your own, save its "
        f"weights alone where it was trained: torch.save({{{key!r}: model.state_dict()}}, "
        "'weights.pt').",
    )
    state = stored.get(key) if isinstance(stored, Mapping) else None
    if not isinstance(state, Mapping):
        few = islice(stored, 8) if isinstance(stored, Mapping) else ()
        names = ", ".join(each if isinstance(each, str) else shown(each) for each in few)
        names = f"{names:.300}" or "no names"
        raise BadInput(
            f"{path} has no {key!r} with the weights of a network; found {names}. It is not the "
            "checkpoint that was published."
        )
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def read_recorded(path: Path) -> Any:
    """What a `.pt` file of results holds: tensors as numpy arrays in the containers they lie in.

    BadInput as `read_state_dict`.
    """
    stored = _read_torch(
        path,
        refused="which no recorded results need and which could run code. Nothing in it was "
        "executed. Save tensors, numbers, text, lists and dictionaries alone.",
        damaged="whole file of torch.save",
        cure="write it again.",
    )
    try:
        return _as_arrays(stored, {}, _DEEPEST)
    except RecursionError as error:
        raise BadInput(f"{path} nests more than {_DEEPEST} containers; write it again.") from error


def _as_arrays(value: Any, known: dict[int, Any], depth: int) -> Any:
    """The same with arrays for tensors; parts that are shared stay so (known: by their id), or
    they might never end. RecursionError below `depth`."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == 0:
        raise RecursionError
    if id(value) not in known:
        if isinstance(value, Mapping):
            made: Any = {name: _as_arrays(each, known, depth - 1) for name, each in value.items()}
        else:
            made = [_as_arrays(each, known, depth - 1) for each in value]
        known[id(value)] = made
    return known[id(value)]


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """The shape of every tensor, by name."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def checksum(shapes: Shapes) -> str:
    """SHA-256 of the sorted lines "name shape", such as "conv1.weight 64x3x7x7".

    Counters of batches, which no prediction depends on, are left out.
    """
    lines = (
        f"{name} {'x'.join(map(str, shape)) or 'scalar'}\n"
        for name, shape in sorted(shapes.items())
        if not is_counter(name)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_counter(name: str) -> bool:
    """Whether a tensor only counts batches of the training."""
    return name.endswith("num_batches_tracked")


def differences(shapes: Shapes, expected: Shapes, own: Iterable[str]) -> list[str]:
    """What keeps a checkpoint from fitting a network, a clause each, in the network's order.

    own: prefixes that only this network's tensors have; further ones of them mean another network.
    """
    clauses = []
    for name, shape in expected.items():
        if is_counter(name):
            continue
        if name not in shapes:
            clauses.append(f"{name} is missing")
        elif shapes[name] != shape:
            clauses.append(f"{name} has the shape {shapes[name]}, expected {shape}")
    prefixes = tuple(own)
    clauses += [
        f"{name} is one too many"
        for name in shapes
        if name.startswith(prefixes) and name not in expected
    ]
    return clauses


def fill(
    network: torch.nn.Module, state: Mapping[str, Tensor], own: Iterable[str], path: Path, what: str
) -> None:
    """Load a network's weights from `state`; other entries of the file are left alone.

    BadInput, naming the first difference, if a tensor is missing, misshapen, not finite, or one too
    many among the network's `own` prefixes. what: how the sentence calls the network.
    """
    expected = network.state_dict()
    clauses = differences(shapes_of(state), shapes_of(expected), own)
    if clauses:
        more = f" (and {len(clauses) - 1} more differences)" if len(clauses) > 1 else ""
        raise BadInput(f"{path} is not {what}: {clauses[0]}{more}.")
    ignored = sorted(state.keys() - expected.keys())
    if ignored:
        logger.debug("%s: not needed and left alone: %s", path, ", ".join(ignored))
    for name, value in state.items():
        if name in expected and not value.isfinite().all():
            raise BadInput(
                f"{path} is damaged: {name} holds NaN or infinity; {how_to_replace(path)}."
            )
    weights = {name: value for name, value in state.items() if name in expected}
    network.load_state_dict(weights, strict=False)  # strict but for the counters, see `differences`


def _read_torch(path: Path, refused: str, damaged: str = "whole checkpoint", cure: str = "") -> Any:
    """A file of torch's, on the CPU. refused, damaged, cure: what the sentences about a file that
    asks for more than data, and about one that is not whole, go on with."""
    try:
        with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _refused(str(error))
        if asked:
            raise BadInput(f"{path} is refused: {asked}, {refused}") from error
        raise _damaged(path, error, damaged, cure) from error
    except Exception as error:  # a damaged file can fail in any way; none of them is ours
        # torch seeks beyond the end of a file that is cut off: an OSError that names no file
        if isinstance(error, OSError) and error.filename is not None:
            raise BadInput(f"cannot read {path}: {error.strerror}.") from error
        raise _damaged(path, error, damaged, cure) from error


def _refused(message: str) -> str:
    """What torch's refusal names, as a clause; empty for another message, which means damage."""
    for before in ("Unsupported global: GLOBAL ", "unsupported GLOBAL "):
        if before in message:
            return f"it asks for {message.partition(before)[2].split()[0]}"
    for before in (
        "Trying to call reduce for unrecognized function ",
        "classes allowlisted via `add_safe_globals` but got ",
        "types allowlisted via `add_safe_globals`, but got ",
        "Can only append to lists, but got ",
        "Can only extend lists, but got ",
        "collections.Counter, but got ",
    ):
        if before in message:
            what = message.partition(before)[2].splitlines()[0].strip(" .")
            return f"it builds an object by {what}"
    for package in ("torch.nested", "torch.distributed.tensor"):
        if f"``{package}``" in message:
            return f"it asks for a class of {package}"
    return ""


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise Unavailable(
            f"{path} needs the package safetensors: pip install -c constraints.txt safetensors"
        ) from error
    try:
        return load_file(path)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _damaged(
    path: Path, error: Exception, what: str = "whole checkpoint", cure: str = ""
) -> BadInput:
    description = f"has {path.stat().st_size} bytes"
    with path.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        description = "is a web page"
    return BadInput(
        f"{path} is no {what} ({type(error).__name__}); the file {description}, and is "
        f"damaged, cut short or of another kind: {cure or how_to_replace(path) + '.'}"
    )
