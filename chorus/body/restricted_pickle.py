"""Reads third-party pickles (SMPL bodies and their like) and executes nothing in them.

A pickle is a small program that may call anything importable. Here every name it asks for is
looked up in a closed list, and each listed name is answered with an inert stand-in of this module:
not even numpy, scipy or chumpy code runs while a file is read, so chumpy need not be installed,
and a forged array header cannot reach numpy's C code. A name outside the list ends in `BadInput`.

Nor does a file hang: tuples that share their parts can be as large as 2 to the power of their
depth, so nothing here hashes, shows or converts one that is nested deeply. The unpickler is
Python's own, whose memo, other than that of the C one, does not grow to what a file claims.

What comes back are dicts, lists, numbers and text as stored; `array_of` turns the stand-ins of
numpy arrays, scipy sparse matrices and chumpy objects into numpy arrays.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NoReturn

import numpy as np

from chorus.errors import BadInput


def load_restricted(path: Path | str, stream: BinaryIO | None = None) -> Any:
    """The object stored in a pickle (any protocol; Python 2 text is read as Latin-1).

    Arrays, sparse matrices and chumpy objects inside are `Held` stand-ins: see `array_of`.
    stream: the pickle, if it is no file of its own; `path` then only names it.
    BadInput if the file is missing, is no pickle, is cut short, or asks for a name that is not on
    the list, which is named.
    """
    return load_with(
        RestrictedUnpickler,
        path,
        "a pickle",
        "it is damaged, cut short or not a pickle: fetch it again",
        stream,
    )


def load_with(
    unpickler: type[RestrictedUnpickler],
    path: Path | str,
    kind: str,
    advice: str,
    stream: BinaryIO | None = None,
) -> Any:
    """The object that `unpickler` finds in a file; every failure is a BadInput naming the file.

    `kind` is what the file should be, `advice` ends the sentence about a damaged one. `stream` is
    read instead of the file at `path` if it is given.
    """
    path = Path(path)
    try:
        with nullcontext(stream) if stream else path.open("rb") as opened:
            # from memory: a read of more bytes than there are then takes none
            content = opened if isinstance(opened, io.BytesIO) else io.BytesIO(opened.read())
            return unpickler(content, path).load()
    except BadInput as error:
        if str(path) in str(error):
            raise
        raise BadInput(f"{path} is refused: {error}") from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle can fail in any way; none of them is ours
        raise BadInput(
            f"{path} cannot be read as {kind} ({type(error).__name__}: {str(error)[:_SHOWN]}); "
            f"{advice}."
        ) from error


_SHOWN = 200  # characters of what a file holds, in a message
_DEEPEST = 4  # axes of an array that is stored as nested lists


class Held:
    """Stand-in of an object: the class it claims to be, its arguments and its state, never run."""

    kind = "object"

    def __new__(cls, *arguments: Any) -> Held:
        held = super().__new__(cls)
        held.arguments = arguments
        held.state = {}
        return held

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class StoredArray:
    """Stand-in of `numpy.ndarray` until its state, and with it the content, is known."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, content = state
        self.value = _plain_array(shape, dtype, content, "F" if fortran else "C")


class _Dtype:
    """Stand-in of `numpy.dtype`: plain numbers, text and objects; no fields."""

    def __init__(self, code: Any) -> None:
        self.code = _text(code, "type")
        self.order = "|"
        if not re.fullmatch(r"[<>=|]?([biufcSU?]\d{0,4}|O8?)", self.code):
            raise BadInput(f"the array type {self.code!r} is not one that model files use.")

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1], "byte order")
        if any(state[2:5]):
            raise BadInput("structured arrays are not among what model files use.")

    @property
    def is_object(self) -> bool:
        return self.code.lstrip("<>=|").startswith("O")

    def numpy(self) -> np.dtype:
        """The real type; only ever one of numpy's plain ones."""
        return np.dtype(self.code).newbyteorder(self.order)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str | bytes) or len(value) > _SHOWN:
        raise BadInput(f"an array's {what} is not a short text.")
    return value.decode("latin1") if isinstance(value, bytes) else value


