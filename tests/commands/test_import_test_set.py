"""`chorus import --as test_set`: photographs of one's own as test images, whole and damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chorus.cli import main
from chorus.evaluation.labelled_images import labelled_image
from chorus.evaluation.labelled_sets import shard_of
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table
from references import lifted

W, H = 60, 40
PHOTOS = Path(
    os.environ.get("CHORUS_PHOTOS", Path(__file__).resolve().parents[3] / "shared/data/photos")
)


def annotation(number: int, image: int, category: int, box: list, **more) -> dict:
    x, y, w, h = box
    polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    common = {"id": number, "image_id": image, "category_id": category, "bbox": box}
    return {**common, "segmentation": polygon, **more}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two photographs of a person with a surfboard, annotated and posed."""
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return tmp_path


def content() -> dict:
    annotations = []
    for image in (1, 2):
        annotations += [
            annotation(10 * image, image, 1, [20, 2, 20, 36]),
            annotation(10 * image + 1, image, 42, [10, 15, 40, 8]),
            annotation(10 * image + 2, image, 42, [10, 25, 40, 4]),
        ]
    return {
        "images": [
            {"id": number, "file_name": name, "width": W, "height": H, "prompt": prompt}
            for number, name, prompt in ((1, "a.jpg", "carry"), (2, "b.jpg", "ride"))
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 42, "name": "surfboard"}],
    }


def poses(count: int = 2, **more) -> dict:
    pose = np.zeros((count, 24, 3))
    pose[:, 0, 0] = np.pi
    return {
        "image": np.array(["a.jpg", "b.jpg"][:count]),
        "pose": pose,
        "translation": np.tile([0.0, 0.1, 3.0], (count, 1)),
        "focal_length": np.full(count, 60.0),
        "annotation": np.array([10, 20][:count]),
        **more,
    }


def run(root, annotated: dict, posed: dict, *extra: str, name: str = "mine") -> int:
    (root / "instances.json").write_text(json.dumps(annotated))
    np.savez(root / "poses.npz", **posed)
    files = ["--images", str(root / "photos"), "--annotations", str(root / "instances.json")]
    files += ["--poses", str(root / "poses.npz")]
    where = ["--as", "test_set", name, "--results_dir", str(root / "results")]
    return main(["import", *where, *files, *extra])


def rows(root, name: str = "mine", category: str = "surfboard") -> list[dict]:
    path = ResultsTree(root / "results").table("test_set", shard_of(name, category))
    return list(read_table(path, "test_set").rows.values())


def test_images_of_all_interactions_make_one_test_set(root, capsys):
    assert run(root, content(), poses()) == 0
    assert "test_set 2 done" in capsys.readouterr().out
    made = rows(root)
    assert [(row["image"], row["status"]) for row in made] == [("a.jpg", "done"), ("b.jpg", "done")]
    for row in made:
        mask = labelled_image(row).mask
        assert mask[15:23, 10:50].all() and mask[25:29, 10:50].all()  # both boards are the object
        assert mask.sum() == 40 * 12
        assert row["person_box"] == [20, 2, 40, 38] and row["object_box"] == [10, 15, 50, 29]
        assert row["overlap"] == pytest.approx(20 * 14 / (40 * 14))
        # turned by half a turn about x; the pelvis's place is that of the pinhole camera
        np.testing.assert_allclose(np.reshape(row["R"], (3, 3)), np.diag([1, -1, -1]), atol=1e-6)
        assert row["K"] == [60, 0, 30, 0, 60, 20, 0, 0, 1] and row["residual"] < 1e-3
    folder = ResultsTree(root / "results").table("test_set", shard_of("mine", "surfboard"))
    kept = (root / "photos" / "a.jpg").read_bytes()
    assert (folder.with_suffix("") / "a.jpg").read_bytes() == kept
    assert run(root, content(), poses()) == 0
    assert "0 done, 2 already there" in capsys.readouterr().out
    assert main(["verify", "--results_dir", str(root / "results"), "--model_key", "mine"]) == 0


def test_a_weak_camera_is_anchored_as_calibrate_does(root):
    weak = {
        "camera": np.tile([0.9, 0.0, 0.2], (2, 1)),
        "crop_centre": np.tile([30.0, 20.0], (2, 1)),
        "crop_side": np.full(2, 40.0),
    }
    posed = {k: v for k, v in poses().items() if k not in ("translation", "focal_length")}
    assert run(root, content(), {**posed, **weak}) == 0
    (row, _) = rows(root)
    assert row["t"][2] > 1 and row["K"][0] > 10 and 0 <= row["residual"] < 1


def test_an_annotation_without_a_pose_is_left_out(root, capsys):
    assert run(root, content(), poses(1)) == 0
    said = capsys.readouterr()
    assert "test_set 1 done, 1 left out" in said.out
    assert (
        "surfboard: left out of the test set, no pose was imported for a person: 1 (b.jpg)"
        in said.err
    )


def test_a_pose_without_a_camera_is_refused_or_left_out(root, capsys):
    posed = {k: v for k, v in poses().items() if k != "translation"}
    assert run(root, content(), posed) == 2
    assert "lacks camera" in capsys.readouterr().err
    behind = poses(translation=np.array([[0, 0.1, 3.0], [0, 0.1, -3.0]]))
    assert run(root, content(), behind) == 0
    said = capsys.readouterr().err
    assert "person 1: it lies behind its camera" in said
    assert "no pose was imported for a person: 1 (b.jpg)" in said


