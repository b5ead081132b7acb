"""The restricted unpickler: reads what model files hold, runs nothing, names what it refuses."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import struct
from collections import OrderedDict

import model_files
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput

ARRAYS = [
    np.arange(24.0).reshape(2, 3, 4),
    np.arange(24.0).reshape(2, 3, 4).T,
    np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    np.arange(6, dtype=">i2"),
    np.array([True, False]),
    np.array(["a", "bc"]),
    np.array([1, "x", None], dtype=object),
    np.zeros((0, 3), np.float32),
    np.float32(3.5),
    np.uint32(4294967295),
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_of_every_protocol(tmp_path, array, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(model_files.as_python_2(pickle.dumps(array, protocol)))
    read = array_of(load_restricted(path), "it")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("flavour", ["matrix", "array"])
def test_sparse_matrices(tmp_path, kind, flavour, protocol):
    dense = np.diag([1.0, 2.0, 3.0])[:, :2]
    made = getattr(sparse, f"{kind}_{flavour}")(dense)
    path = tmp_path / "s.pkl"
    path.write_bytes(pickle.dumps(made, protocol))
    np.testing.assert_array_equal(array_of(load_restricted(path), "it"), dense)


def test_plain_values(tmp_path):
    value = {"a": [1, 2.5, "é", None], "b": ({3}, OrderedDict(x=1)), "c": b"raw", "d": b""}
    for protocol in range(6):
        path = tmp_path / "p.pkl"
        path.write_bytes(pickle.dumps(value, protocol))
        assert load_restricted(path) == value


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def text_pickle(module: str, name: str, *arguments: str) -> bytes:
    """A protocol 0 pickle that calls module.name."""
    body = "".join(f"S'{argument}'\n" for argument in arguments)
    return f"c{module}\n{name}\n({body}tR.".encode()


MALICIOUS = {
    "os.system": (pickle.dumps(Calls(os.system, "touch hacked")), r"\w+\.system"),
    "text os.system": (text_pickle("os", "system", "touch hacked"), r"os\.system"),
    "eval": (pickle.dumps(Calls(eval, "open('hacked','w')")), r"builtins\.eval"),
    "python 2 eval": (text_pickle("__builtin__", "eval", "1"), r"__builtin__\.eval"),
    "exec": (pickle.dumps(Calls(exec, "open('hacked','w')")), r"builtins\.exec"),
    "getattr": (pickle.dumps(Calls(getattr, "", "__class__")), r"builtins\.getattr"),
    "import": (pickle.dumps(Calls(builtins.__import__, "os")), r"builtins\.__import__"),
    "open": (pickle.dumps(Calls(open, "hacked", "w")), r"\w+\.open"),
    "subprocess": (text_pickle("subprocess", "Popen", "touch hacked"), r"subprocess\.Popen"),
    "dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.dot\x93.", r"numpy\.ndarray\.dot"),
    "dotted chumpy": (b"\x80\x04\x8c\x06chumpy\x8c\x0cch.os.system\x93)R.", "chumpy|array"),
    "numpy.load": (text_pickle("numpy", "load", "x"), r"numpy\.load"),
    "numpy testing": (text_pickle("numpy.testing", "runstring", "x"), r"numpy\.testing"),
    "scipy io": (text_pickle("scipy.io", "loadmat", "x"), r"scipy\.io\.loadmat"),
    "pickle in pickle": (text_pickle("pickle", "loads", "x"), r"pickle\.loads"),
    "operator": (text_pickle("operator", "attrgetter", "x"), r"operator\.attrgetter"),
    "torch tensor": (pickle.dumps(torch.zeros(2)), r"torch\._utils"),
    "bytes bomb": (b"\x80\x02c__builtin__\nbytes\n\x8a\x05\x00\x00\x00\x00\x10\x85R.", "damaged"),
    "codecs": (text_pickle("_codecs", "decode", "x"), r"_codecs\.decode"),
    "codec zip": (text_pickle("_codecs", "encode", "x", "zip"), "encoding 'zip'"),
    "persistent": (b"Pos.system\n.", "outside itself"),
    "extension": (b"\x80\x02\x82\x01.", "damaged"),
    "alter a function": (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.", "alter"),
    "alter a class": (b"\x80\x02cchumpy.ch\nCh\n}X\x01\x00\x00\x00aK\x01sb.", "damaged"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, words = MALICIOUS[name]
    (tmp_path / "evil.pkl").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        array_of(load_restricted(tmp_path / "evil.pkl"), "evil.pkl")
    assert not (tmp_path / "hacked").exists()


def test_the_refusal_names_file_and_call(tmp_path):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({"v_template": Calls(os.system, "true")}))
    with pytest.raises(BadInput, match=r"SMPL_NEUTRAL\.pkl is refused.*system.*could run code"):
        load_restricted(path)


def test_forged_array_headers(tmp_path):
    honest = pickle.dumps(np.arange(4.0), protocol=2)
    path = tmp_path / "a.pkl"
    for old, new in (
        (b"K\x04\x85", b"K\x05\x85"),
        (b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00V8"),
    ):
        assert old in honest
        path.write_bytes(honest.replace(old, new))
        with pytest.raises(BadInput):
            load_restricted(path)
    # raw bytes declared to be object pointers must not become pointers
    path.write_bytes(honest.replace(b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8"))
    with pytest.raises(BadInput):
        load_restricted(path)


def test_forged_sparse_matrix(tmp_path):
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices = np.array([0, 1, 10**6], np.int32)
    path = tmp_path / "s.pkl"
    path.write_bytes(pickle.dumps(matrix, protocol=2))
    with pytest.raises(BadInput, match="damaged scipy"):
        array_of(load_restricted(path), "J_regressor")


def test_unknown_chumpy_class_is_named(tmp_path):
    path = tmp_path / "c.pkl"
    path.write_bytes(b"\x80\x02cchumpy.ch\nsubtract\n)\x81}b.")
    with pytest.raises(BadInput, match=r"weights is a chumpy\.ch\.subtract"):
        array_of(load_restricted(path), "weights")


def test_text_where_an_array_belongs():
    with pytest.raises(BadInput, match="weights is a str; an array was expected"):
        array_of("lbs", "weights")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_escape(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random.pkl"
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        load_restricted(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_pickles_never_escape(tmp_path_factory, data):
    stream = io.BytesIO()
    pickle.dump({"a": np.arange(5), "s": sparse.csr_matrix(np.eye(2))}, stream, protocol=2)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = struct.pack("B", data.draw(st.integers(0, 255)))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        stored = load_restricted(path)
        for value in stored.values() if isinstance(stored, dict) else []:
            array_of(value, "it")