def _plain_array(shape: Any, dtype: Any, content: Any, order: str) -> np.ndarray:
    """A numpy array from its stored parts, copied and checked for size."""
    if not isinstance(dtype, _Dtype):
        raise BadInput("an array is stored without a type.")
    shape = tuple(int(size) for size in shape)
    if min(shape, default=0) < 0:
        raise BadInput(f"an array claims the shape {shape}.")
    if dtype.is_object:
        if len(content) != math.prod(shape):
            raise BadInput(f"an array of shape {shape} holds {len(content)} objects.")
        values = np.empty(len(content), dtype=object)
        values[:] = content
        return values.reshape(shape, order=order)
    if isinstance(content, str):
        content = content.encode("latin1")
    kind = dtype.numpy()
    if len(content) != math.prod(shape) * kind.itemsize:
        raise BadInput(f"an array of shape {shape} holds {len(content)} bytes; it is damaged.")
    return np.frombuffer(bytes(content), dtype=kind).reshape(shape, order=order)


class Maker:
    """A function the pickle may call, wrapped so that it cannot be altered from within the file."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise BadInput("the pickle tries to alter a function.")

    def __setstate__(self, state: Any) -> NoReturn:
        raise BadInput("the pickle tries to alter a function.")


def _scalar(dtype: _Dtype, content: Any = b"") -> Any:
    return _plain_array((), dtype, content, "C")[()]


def _from_buffer(
    content: Any, dtype: _Dtype, shape: Any, order: str, axes: Any = None
) -> StoredArray:
    """numpy's form of protocol 5; `axes` belongs to order K: the stored axes' places."""
    array = StoredArray()
    array.value = _plain_array(shape, dtype, content, "F" if order == "F" else "C")
    if order == "K" and axes is not None:
        array.value = array.value.transpose([int(axis) for axis in axes])
    return array


def _reconstruct(kind: Any, _base: Any = None, _state: Any = None) -> Held:
    if not (isinstance(kind, type) and issubclass(kind, Held)):
        raise BadInput("the pickle asks to construct something that is not a model's part.")
    return kind()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    encoding = _text(encoding, "encoding")
    if encoding not in {"latin1", "latin-1", "utf-8", "ascii"}:
        raise BadInput(f"the pickle asks for the text encoding {encoding!r}.")
    return text.encode(encoding)


_MAKERS: dict[str, Callable[..., Any]] = {
    **{
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")
        for name, function in {
            "multiarray._reconstruct": lambda *_: StoredArray(),
            "multiarray.scalar": _scalar,
            "numeric._frombuffer": _from_buffer,
        }.items()
    },
    "numpy.dtype": lambda code, *_: _Dtype(code),
    "numpy.ndarray": lambda *_: StoredArray(),
    "copyreg._reconstructor": _reconstruct,
    "copyreg.__newobj__": lambda kind, *_: _reconstruct(kind),
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",
}


def checked_keys(keys: Any) -> list:
    """Keys of a dict or members of a set, as a list; BadInput for deeply nested tuples, which take
    forever to hash."""
    keys = list(keys)
    if not all(_is_shallow(key, 3) for key in keys):
        raise BadInput("the pickle has keys that are nested deeply.")
    return keys


def _is_shallow(value: Any, levels: int) -> bool:
    """Whether a value is no tuple or one of few parts and levels."""
    if not isinstance(value, tuple | frozenset):
        return True
    return levels > 0 and len(value) <= 16 and all(_is_shallow(v, levels - 1) for v in value)


def _dictionary(pairs: Any = ()) -> dict:
    """A dict of pairs, as a function of the pickle."""
    pairs = list(pairs.items() if isinstance(pairs, dict) else pairs)
    checked_keys(key for key, _ in pairs)
    return dict(pairs)


_PLAIN = {
    "builtins.set": Maker(lambda members=(): set(checked_keys(members))),
    "builtins.frozenset": Maker(lambda members=(): frozenset(checked_keys(members))),
    "builtins.list": list,
    "builtins.dict": Maker(_dictionary),
    "builtins.tuple": tuple,
    "builtins.complex": complex,
    "collections.OrderedDict": Maker(lambda pairs=(): OrderedDict(_dictionary(pairs))),
}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_HELD = re.compile(
    r"chumpy(\.[a-z_]+)*\.[A-Za-z]\w*"
    r"|scipy\.sparse(\._?[a-z]+)?\.(csc|csr|coo)_(matrix|array)"
)


class CheckedUnpickler(pickle._Unpickler):
    """Python's own unpickler, which looks at the keys of dicts and sets before they are hashed."""

    dispatch: ClassVar[dict] = dict(pickle._Unpickler.dispatch)

    def load_setitem(self) -> None:
        """One item of a dict."""
        checked_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Several items of a dict."""
        checked_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        """A dict of the items since the mark."""
        checked_keys(self.stack[::2])
        super().load_dict()

    def load_additems(self) -> None:
        """Several members of a set."""
        checked_keys(self.stack)
        super().load_additems()

    def load_frozenset(self) -> None:
        """A frozenset of the members since the mark."""
        checked_keys(self.stack)
        super().load_frozenset()

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_frozenset


class RestrictedUnpickler(CheckedUnpickler):
    """Answers the names of the closed list with stand-ins and refuses every other."""

    def __init__(self, stream: Any, path: Path) -> None:
        super().__init__(stream, encoding="latin1")
        self.path = path
        self.held: dict[str, type[Held]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of `module.name`, fresh for this file; BadInput names what is refused."""
        full = f"{_PYTHON_2.get(module, module)}.{name}"
        if full in _MAKERS:
            return Maker(_MAKERS[full])
        if full in _PLAIN:
            return _PLAIN[full]
        if full == "builtins.object" or _HELD.fullmatch(full):
            if full not in self.held:
                self.held[full] = type("Held", (Held,), {"kind": full})
            return self.held[full]
        raise BadInput(
            f"{self.path} is refused: this pickle asks for {module}.{name}, which no model file "
            "needs and which could run code. Nothing in it was executed; do not open it elsewhere."
        )

    def persistent_load(self, identifier: Any) -> NoReturn:
        """Refuse references to objects outside the file."""
        raise BadInput(f"{self.path} is refused: it refers to objects outside itself.")


