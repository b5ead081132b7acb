"""Import of results that the published code exported: the reference file, and forged ones."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from release_files import SIZE, export, volumes

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput
from chorus.evaluation.labelled_images import LabelledImage
from chorus.evaluation.pap import score_images
from chorus.evaluation.published import import_published
from chorus.evaluation.release_pickle import load_release_pickle
from chorus.occupancy.distribution import Distribution
from chorus.records.keys import TOTAL


@pytest.fixture
def easy(monkeypatch):
    """`easydict.EasyDict` as that package has it: attributes and items are the same things."""

    class EasyDict(dict):
        def __init__(self, content=()):
            for key, value in dict(content).items():
                value = EasyDict(value) if isinstance(value, dict) else value
                self[key] = value
                self.__dict__[key] = value

    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module = types.ModuleType("easydict")
    module.EasyDict = EasyDict
    monkeypatch.setitem(sys.modules, "easydict", module)
    return EasyDict


def written(tmp_path, content, protocol=4):
    path = tmp_path / "export.pickle"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.fixture(scope="module")
def reference_file(golden, tmp_path_factory):
    folder = Path(golden("body").zip.filename).parent
    path = tmp_path_factory.mktemp("release") / "export.pickle"
    path.write_bytes(gzip.decompress((folder / "release_export_24.pkl.gz").read_bytes()))
    return path


def test_the_reference_export_is_read(golden, reference_file, reference_body, tmp_path):
    found = import_published(reference_file, "surfboard", body=reference_body)
    np.testing.assert_array_equal(found.total.probability, golden("deform_24")["canon_probability"])
    aggregate = golden("aggregate_24")
    np.testing.assert_array_equal(found.total.seen > 0, aggregate["full_image_visual_hull"] > 0)
    assert (found.total.category, found.total.prompt, found.total.part) == ("surfboard", TOTAL, "")
    assert found.total.body == reference_body.fingerprint
    assert found.total.metadata["weighting"] == "azimuth-uniform-fine"
    assert found.total.metadata["samples"] == len(aggregate["mask"])
    assert set(found.parts) == set(aggregate["part_names"].tolist())
    for at, name in enumerate(aggregate["part_names"].tolist()):
        part, image = found.parts[name], aggregate["part_full_image_visual_hull"][at]
        expected = np.divide(
            aggregate["part_visual_hull"][at], image, out=np.zeros_like(image), where=image > 0
        )
        np.testing.assert_array_equal(part.probability, expected)
        assert part.metadata["samples"] == aggregate["passed"][at].sum()
    found.total.save(tmp_path / "total.npz")
    again = Distribution.load(tmp_path / "total.npz")
    np.testing.assert_array_equal(again.probability, found.total.probability)


def test_tensors_in_the_reference_export_are_read(golden, reference_file):
    regions = load_release_pickle(reference_file)["core"]["SMPL"]["interaction_regions"]
    expected = golden("interaction_24")
    for part in ("rightArm", "leftFoot", "torso"):
        found = array_of(regions[part]["SMPL"]["pass"][0], part)
        assert found.dtype == np.int64 and found.shape[1] == 3
        np.testing.assert_array_equal(found, expected[f"voxels_{part}"])


def test_imported_results_are_scored_like_ours(golden, reference_file, reference_body):
    values = golden("render_pap_24")
    field = import_published(reference_file, "surfboard", body=reference_body).total
    image = LabelledImage(
        *(values[name][0] for name in ("pose", "R", "t", "K")), values["target_mask_0"] > 0
    )
    assert 0 < score_images(field, reference_body, [image])[0].pap[0] < 1


# Files made here


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_protocol_is_read(tmp_path, easy, protocol):
    path = written(tmp_path, easy(export()), protocol)
    found = import_published(path, "tie").total
    mask, image = volumes()
    np.testing.assert_allclose(
        found.probability[image > 0], (mask / np.maximum(image, 1))[image > 0]
    )
    assert (found.grid.resolution, found.grid.side) == (SIZE, 2.0)
    assert found.metadata["samples"] == 2 and found.body == ""


def test_arrays_under_numpys_old_names_are_read(tmp_path, easy):
    content = pickle.dumps(easy(export()), protocol=2)
    assert b"numpy._core" in content
    path = tmp_path / "old.pickle"
    path.write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    assert import_published(path, "tie").total.probability.any()


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "uint8", "bool"])
def test_tensors_are_read(tmp_path, kind):
    tensor = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, kind))
    content = {"whole": tensor, "view": tensor[:, 1:, ::2].transpose(0, 2), "empty": tensor[:0]}
    found = load_release_pickle(written(tmp_path, content))
    for name, value in content.items():
        np.testing.assert_array_equal(array_of(found[name], name), value.numpy())
        assert array_of(found[name], name).dtype == kind


def test_the_file_tells_whether_the_body_fits(tmp_path, figure):
    assert import_published(written(tmp_path, export(figure)), "tie", body=figure).total.body
    with pytest.raises(BadInput, match="another body model"):
        import_published(written(tmp_path, export()), "tie", body=figure)


# Files that are refused


class Harm:
    """Would make a folder if it were executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_is_not_executed(tmp_path):
    path = written(tmp_path, {**export(), "core": Harm(tmp_path / "harm")})
    with pytest.raises(BadInput, match="mkdir"):
        import_published(path, "tie")
    assert not (tmp_path / "harm").exists()


