"""`chorus export --formats`: files for other programs, of a small tree of the synthetic world."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import trimesh
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from small_tree import AGGREGATION, PROMPTS, command

import chorus
from chorus.cli import main
from chorus.commands.exporting.distributions import POSES

TOTAL = f"surfboard/total-aggregation/{AGGREGATION}"


def export(base, out, *formats: str, status: int = 0) -> None:
    words = ("--out", str(out), "--formats", *formats)
    assert main(command(base, "export", *words)) == status


def test_an_animation_moves_through_retained_poses(base, tmp_path):
    export(base, tmp_path, "animation", "glb")
    moving = trimesh.load(tmp_path / f"{TOTAL}/all.animation.glb")
    still = trimesh.load(tmp_path / f"{TOTAL}/all.glb")
    assert moving.metadata["probability"] == still.metadata["probability"]
    poses = moving.metadata["poses"]
    assert len(set(poses)) == POSES and all(name.count(" / ") == 3 for name in poses)
    of_prompt = trimesh.load(tmp_path / f"surfboard/{PROMPTS[0]}/{AGGREGATION}/all.animation.glb")
    assert all(PROMPTS[0] in name for name in of_prompt.metadata["poses"])
    for name, mesh in still.geometry.items():
        np.testing.assert_allclose(moving.geometry[name].bounds, mesh.bounds, atol=1e-5)


def test_a_volume_holds_the_probabilities_in_metres(base, tmp_path):
    nrrd = pytest.importorskip("nrrd", reason="the extra formats is not installed")
    export(base, tmp_path, "nrrd")
    values, header = nrrd.read(str(tmp_path / f"{TOTAL}/all.nrrd"))
    stored = chorus.Distribution.load(base / f"results/aggregations/synthetic-v1/{TOTAL}/all.npz")
    np.testing.assert_array_equal(values, stored.probability)
    place = np.array(np.unravel_index(values.argmax(), values.shape))
    at = header["space origin"] + place @ header["space directions"]
    assert stored.query(at) == values.max()
    assert header["space units"] == ["m"] * 3 and header["category"] == "surfboard"


def test_cocos_evaluation_takes_the_keypoints(base, tmp_path):
    export(base, tmp_path, "coco_keypoints")
    truth = COCO(str(tmp_path / "person_keypoints.json"))
    found = truth.loadRes(str(tmp_path / "keypoint_results.json"))
    judged = COCOeval(truth, found, "keypoints")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert judged.stats[0] == 1
    name = next(iter(truth.imgs.values()))["file_name"]
    assert name.startswith("surfboard/") and truth.loadCats(1)[0]["name"] == "person"


def test_calibrated_persons_are_frames_for_smplx(base, tmp_path, capsys):
    export(base, tmp_path, "smplx")
    with np.load(tmp_path / f"smplx/surfboard/{PROMPTS[0]}.npz") as frames:
        count = len(frames["image"])
        assert count > 0 and frames["poses"].shape == (count, 165)
        assert (frames["transl"][:, 2] < 0).all()  # before a camera that looks along -z
        assert np.isfinite(frames["poses"]).all()
    assert "SMPL-X animations" in capsys.readouterr().out


def test_the_free_body_does_not_go_into_smpl_files(base, tmp_path, capsys):
    pytest.importorskip("smplcodec", reason="the extra formats is not installed")
    export(base, tmp_path / "a", "smpl", status=2)
    assert "the free body has shape parameters of its own" in capsys.readouterr().err
    export(base, tmp_path / "b", "smpl", "coco_keypoints", status=1)
    assert "keypoints of" in capsys.readouterr().out


def test_a_recording_holds_every_cluster(base, tmp_path):
    pytest.importorskip("rerun", reason="the extra rerun is not installed")
    export(base, tmp_path, "rerun")
    content = (tmp_path / "distributions.rrd").read_bytes()
    assert content[:3] == b"RRF" and len(content) > 100_000


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("nrrd", "nrrd", "formats"), ("rerun", "rerun", "rerun")]
)
def test_a_missing_package_is_named(base, tmp_path, monkeypatch, capsys, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    export(base, tmp_path, name, status=2)
    assert f"pip install -c constraints.txt -e '.[{extra}]'" in capsys.readouterr().err


def test_the_usual_formats_are_the_former_ones(base, tmp_path):
    assert main(command(base, "export", "--out", str(tmp_path))) == 0
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".npz", ".glb"}
