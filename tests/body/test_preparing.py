"""SMPL's neutral model out of what its users download: what is taken, what is refused and how."""

from __future__ import annotations

import io
import pickle
import zipfile

import model_files
import numpy as np
import pytest
import torch

from chorus.body.loading import load_body
from chorus.body.preparing import FACES, VERTICES, prepare
from chorus.errors import BadInput

NEUTRAL = "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"
FEMALE = "smpl/models/basicmodel_f_lbs_10_207_0_v1.1.0.pkl"


def smpl_sized(seed: int = 3, **sizes) -> dict:
    model = model_files.arrays(vertices=VERTICES, seed=seed, **sizes)
    rng = np.random.default_rng(seed)
    return {**model, "f": rng.integers(0, VERTICES, (FACES, 3)).astype(np.uint32)}


@pytest.fixture(scope="module")
def model():
    return smpl_sized()


@pytest.fixture(scope="module")
def pickled(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "model.pkl"
    model_files.write_chumpy_pickle(path, model)
    return path.read_bytes()


def archive(path, members):
    with zipfile.ZipFile(path, "w") as content:
        for name, data in members.items():
            content.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "member", [NEUTRAL, "smplify_public/code/models/basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"]
)
def test_the_archive_becomes_a_plain_file(member, model, pickled, tmp_path):
    notes = f"__MACOSX/{member.rpartition('/')[0]}/._{member.rpartition('/')[2]}"
    source = archive(tmp_path / "a.zip", {notes: b"notes", FEMALE: b"other", member: pickled})
    made = prepare([source], tmp_path / "imports")
    assert made.path == tmp_path / "imports/smpl/SMPL_NEUTRAL.npz"
    assert made.source == f"{source}/{member}"
    assert (made.betas, made.refused) == (10, [])
    with np.load(made.path, allow_pickle=False) as stored:
        assert set(stored) == set(model)
        for key, array in model.items():
            np.testing.assert_array_equal(stored[key], array.astype(stored[key].dtype))
            assert stored[key].dtype == {"f": np.int32, "kintree_table": np.int64}.get(
                key, np.float32
            )
    # and the body is the one that the file itself gives
    (tmp_path / "model.pkl").write_bytes(pickled)
    ours, theirs = load_body(made.path), load_body(tmp_path / "model.pkl")
    pose = torch.linspace(-1, 1, 72).view(24, 3)
    torch.testing.assert_close(ours.pose(pose).vertices, theirs.pose(pose).vertices)
    assert torch.equal(ours.faces, theirs.faces)


def test_smplx_reads_the_result(model, tmp_path):
    smplx = pytest.importorskip("smplx")
    np.savez(tmp_path / "SMPL_neutral.npz", **model)
    made = prepare([tmp_path / "SMPL_neutral.npz"], tmp_path)
    with np.load(made.path, allow_pickle=False) as stored:
        theirs = smplx.SMPL("", data_struct=smplx.utils.Struct(**stored))
    pose = torch.linspace(-1, 1, 72).view(24, 3)
    found = theirs(body_pose=pose[None, 1:].flatten(1), global_orient=pose[None, 0])
    torch.testing.assert_close(
        load_body(made.path).pose(pose).vertices, found.vertices[0], atol=1e-4, rtol=0
    )


def test_300_shape_components_are_kept(tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(smpl_sized(shapes=300), protocol=4))
    made = prepare([tmp_path / "m.pkl"], tmp_path)
    assert made.betas == 300
    assert load_body(made.path).shapedirs.shape == (VERTICES, 3, 10)


def test_the_first_file_that_has_it(pickled, tmp_path):
    first = archive(tmp_path / "SMPL_python_v.1.0.0.zip", {FEMALE: b"female"})
    second = archive(tmp_path / "b.zip", {NEUTRAL: pickled})
    made = prepare([first, second], tmp_path)
    assert made.source.startswith(str(second))
    (reason,) = made.refused
    assert "only the female and the male model" in reason
    assert str(first) in reason


def test_no_name_leads_out(pickled, tmp_path):
    name = "../../outside_neutral.pkl"
    prepare([archive(tmp_path / "deep.zip", {name: pickled})], tmp_path / "a/b/c")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "SMPL_NEUTRAL.npz",
        "deep.zip",
    ]
    assert not (tmp_path.parent / "outside_neutral.pkl").exists()


class Wicked:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"", "is empty; expected SMPL_python_v.1.1.0.zip"),
        ("a.zip", b"\n<!DOCTYPE html><html>", "is a web page.*Log in at https://smpl.is.tue"),
        ("a.zip", b"PK\x03\x04 and no more", "damaged archive, or only part of one.*again"),
        ("a.zip", {"readme.txt": b""}, "has no SMPL model; found readme.txt"),
        ("a.zip", {}, "has no SMPL model; found nothing"),
        ("a.zip", {"models/basicModel_m_v1.pkl": b""}, "only the female and the male model"),
        ("a.zip", {NEUTRAL: b"rubbish"}, f"a.zip/{NEUTRAL} starts with b'rubbish'"),
        ("a.zip", {NEUTRAL: pickle.dumps({"v": 1})}, f"a.zip/{NEUTRAL} lacks v_template"),
        ("a.zip", {NEUTRAL: pickle.dumps(Wicked())}, f"a.zip/{NEUTRAL} is refused.*print"),
        ("a.rar", b"Rar!\x1a\x07\x01\x00", "a.rar starts with b'Rar!"),
        ("basicmodel_f_lbs.pkl", b"\x80\x02.", "has the female or male model"),
    ],
)
def test_refused_in_a_sentence(name, content, words, tmp_path, capsys):
    path = tmp_path / name
    if isinstance(content, dict):
        archive(path, content)
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=f"(?s){words}"):
        prepare([path], tmp_path / "imports")
    assert not (tmp_path / "imports").exists()
    assert capsys.readouterr().out == ""


def test_no_file(tmp_path):
    with pytest.raises(BadInput, match="is a folder"):
        prepare([tmp_path], tmp_path)
    with pytest.raises(BadInput, match=r"(?s)one\.zip does not exist.*\n.*two\.zip does not exist"):
        prepare([tmp_path / "one.zip", tmp_path / "two.zip"], tmp_path)


def test_a_damaged_member(pickled, tmp_path):
    path = archive(tmp_path / "a.zip", {NEUTRAL: pickled})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit, amid an array
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"damaged archive.*CRC.*download it again"):
        prepare([path], tmp_path)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: model_files.arrays(), "80 vertices, not 6890; 50 faces, not 13776"),
        (lambda: model_files.arrays(joints=55), "55 joints, not 24.*SMPL-X and other models need"),
        (lambda: smpl_sized(shapes=3), "3 shape blend shapes, not 10 or more"),
        (
            lambda: {k: v for k, v in smpl_sized().items() if k != "posedirs"},
            " 0 pose blend shapes, not 207",
        ),
    ],
)
def test_another_model(made, words, tmp_path):
    content = io.BytesIO()
    np.savez(content, **made())
    source = archive(tmp_path / "a.zip", {"SMPL_NEUTRAL.npz": content.getvalue()})
    with pytest.raises(BadInput, match=f"is not SMPL: it has.*{words}"):
        prepare([source], tmp_path)


def test_a_place_that_cannot_be_written(pickled, tmp_path):
    source = archive(tmp_path / "a.zip", {NEUTRAL: pickled})
    (tmp_path / "imports").write_text("a file")
    with pytest.raises(BadInput, match=r"cannot be written: .*CHORUS_IMPORTS"):
        prepare([source], tmp_path / "imports")