def array_of(value: Any, what: str) -> np.ndarray:
    """A numpy array from a stored array, sparse matrix, chumpy object, list or number.

    The value of chumpy's `Ch` is its `x`; of `Select`, `a.ravel()[idxs]` in `preferred_shape`.
    what: how to call the value in an error. BadInput if it is none of these.
    """
    if isinstance(value, StoredArray) and value.value is not None:
        return value.value
    if isinstance(value, list | tuple) and not _is_regular(value, _DEEPEST):
        raise BadInput(f"{what} is nested more deeply than an array.")
    if isinstance(value, np.ndarray | np.generic | int | float | list | tuple):
        try:
            return np.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadInput(f"{what} is no array of numbers ({str(error)[:_SHOWN]}).") from error
    if isinstance(value, Held) and isinstance(value.state, dict):
        try:
            return _array_of_held(value.kind, value.state, what)
        except (LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
            raise BadInput(
                f"{what} is a damaged {value.kind} ({type(error).__name__}: {error})."
            ) from error
    kind = value.kind if isinstance(value, Held) else type(value).__name__
    raise BadInput(f"{what} is a {kind}; an array was expected.")


def _is_regular(value: Any, levels: int) -> bool:
    """Whether a list ends within some levels, as far as its first parts tell, which those of an
    array are like."""
    while isinstance(value, list | tuple) and levels:
        if any(isinstance(v, list | tuple) != isinstance(value[0], list | tuple) for v in value):
            return False
        value, levels = value[0] if value else None, levels - 1
    return not isinstance(value, list | tuple)


def _array_of_held(kind: str, state: dict[str, Any], what: str) -> np.ndarray:
    if kind.startswith("chumpy.") and kind.endswith(".Select"):
        source = array_of(state["a"], what)
        chosen = source.ravel()[array_of(state["idxs"], what)]
        shape = state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(array_of(shape, what).astype(int))
    if kind.startswith("chumpy.") and "x" in state:
        return array_of(state["x"], what)
    if kind.startswith("scipy.sparse"):
        return _array_of_sparse(kind.rsplit(".", 1)[1][:3], state, what)
    raise BadInput(f"{what} is a {kind}, whose value is not known; an array was expected.")


def _array_of_sparse(layout: str, state: dict[str, Any], what: str) -> np.ndarray:
    from scipy import sparse

    shape = tuple(int(size) for size in (state["_shape"] if "_shape" in state else state["shape"]))
    content = array_of(state["data"], what)
    if layout == "coo":
        # scipy names the places `coords` since 1.13, `row` and `col` before
        places = state["coords"] if "coords" in state else (state["row"], state["col"])
        return sparse.coo_array(
            (content, tuple(array_of(p, what) for p in places)), shape
        ).toarray()
    make = {"csc": sparse.csc_array, "csr": sparse.csr_array}[layout]
    places = (array_of(state[key], what) for key in ("indices", "indptr"))
    matrix = make((content, *places), shape=shape)
    # places outside the matrix would otherwise be written to memory that is not its own
    matrix.check_format(full_check=True)
    return matrix.toarray()
