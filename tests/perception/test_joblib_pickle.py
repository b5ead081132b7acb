from __future__ import annotations

import base64
import gzip
import pickle
import zlib

import numpy as np
import pytest
import torch

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput
from chorus.perception.joblib_pickle import load_joblib, load_npy

# joblib 1.4.2's own dump(content, compress=3) of a defaultdict with arrays in C and Fortran order,
# a float32 and a list: see the assertions.
GENUINE = base64.b64decode("""
eF5lkTtPwzAQx5s2hYgiKBSKECAYy5KJgQGpRZUYiMjAwoQi59E64DyUh6ADUhkoRfLGZecj8g3KOUmpqv4VO7bPd/e7
81jO2lIlF29YAWOOlbiBHwNv2M6ApCyxXSuBb+CKmboscYVJLs8+4B46WuUNOlwOg9gB3noKTOaaqp964cgIXeuZ4emO
LrbXUURGDxEJQyfCgOfvIByVODUtRmIMW8+9gK/7NhF3RdZ6TEnogFbVahPcBZGNzlzq49pORmihzfkKb1cHF/A1/cyx
aly6Al3Xb2eofNIqCZh8gzAWvBieR0KY8qOCNM9nEOYOfc/xE8McJU4MWjM1t4TnQkWrxl2cevjhGOP46WV3haXCpQHQ
zaI4uk13aatgp/tcugF6QA+R8nJBSU9WGenplJ6J5NKsjFr+FMwl9Cvyo5rlXrAI7fUyf84hW4E/AN7OC1QNK4gc1cP3
dIve8rXYIoyIl6DHfRm9ujDBxqW8/qo+hUPk5xKDx9ViqqIY2sZSOv+gyrxDy3zL9II7E5mESJyqf91T3hw=
""")


@pytest.mark.parametrize("packed", [bytes, zlib.decompress, "gzip"])
def test_reads_what_joblib_wrote(tmp_path, packed):
    content = gzip.compress(zlib.decompress(GENUINE)) if packed == "gzip" else packed(GENUINE)
    (tmp_path / "a.pkl").write_bytes(content)
    read = load_joblib(tmp_path / "a.pkl")
    numbers = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(array_of(read[0]["pose"], ""), numbers.astype(np.float32))
    np.testing.assert_array_equal(array_of(read[0]["f"], ""), numbers)
    assert read[0]["conf"] == 0.5
    np.testing.assert_array_equal(array_of(read["x.jpg"]["l"][0], ""), np.eye(2))


@pytest.mark.parametrize("length", [20, 200, -1])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_cut_short_is_named(tmp_path, length, compressed):
    content = GENUINE if compressed else zlib.decompress(GENUINE)
    (tmp_path / "cut.pkl").write_bytes(content[:length])
    with pytest.raises(BadInput, match=r"cut\.pkl"):
        load_joblib(tmp_path / "cut.pkl")


def test_array_longer_than_the_file_is_refused(tmp_path):
    plain = zlib.decompress(GENUINE)
    forged = plain.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86")
    assert forged != plain
    (tmp_path / "forged.pkl").write_bytes(forged)
    with pytest.raises(BadInput, match="damaged"):
        load_joblib(tmp_path / "forged.pkl")


class Harmful:
    def __reduce__(self):
        return (open, ("harm.txt", "w"))


def test_forbidden_class_is_named_and_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pkl").write_bytes(zlib.compress(pickle.dumps({"a": 1, "b": Harmful()})))
    with pytest.raises(BadInput, match=r"bad\.pkl is refused: .*open"):
        load_joblib(tmp_path / "bad.pkl")
    assert not (tmp_path / "harm.txt").exists()


def stored_tensors() -> dict:
    return {
        "whole": torch.arange(6.0).reshape(2, 3),
        "view": torch.arange(12).reshape(3, 4)[1:, ::2],
        "half": torch.ones(3, dtype=torch.bfloat16),
        "truth": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
    }


def test_tensors_are_read_as_arrays(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(stored_tensors()))
    read = load_joblib(tmp_path / "a.pkl")
    for name, tensor in stored_tensors().items():
        np.testing.assert_array_equal(array_of(read[name], name), tensor.float().numpy())


def test_a_tensor_longer_than_its_numbers_is_refused(tmp_path):
    plain = pickle.dumps({"a": torch.arange(6.0).reshape(2, 3)})
    forged = plain.replace(b"K\x02K\x03\x86", b"K\x02K\xff\x86")
    assert forged != plain
    (tmp_path / "forged.pkl").write_bytes(forged)
    with pytest.raises(BadInput, match=r"a tensor of shape \(2, 255\) holds 6 numbers"):
        load_joblib(tmp_path / "forged.pkl")


def test_numbers_of_a_tensor_that_would_run_code_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Numbers:
        def __reduce__(self):
            return (torch.storage._load_from_bytes, (pickle.dumps(Harmful()),))

    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"a": Numbers()}))
    with pytest.raises(BadInput, match=r"bad\.pkl cannot be read"):
        load_joblib(tmp_path / "bad.pkl")
    assert not (tmp_path / "harm.txt").exists()


def test_objects_that_numpy_saved(tmp_path):
    np.save(tmp_path / "a.npy", {"t": torch.arange(3), "a": np.eye(2), "f": np.float64(1.5)})
    read = load_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(array_of(read["t"], "t"), [0, 1, 2])
    np.testing.assert_array_equal(array_of(read["a"], "a"), np.eye(2))
    assert float(array_of(read["f"], "f")) == 1.5
    np.save(tmp_path / "b.npy", np.arange(4))
    np.testing.assert_array_equal(load_npy(tmp_path / "b.npy"), np.arange(4))


@pytest.mark.parametrize("length", [3, 40, 140, -3])
def test_objects_cut_short(tmp_path, length):
    np.save(tmp_path / "a.npy", {"t": torch.arange(3)})
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:length])
    with pytest.raises(BadInput, match=r"a\.npy"):
        load_npy(tmp_path / "a.npy")


def test_several_objects_and_harmful_ones_in_npy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "two.npy", np.array([{"a": 1}, {"b": 2}], dtype=object))
    with pytest.raises(BadInput, match="several objects"):
        load_npy(tmp_path / "two.npy")
    np.save(tmp_path / "bad.npy", {"a": Harmful()}, allow_pickle=True)
    with pytest.raises(BadInput, match=r"bad\.npy is refused: .*open"):
        load_npy(tmp_path / "bad.npy")
    assert not (tmp_path / "harm.txt").exists()