class Nested:
    """A tensor whose own stream holds something else."""

    def __init__(self, stream):
        self.stream = stream

    def __reduce__(self):
        return torch.storage._load_from_bytes, (self.stream,)


def stream_of(*pickles, end=b"") -> bytes:
    return b"".join(pickle.dumps(one, protocol=2) for one in pickles) + end


HEAD = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x80\x02.",
        stream_of(1, 1001, {"little_endian": True}),
        stream_of(*HEAD[:2], {"little_endian": False}),
        stream_of(*HEAD, ("0", "<f4", 2), ["0"], end=b"\x02" + bytes(7) + bytes(4)),
        stream_of(*HEAD, ("0", "O", 1), ["0"], end=b"\x01" + bytes(7) + bytes(8)),
        stream_of(*HEAD, ("0", "<f4", -1), ["0"]),
    ],
)
def test_damaged_tensors_are_refused(tmp_path, stream):
    with pytest.raises(BadInput):
        load_release_pickle(written(tmp_path, {"core": Nested(stream)}))


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: c[:-16]])
def test_tensors_with_too_few_or_many_numbers_are_refused(tmp_path, change):
    stream = io.BytesIO()
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32, _internal=True
    )
    torch.save(storage, stream, _use_new_zipfile_serialization=False)
    load_release_pickle(written(tmp_path, Nested(stream.getvalue())))
    with pytest.raises(BadInput, match="announces 4 numbers"):
        load_release_pickle(written(tmp_path, Nested(change(stream.getvalue()))))


def test_code_inside_a_tensor_is_not_executed(tmp_path):
    path = written(tmp_path, {"core": Nested(stream_of(*HEAD, Harm(tmp_path / "harm")))})
    with pytest.raises(BadInput, match="mkdir"):
        load_release_pickle(path)
    assert not (tmp_path / "harm").exists()


def test_tensors_may_not_reach_outside_their_numbers(tmp_path):
    class Reaching:
        def __init__(self, offset, size, stride):
            self.arguments = (offset, size, stride)

        def __reduce__(self):
            storage = torch.zeros(4).untyped_storage()
            typed = torch.storage.TypedStorage(
                wrap_storage=storage, dtype=torch.float32, _internal=True
            )
            return torch._utils._rebuild_tensor_v2, (typed, *self.arguments, False, {})

    for arguments in ((2, (3,), (1,)), (0, (10**9,), (0,)), (-1, (1,), (1,)), (3, (2,), (-1,))):
        with pytest.raises(BadInput):
            load_release_pickle(written(tmp_path, Reaching(*arguments)))
    assert array_of(load_release_pickle(written(tmp_path, Reaching(0, (2,), (2,)))), "x").size == 2


def test_cut_files_are_refused(tmp_path):
    content = pickle.dumps(export(), protocol=4)
    path = tmp_path / "cut.pickle"
    for length in (0, 1, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(BadInput):
            import_published(path, "tie")
    with pytest.raises(BadInput, match="cannot read"):
        import_published(tmp_path / "none.pickle", "tie")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual_hull": np.zeros((6, 6, 5), np.float32)}, "cube"),
        ({"full_image_visual_hull": np.zeros((5, 5, 5), np.float32)}, "expected"),
        ({"visual_hull": np.full((6, 6, 6), np.nan, np.float32)}, "NaN"),
        ({"visual_hull": np.full((6, 6, 6), 9, np.float32)}, "more mask counts"),
        ({"visual_hull": -np.ones((6, 6, 6), np.float32)}, "0 or more"),
        ({"visual_hull": "text"}, "array was expected"),
        ({"geometries": 3}, "not laid out"),
        ({"geometries": {"grid": {"length_x": 1.0}}}, "cube"),
        ({"geometries": {"grid": {"center": [1.0, 0, 0]}}}, "cube"),
    ],
)
def test_other_volumes_are_refused(tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        import_published(written(tmp_path, export(**change)), "tie")


@pytest.mark.parametrize(
    "content", [3, [], {}, {"full_aggregations": {}}, {"full_aggregations": {"SMPL": {}}}]
)
def test_other_pickles_are_refused(tmp_path, content):
    with pytest.raises(BadInput, match="not a result"):
        import_published(written(tmp_path, content), "tie")


def test_a_storage_of_shared_tuples_is_refused_in_a_short_sentence():
    from chorus.evaluation.release_pickle import _StorageUnpickler

    content = b"(K\x01t" + b"2\x86" * 80 + b"Q."  # each pair is twice the one before
    with pytest.raises(BadInput, match="which is no plain storage"):
        _StorageUnpickler(io.BytesIO(content), Path("a.pickle")).load()
