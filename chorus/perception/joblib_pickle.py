"""Reads the pickles that trackers write with joblib or numpy.save, and executes nothing in them.

joblib's format: a pickle, as a whole compressed by zlib or gzip or not at all, in which every numpy
array is a description (`NumpyArrayWrapper`) followed by the raw numbers, outside the pickle's own
opcodes. Names are answered by the rules of `chorus.body.restricted_pickle`; on top of those, this
one knows the wrapper, `defaultdict` (read as a dict) and PyTorch's tensors, which come back as
arrays. Joblib is not imported, torch only for tensors.
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zlib
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from chorus.body.restricted_pickle import (
    CheckedUnpickler,
    Maker,
    RestrictedUnpickler,
    StoredArray,
    load_with,
)
from chorus.errors import BadInput

_LARGEST = 8 << 30  # bytes after decompression; a day of video stays far below
_BOMB = 256 << 20  # bytes from which on a file may not be packed by more than the factor
_MOST_PACKED = 60
_CHUNK = 1 << 24
_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_COMPRESSED = (b"\x78", b"\x1f\x8b")
_ADVICE = "it is damaged, cut short or of another compression: write it again"


def load_joblib(path: Path | str) -> Any:
    """The object stored in a joblib file or a plain pickle.

    Arrays inside are stand-ins: see `chorus.body.restricted_pickle.array_of`. BadInput if the file
    is missing, damaged, of another compression, or asks for a name that is not on the list.
    """
    return load_with(
        _JoblibReader,
        path,
        "a tracker's pickle (joblib, uncompressed or zlib)",
        _ADVICE,
    )


def load_npy(path: Path | str) -> Any:
    """What `numpy.save` stored: an array, or the object of an array that holds a single one.

    Arrays inside of an object are stand-ins, as `load_joblib` has them. BadInput likewise.
    """
    return load_with(_NpyReader, path, "an .npy file", "it is damaged or cut short: write it again")


class _JoblibReader:
    """What `load_with` expects of an unpickler: decompresses, then reads."""

    def __init__(self, stream: Any, path: Path) -> None:
        self.content = _decompressed(stream, path)
        self.path = path

    def load(self) -> Any:
        """The stored object."""
        return _JoblibUnpickler(self.content, self.path).load()


class _NpyReader:
    """What `load_with` expects of an unpickler: reads numpy's header, then the array."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path

    def load(self) -> Any:
        """The array, or its single object."""
        version = np.lib.format.read_magic(self._stream)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _fortran, dtype = header(self._stream)
        if not dtype.hasobject:
            self._stream.seek(0)
            return np.lib.format.read_array(self._stream, allow_pickle=False)
        content = io.BytesIO(self._stream.read())
        stored = _JoblibUnpickler(content, self._path).load()
        value = getattr(stored, "value", None)
        if shape != () or value is None or value.shape != ():
            raise BadInput(f"{self._path} holds several objects; expected an array or one object.")
        return value.item()


def _decompressed(stream: Any, path: Path) -> io.BytesIO:
    start = stream.read(2)
    stream.seek(0)
    if not start.startswith(_COMPRESSED):
        return io.BytesIO(stream.read())
    machine = zlib.decompressobj(wbits=47)  # zlib's header or gzip's
    content = io.BytesIO()
    while chunk := machine.unconsumed_tail or stream.read(_CHUNK):
        content.write(machine.decompress(chunk, _CHUNK))
        packed = stream.tell() - len(machine.unconsumed_tail)
        if content.tell() > max(_BOMB, _MOST_PACKED * packed):
            raise BadInput(
                f"{path} is packed more than {_MOST_PACKED} times, as no tracker's numbers are; "
                "write it again, uncompressed."
            )
        if content.tell() > _LARGEST:
            raise BadInput(f"{path} holds more than {_LARGEST >> 30} GiB; split it by video.")
    if not machine.eof:
        raise BadInput(f"{path} is cut short; write it again.")
    content.seek(0)
    return content


class _Wrapper:
    """Stand-in of joblib's description of an array."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _JoblibUnpickler(CheckedUnpickler):
    """The Python unpickler, because arrays interrupt the stream of opcodes.

    Every name is answered by the restricted unpickler; this class adds no name that could run code.
    """

    dispatch: ClassVar[dict] = dict(CheckedUnpickler.dispatch)

    def __init__(self, stream: io.BytesIO, path: Path) -> None:
        super().__init__(stream, encoding="latin1")
        self._stream = stream
        self._path = path
        self._names = RestrictedUnpickler(stream, path)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of `module.name`; BadInput names what is refused."""
        full = f"{module}.{name}"
        if full == "joblib.numpy_pickle.NumpyArrayWrapper":
            return type("Wrapper", (_Wrapper,), {})
        if full == "collections.defaultdict":
            return Maker(lambda *_: {})
        if full in _TENSOR:
            return Maker(_tensor)
        if full == "torch.storage._load_from_bytes":
            return Maker(_storage)
        return self._names.find_class(module, name)

    def persistent_load(self, identifier: Any) -> NoReturn:
        """Refuse references to objects outside the file."""
        self._names.persistent_load(identifier)

    def load_build(self) -> None:
        """Give an object its state; an array's numbers follow its description."""
        super().load_build()
        if isinstance(self.stack[-1], _Wrapper):
            self.stack[-1] = self._array(self.stack[-1].state)

    dispatch[pickle.BUILD[0]] = load_build

    def _array(self, state: dict[str, Any]) -> StoredArray:
        dtype, shape = state["dtype"], tuple(int(size) for size in state["shape"])
        if dtype.is_object:
            objects = RestrictedUnpickler(self._stream, self._path).load()
            if not isinstance(objects, StoredArray):
                raise BadInput(f"{self._path}: an array of objects is stored as something else.")
            return objects
        if state.get("numpy_array_alignment_bytes") is not None:
            self._stream.read(self._stream.read(1)[0])  # padding, its length first
        if min(shape, default=0) < 0:
            raise BadInput(f"{self._path}: an array claims the shape {shape}.")
        content = self._stream.read(math.prod(shape) * dtype.numpy().itemsize)
        array = StoredArray()
        array.__setstate__((1, shape, dtype, state["order"] == "F", content))
        return array


def _storage(content: bytes) -> Any:
    """The numbers of tensors, as torch stores them apart; nothing in them is executed."""
    import torch

    with io.BytesIO(content) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats
        return torch.load(stream, map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredArray:
    """A tensor's numbers; a view that its storage does not hold is refused by torch."""
    import torch

    if not isinstance(storage, torch.storage.TypedStorage):
        raise BadInput("a tensor is stored without its numbers.")
    flat = torch.empty(0, dtype=storage.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are an old form
        numbers = storage.untyped()
    flat.set_(numbers, 0, (numbers.nbytes() // flat.element_size(),), (1,))
    if math.prod(size) > flat.numel():
        raise BadInput(f"a tensor of shape {tuple(size)} holds {flat.numel()} numbers.")
    view = torch.as_strided(flat, tuple(size), tuple(stride), offset)
    array = StoredArray()
    array.value = (view.float() if view.dtype == torch.bfloat16 else view).contiguous().numpy()
    return array
