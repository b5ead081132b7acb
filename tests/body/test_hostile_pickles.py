"""Pickles made to hang, to recurse or to fill the memory: refused in a sentence, and soon."""

from __future__ import annotations

import io
import pickle
import resource
import time
import zlib

import pytest

from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput
from chorus.perception.joblib_pickle import load_joblib
from chorus.perception.pose_files import read_poses

SHARED = b"(" + b"K\x01" + b"t" + b"2\x86" * 80  # 80 times: duplicate, make a pair of both
FORGED = {
    "shared tuples": SHARED + b".",
    "a dict's key": b"}" + SHARED + b"K\x01s.",
    "keys of several items": b"}(" + SHARED + b"K\x01u.",
    "a dict of the mark": b"(" + SHARED + b"K\x01d.",
    "a member of a set": b"\x80\x04\x8f(" + SHARED + b"\x90.",
    "a frozenset": b"\x80\x04(" + SHARED + b"\x91.",
    "a set by name": b"cbuiltins\nset\n(" + SHARED + b"l" + b"\x85R.",
    "an ordered dict by name": b"ccollections\nOrderedDict\n((" + SHARED + b"K\x01tl\x85R.",
    "an array's type": b"cnumpy\ndtype\n" + SHARED + b"\x85R.",
    "an encoding": b"c_codecs\nencode\nX\x01\0\0\0a" + SHARED + b"\x86R.",
    "as many marks as fit": b"(" * 200_000 + b".",
    "nested lists": b"]" * 200_000 + b"a" * 199_999 + b".",
    "nested tuples": b")" + b"\x85" * 200_000 + b".",
    "bytes that are not there": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"ab.",
    "a memo's far place": b"K\x01r\xff\xff\xff\x7f.",
    "a long number": b"\x8b" + (1 << 30).to_bytes(4, "little") + b"1.",
}


@pytest.fixture(autouse=True)
def little_time_and_memory():
    """Two seconds, and one more GiB than the tests have."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    yield
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("packed", [False, True])
def test_forged_tracks_are_refused(tmp_path, content, packed):
    path = tmp_path / "a.pkl"
    path.write_bytes(zlib.compress(content) if packed else content)
    with pytest.raises(BadInput) as raised:
        read_poses(path)
    assert len(str(raised.value)) < 1000 and str(path) in str(raised.value)


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
def test_forged_bodies_are_refused_or_no_arrays(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        array_of(load_restricted(path), "what")
        raise BadInput(f"{path} was read")  # numbers alone: an array of no use to a body
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("key", ["smpl", "bbox", "center", "tracked_time", "frame_path"])
@pytest.mark.parametrize("value", [5, "abc", [[[]]], {"a": 1}, None, (((1,),),)])
def test_frames_that_hold_something_else(tmp_path, key, value):
    frame = {"smpl": [{}], "bbox": [0], "camera_bbox": [0], "center": [0], "scale": [0]}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"f": frame | {key: value}}))
    with pytest.raises(BadInput):
        read_poses(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    machine, content = zlib.compressobj(1), io.BytesIO()
    for _ in range(280):
        content.write(machine.compress(bytes(1 << 20)))
    (tmp_path / "a.pkl").write_bytes(content.getvalue() + machine.flush())
    with pytest.raises(BadInput, match="packed more than 60 times"):
        load_joblib(tmp_path / "a.pkl")
