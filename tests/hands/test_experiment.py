"""TempCLR's experiment files."""

from __future__ import annotations

from pathlib import Path

import pytest

from chorus.errors import BadInput
from chorus.hands.experiment import read_experiment

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "hands"


@pytest.fixture
def variables(monkeypatch):
    for name in ("INFERENCE", "DATASETS", "MODELS"):
        monkeypatch.setenv(name, f"/{name.lower()}")


@pytest.mark.parametrize(
    ("name", "backbone", "folder", "summaries"),
    [
        ("freihand", "resnet50", "/datasets/freihand", None),
        ("ho3d", "resnet18", "/datasets/HO3D_v2", "/inference/HO3D_model/summary"),
    ],
)
def test_the_shipped_files(variables, name, backbone, folder, summaries):
    read = read_experiment([SCRIPTS / f"evaluation_{name}.yaml"])
    assert read.backbone == backbone and read.batch_size == 16
    assert read.datasets == ((name, Path(folder)),)
    assert read.summaries == (summaries and Path(summaries))
    assert read.hand == Path("/models/mano/MANO_RIGHT.pkl")
    assert read.checkpoint.parts[-1] == "checkpoints"


def test_later_files_and_options_count_first(variables, tmp_path):
    (tmp_path / "more.yaml").write_text("datasets: {hand: {batch_size: 3}}\nsave_reproj_images: 1")
    files = [SCRIPTS / "evaluation_freihand.yaml", tmp_path / "more.yaml"]
    assert read_experiment(files).batch_size == 3
    changed = read_experiment(files, ["datasets.hand.batch_size=5", "output_folder=/elsewhere"])
    assert changed.batch_size == 5 and changed.summaries == Path("/elsewhere/summary")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("network.hand.num_stages=4", "num_stages is 4; only 3 is supported"),
        ("is_training=true", "is_training is True"),
        ("network.hand.backbone.type=hrnet", "unknown network.hand.backbone.type"),
        ("datasets.hand.splits.test=[]", "must list freihand, ho3d"),
        ("datasets.hand.splits.test=[coco]", "unknown data set"),
        ("datasets.hand.batch_size=0", "batch_size is 0"),
        ("output_folder=$NOT_SET_ANYWHERE/x", "the variable NOT_SET_ANYWHERE is not set"),
        ("output_folder=", "output_folder is None; expected a path"),
        ("nonsense", "takes KEY=VALUE"),
        ("a=[", "its value is no yaml"),
    ],
)
def test_what_cannot_be_is_named(variables, option, said):
    with pytest.raises(BadInput, match=said):
        read_experiment([SCRIPTS / "evaluation_freihand.yaml"], [option])


@pytest.mark.parametrize(
    ("content", "said"),
    [("a: [", "is no yaml file"), ("- a", "holds no keys"), ("", "holds no keys")],
)
def test_files_that_are_none(tmp_path, content, said):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(BadInput, match=said):
        read_experiment([tmp_path / "a.yaml"])
    with pytest.raises(BadInput, match="cannot read"):
        read_experiment([tmp_path / "b.yaml"])


def test_no_code_runs_in_a_file(tmp_path):
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(BadInput, match="is no yaml file"):
        read_experiment([tmp_path / "a.yaml"])
