"""Archives of arrays whose sizes lie."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from chorus.errors import BadInput
from chorus.files import check_npz
from chorus.perception.poses_of_npz import read_npz


def archive(path, shape: str, content: bytes, descr: str = "<f4", packed: bool = False):
    """An npz with one array `pose` whose header claims a shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("pose.npy", npy)
    return path


@pytest.mark.parametrize(
    "shape",
    ["(1099511627776,)", "(268435456, 72)", "(3, 72)", "(0,)", "()", "(-1, 72)", "(10, " * 9],
)
def test_shapes_that_lie_are_refused_before_there_is_room_for_them(tmp_path, shape):
    path = archive(tmp_path / "a.npz", shape, bytes(4 * 72))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=r"a\.npz"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("chorus.files._LARGEST_NPZ", 1 << 20)
    path = archive(tmp_path / "a.npz", "(524288,)", bytes(1 << 21), packed=True)
    with pytest.raises(ValueError, match="packed more than 60 times"):
        check_npz(path)


def test_whole_archives_pass_and_streams_begin_again():
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros((3, 4)), b=np.array("text"), c=np.zeros((0, 5), np.int8))
    stream.seek(0)
    check_npz(stream)
    assert stream.tell() == 0 and np.load(stream)["a"].shape == (3, 4)