def test_images_of_two_persons_or_without_one_are_left_out(root, capsys):
    annotated = content()
    annotated["annotations"].append(annotation(99, 1, 1, [0, 0, 15, 30]))
    annotated["annotations"] = [each for each in annotated["annotations"] if each["id"] != 20]
    assert run(root, annotated, poses()) == 1  # nothing of the category came
    said = capsys.readouterr().err
    assert "left out of the test set, several persons: 2: 1 (a.jpg)" in said
    assert "left out of the test set, no person: 1 (b.jpg)" in said
    assert [row["status"] for row in rows(root)] == ["skipped", "skipped"]


def test_a_mask_of_another_size_fails_its_image_alone(root, capsys):
    annotated = content()
    annotated["annotations"][1]["segmentation"] = {"size": [20, 20], "counts": [400]}
    assert run(root, annotated, poses()) == 0
    assert "annotation 11 (surfboard) of a.jpg" in capsys.readouterr().err
    assert [row["status"] for row in rows(root)] == ["failed", "done"]


def test_a_photograph_of_another_size_fails_alone(root, capsys):
    Image.new("RGB", (30, 30)).save(root / "photos" / "b.jpg")
    assert run(root, content(), poses()) == 0
    assert "b.jpg: it has 30 x 30 pixels" in capsys.readouterr().err


def test_body_and_mask_that_disagree_are_told(root, capsys):
    far = poses(translation=np.array([[0, 0.1, 3.0], [0.3, 0.1, 12.0]]))
    assert run(root, content(), far) == 0
    assert "b.jpg: the posed body and the person's mask disagree" in capsys.readouterr().err


def test_a_name_with_other_settings_is_kept_until_overwrite(root, capsys):
    assert run(root, content(), poses()) == 0
    before = rows(root)
    assert run(root, content(), poses(), "--threshold", "0.9") == 2
    assert "threshold: 0.8, now 0.9" in capsys.readouterr().err
    assert rows(root) == before
    assert run(root, content(), poses(), "--threshold", "0.9", "--overwrite") == 0
    assert run(root, content(), poses(), "--threshold", "0.9", name="other") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", "test_set", "synthetic"], "synthetic is made by chorus testset"),
        (["--as", "test_set", " "], "needs a name"),
        (["--as", "test_set", "mine"], "give --images, --annotations and --poses"),
        (["--open3dhoi", "."], "--as test_set NAME"),
        (["--as", "test_set", "m", "--open3dhoi", ".", "--poses", "p.npz"], "leave out"),
        (["--as", "test_set", "m", "--open3dhoi", "."], "holds no samples of Open3DHOI"),
    ],
)
def test_what_makes_no_test_set_is_refused(root, monkeypatch, capsys, words, said):
    monkeypatch.chdir(root / "photos")
    assert main(["import", *words]) == 2
    assert said in capsys.readouterr().err


def test_prompts_say_nothing_of_test_images(root, capsys):
    assert run(root, content(), poses(), "--prompt", "A person carries a surfboard") == 2
    assert "leave them out with --as test_set" in capsys.readouterr().err


def test_lifted_photographs_have_meshes_and_pictures(root, capsys):
    lifted.write_sample(root / "hoi" / "surfboard" / "whole")
    board = lifted.box_in_camera()
    board.update_faces(np.arange(len(board.faces)) > 0)
    lifted.write_sample(root / "hoi" / "surfboard" / "open", board)
    broken = lifted.write_sample(root / "hoi" / "surfboard" / "poor")
    (broken / "h_mesh.obj").unlink()
    source = ["--open3dhoi", str(root / "hoi"), "--results_dir", str(root / "results")]
    assert main(["import", "--as", "test_set", "lifted", *source]) == 0
    said = capsys.readouterr()
    assert "test_set 2 done, 1 failed" in said.out
    assert "left out of the test set, poor lacks h_mesh.obj: 1 (poor)" in said.err
    assert "open: its object's mesh is not closed, so it counts for PAP" in said.err
    by_name = {row["image"]: row for row in rows(root, "lifted") if row["status"] == "done"}
    assert by_name.keys() == {"open.jpg", "whole.jpg"}
    table = ResultsTree(root / "results").table("test_set", shard_of("lifted", "surfboard"))
    made = {path.name for path in table.with_suffix("").iterdir()}
    assert made == {
        *("open.jpg", "open.lifted.png", "whole.jpg", "whole.lifted.png", "whole.object.npz")
    }
    assert main(["import", "--as", "test_set", "lifted", *source, "--categories", "tie"]) == 2
    assert "no samples of 'tie'; it has surfboard" in capsys.readouterr().err


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the five photographs are not there")
def test_the_five_photographs_make_a_test_set_of_five(tmp_path, capsys):
    files = ["--images", str(PHOTOS), "--annotations", str(PHOTOS / "instances.json")]
    files += ["--poses", str(PHOTOS / "poses.npz"), "--results_dir", str(tmp_path / "results")]
    assert main(["import", "--as", "test_set", "five", *files]) == 0
    said = capsys.readouterr()
    assert "test_set 5 done" in said.out and "left out" not in said.err
    assert "disagree" not in said.err
    assert len(rows(tmp_path, "five", "bicycle")) == 2
