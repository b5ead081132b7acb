"""Reads the pickles that the published CHORUS code wrote, and executes nothing in them.

They hold nested `EasyDict`s of numbers, numpy arrays and PyTorch tensors. On top of what the
restricted unpickler allows, this one answers the names of those: an `EasyDict` becomes a dict, a
tensor the numpy array of its values. A tensor's values are a stream of their own inside the pickle
(PyTorch's older file format: five small pickles, then the raw numbers); it is taken apart here by
the same restricted rules, so neither easydict nor torch is imported.
"""

from __future__ import annotations

import io
import reprlib
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from chorus.body.restricted_pickle import Maker, RestrictedUnpickler, StoredArray, load_with
from chorus.errors import BadInput

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
    f"{module}.{kind}Storage": code
    for module in ("torch", "torch.cuda")
    for kind, code in {
        "Double": "<f8",
        "Float": "<f4",
        "Half": "<f2",
        "Long": "<i8",
        "Int": "<i4",
        "Short": "<i2",
        "Char": "|i1",
        "Byte": "|u1",
        "Bool": "|b1",
    }.items()
}


def load_release_pickle(path: Path | str) -> Any:
    """The object stored in a file that the published code wrote (any pickle protocol).

    EasyDicts come back as dicts; use `chorus.body.restricted_pickle.array_of` for arrays and
    tensors. BadInput if the file is missing, damaged, or asks for a name that such files do not
    need, which is named.
    """
    return load_with(
        _ReleaseUnpickler,
        path,
        "a result of the published code",
        "it is damaged or cut short: fetch it again",
    )


class _EasyDict(dict):
    """Stand-in of `easydict.EasyDict`, whose state repeats its items."""

    def __setstate__(self, state: Any) -> None:
        self.update(state)


class _ReleaseUnpickler(RestrictedUnpickler):
    """The restricted unpickler with EasyDict and PyTorch's tensors."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of `module.name`; BadInput names what is refused."""
        full = f"{module}.{name}"
        if full == "easydict.EasyDict":
            return type("EasyDict", (_EasyDict,), {})
        if full == "torch.storage._load_from_bytes":
            return Maker(lambda content: _storage(content, self.path))
        if full in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return Maker(_tensor)
        return super().find_class(module, name)


class _Announced(NamedTuple):
    """What a tensor's stream says about the numbers at its end."""

    key: Any
    code: str
    count: int


class _StorageUnpickler(RestrictedUnpickler):
    """Reads the small pickles of a tensor's own stream: numbers, text and one storage."""

    def find_class(self, module: str, name: str) -> Any:
        """The number type of a storage class; BadInput for everything else."""
        code = _STORAGES.get(f"{module}.{name}")
        return super().find_class(module, name) if code is None else code

    def persistent_load(self, identifier: Any) -> Any:
        """The storage that the end of the stream holds, as announced."""
        if not (isinstance(identifier, tuple) and len(identifier) in (5, 6)):
            self._refuse(identifier)
        what, code, key, _location, count = identifier[:5]
        whole = identifier[5:] in ((), (None,))
        if what != "storage" or code not in _STORAGES.values() or not whole:
            self._refuse(identifier)
        return _Announced(key, code, int(count))

    def _refuse(self, identifier: Any) -> NoReturn:
        raise BadInput(
            f"{self.path} is refused: a tensor in it refers to {reprlib.repr(identifier):.80}, "
            "which is no plain storage of numbers."
        )


def _storage(content: Any, path: Path) -> StoredArray:
    """The numbers of a storage that PyTorch wrote into bytes, in a stand-in array."""
    stream = io.BytesIO(content)

    def following() -> Any:
        return _StorageUnpickler(stream, path).load()

    magic, protocol, system = following(), following(), following()
    if magic != _MAGIC or protocol != _PROTOCOL or not system.get("little_endian"):
        raise BadInput(f"{path}: a tensor in it is not in PyTorch's older format (little-endian).")
    announced, keys = following(), following()
    if not isinstance(announced, _Announced) or keys != [announced.key]:
        raise BadInput(f"{path}: a tensor in it is not one storage of numbers.")
    kind = np.dtype(announced.code)
    written = int.from_bytes(stream.read(8), "little")
    raw = stream.read()
    if written != announced.count or len(raw) != written * kind.itemsize:
        raise BadInput(
            f"{path}: a tensor in it announces {announced.count} numbers and holds {len(raw)} "
            "bytes; the file is damaged: fetch it again."
        )
    return _held(np.frombuffer(raw, kind))


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_rest: Any) -> StoredArray:
    """A view of a storage as an array of its own, after checking that it stays inside."""
    numbers = getattr(storage, "value", None) if isinstance(storage, StoredArray) else None
    size, stride = (tuple(int(length) for length in lengths) for lengths in (size, stride))
    sound = numbers is not None and len(size) == len(stride) and offset >= 0
    if not sound or min((*size, *stride), default=0) < 0:
        raise BadInput("a tensor is stored with an impossible shape; the file is damaged.")
    if 0 in size:
        return _held(np.zeros(size, numbers.dtype))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # A stride of 0 would let a few bytes claim an array of any size.
    if last >= numbers.size or np.prod(size, dtype=object) > numbers.size:
        raise BadInput("a tensor is stored with more places than numbers; the file is damaged.")
    steps = [step * numbers.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(numbers[offset:], size, steps)
    return _held(view.copy())


def _held(value: np.ndarray) -> StoredArray:
    array = StoredArray()
    array.value = value
    return array
