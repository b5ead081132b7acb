"""`chorus extend_eft` on hand-made files of the published schemas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coco_files import (
    HEIGHT,
    WIDTH,
    coco_file,
    direction_error,
    eft_file,
    file_name,
    photograph,
    usual_annotations,
    write_model,
)
from PIL import Image

from chorus.body.loading import load_body
from chorus.cli import main
from chorus.commands.testset import shard_of
from chorus.evaluation.labelled_images import labelled_image
from chorus.records.tables import read_table

NEAR, FAR = (250, 300, 120, 120), (600, 10, 20, 20)
ANNOTATIONS = "imports/COCO/annotations/instances_val2014.json"
FITS = "imports/eft/eft_fit/COCO2014-Val-ver10.json"


@pytest.fixture(scope="module")
def body_file(figure, tmp_path_factory) -> Path:
    """The test figure as a model file, with some triangles so that it can be drawn."""
    return write_model(tmp_path_factory.mktemp("body") / "figure.npz", figure)


@pytest.fixture(scope="module")
def shots(body_file):
    """EFT records and true cameras of three persons."""
    return [photograph(load_body(body_file), number) for number in (1, 2, 3)]


@pytest.fixture
def root(tmp_path, shots) -> Path:
    """Two good images, one with the object far off, one without a fit; one fit without an image."""
    boxes = {1: NEAR, 2: NEAR, 3: FAR, 4: NEAR}
    images = {number: usual_annotations(number, surfboard=box) for number, box in boxes.items()}
    images[1] = usual_annotations(1, surfboard=NEAR, tie=NEAR)
    records = [record for record, _ in shots]
    stray = {**records[0], "imageName": file_name(99)}
    for name, content in (
        (ANNOTATIONS, coco_file(images)),
        (FITS, eft_file([*records, stray])),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def extend(root, body_file, capsys):
    """Runs the command on the files; returns status, output and errors."""

    def command(*extra: str, categories=("surfboard", "tie")):
        places = ["--imports_dir", str(root / "imports"), "--results_dir", str(root / "results")]
        arguments = [*places, "--body", str(body_file), "--categories", *categories, *extra]
        status = main(["extend_eft", *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


def table(root: Path, category: str):
    path = root / "results/test_set/coco-eft-val" / category / "test/original.parquet"
    found = read_table(path, "test_set")
    assert found.shard == shard_of("coco-eft-val", category)
    return found


def test_the_test_set_is_written_per_category(root, extend, shots, body_file):
    status, out, err = extend()
    assert status == 0
    assert "3 test images of 4 candidates in 2 categories" in out
    assert "figure.npz" in out and "1 person and object too far apart" in out
    assert "EFT record 3" in err
    rows = table(root, "surfboard").rows
    assert [row["status"] for row in rows.values()] == ["done", "done", "skipped"]
    assert rows[2]["reason"].startswith("person and object too far apart")
    assert len(table(root, "tie").rows) == 1
    for index in (0, 1):
        image = labelled_image(rows[index])
        assert image.mask.shape == (HEIGHT, WIDTH) and image.mask.sum() == NEAR[2] * NEAR[3]
        assert direction_error(image.R, image.t, shots[index][1]) < 10
        assert rows[index]["residual"] <= 1.0
    assert {row["body"] for row in rows.values() if row["body"]} == {
        load_body(body_file).fingerprint
    }


def test_a_second_run_keeps_and_other_settings_are_told(root, extend):
    assert extend()[0] == 0
    path = root / "results/test_set/coco-eft-val/surfboard/test/original.parquet"
    before = path.stat().st_mtime_ns
    status, out, _ = extend()
    assert status == 0 and "already there" in out and path.stat().st_mtime_ns == before
    status, _, err = extend("--min_bbox_overlap", "0.0")
    assert status == 2 and "min_bbox_overlap: 0.5, now 0.0" in err and "--overwrite" in err
    status, out, _ = extend("--min_bbox_overlap", "0.0", "--overwrite")
    assert status == 0 and "4 test images of 4 candidates" in out


def test_contact_sheets(root, extend):
    status, _, err = extend("--visualize")
    assert status == 0 and "no contact sheet" in err and "download_coco_eft.sh" in err
    folder = root / "imports/COCO/images/val2014"
    folder.mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 90)).save(folder / file_name(number))
    (folder / file_name(2)).write_bytes(b"not a JPEG")
    status, _, err = extend("--visualize")
    assert status == 0 and f"{file_name(2)} is damaged" in err
    for category in ("surfboard", "tie"):
        sheet = root / "results/test_set/coco-eft-val" / category / "contact_sheet.png"
        assert np.asarray(Image.open(sheet)).std() > 1


@pytest.mark.parametrize("name", [ANNOTATIONS, FITS])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; fetch it with scripts/download_coco_eft.sh"),
        (b'{"images": [', "is not whole JSON"),
        (b"\xff\xfe\x00", "is not whole JSON"),
        (b"[]", "expected"),
    ],
)
def test_missing_and_damaged_files(root, extend, name, content, message):
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    status, _, err = extend()
    assert status == 2 and message in err and Path(name).name in err
    assert not (root / "results/test_set").exists()


def test_bad_options(extend):
    status, _, err = extend("--reprojection_error_thresh", "0")
    assert status == 2 and "above 0" in err
    status, _, err = extend(categories=["surfbord"])
    assert status == 2 and "surfboard" in err


def test_no_test_image_at_all_is_a_failure(root, extend):
    (root / FITS).write_text(json.dumps(eft_file([])))
    status, out, _ = extend()
    assert status == 1 and "0 test images of 0 candidates" in out
