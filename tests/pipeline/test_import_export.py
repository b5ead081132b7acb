"""Exported, imported again under another folder key, and learned from: the same distributions."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from small_tree import AGGREGATION, PROMPTS, command

import chorus
from chorus.cli import main
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table

MINE = ("--model_key", "mine")
MANUAL = Path(__file__).parents[2] / "docs" / "bring-your-own.md"


@pytest.fixture(scope="module")
def exported(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    assert main(command(base, "export", "--out", str(out))) == 0
    return out


@pytest.fixture(scope="module")
def imported(base, exported, tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    shutil.copytree(base / "imports", root / "imports")
    source = ("--images", str(base / "results/images/synthetic-v1"))
    source += ("--annotations", str(exported / "instances.json"))
    source += ("--poses", str(exported / "poses.npz"))
    assert main(command(root, "import", *source, *MINE)) == 0
    for stage in ("filter", "calibrate", "aggregate"):
        assert main(command(root, stage, *MINE)) == 0
    return root


@pytest.mark.parametrize("prompt", [*PROMPTS, "total-aggregation"])
def test_imported_samples_give_the_same_distribution(base, imported, prompt):
    first, second = (
        chorus.Distribution.load(
            root / "results/aggregations" / model / "surfboard" / prompt / AGGREGATION / "all.npz"
        )
        for root, model in ((base, "synthetic-v1"), (imported, "mine"))
    )
    assert first.metadata["samples"] == second.metadata["samples"] > 0
    np.testing.assert_array_equal(first.counts.mask, second.counts.mask)
    np.testing.assert_array_equal(first.probability, second.probability)


def documented() -> list[list[str]]:
    """The words of the commands at the top of the manual, without "chorus"."""
    block = re.search(r"```\n(chorus import.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line)[1:] for line in block[1].replace("\\\n", " ").splitlines()]


def aggregated(folder: Path, preset: str) -> chorus.Distribution:
    """The distribution of a prompt's or a category's folder."""
    (path,) = folder.glob(f"filter(*)-aggr({preset.replace(':', '%3A')})/all.npz")
    return chorus.Distribution.load(path)


def test_the_documented_commands_give_the_same_evidence(
    tree, exported, tmp_path_factory, monkeypatch
):
    root = tmp_path_factory.mktemp("documented")
    monkeypatch.chdir(root)
    monkeypatch.setenv("CHORUS_IMPORTS", str(tree / "imports"))
    shutil.copytree(tree / "results/images/synthetic-v1", "photos")
    for name in ("instances.json", "poses.npz"):
        shutil.copy(exported / name, name)
    *commands, last = documented()
    assert last[0] == "view"  # pictures take longer, and are tested with view
    for words in commands:
        assert main([*words, "--workers", "1"] if words[0] != "import" else words) == 0, words
    assert main(command(tree, "aggregate", "--aggr_setting_names", "quant:evidence")) == 0
    first, second = (
        aggregated(results / model / "surfboard/total-aggregation", "quant:evidence")
        for results, model in (
            (tree / "results/aggregations", "synthetic-v1"),
            (root / "results_mine/aggregations", "mine"),
        )
    )
    assert first.metadata["samples"] == second.metadata["samples"] > 0
    np.testing.assert_array_equal(first.probability, second.probability)


def test_without_keypoints_the_commands_that_are_told_make_distributions(
    base, exported, tmp_path, capsys
):
    content = json.loads((exported / "instances.json").read_text())
    for annotation in content["annotations"]:
        annotation.pop("keypoints", None)
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    source = ("--images", str(base / "results/images/synthetic-v1"))
    source += ("--annotations", str(file), "--poses", str(exported / "poses.npz"))
    imports = ("--imports_dir", str(base / "imports"))
    assert main(command(tmp_path, "import", *source, *MINE, *imports)) == 0
    told = "--aggr_setting_names quant:full --filter_setting_nums 15"
    assert told in capsys.readouterr().err
    assert told in MANUAL.read_text(encoding="utf-8")
    again = ("--without_keypoints", *MINE, *imports)
    assert main(command(tmp_path, "import", *source, *again)) == 0
    assert main(command(tmp_path, "filter", *MINE)) == 0
    assert main(command(tmp_path, "calibrate", *MINE, *imports)) == 0
    assert main(command(tmp_path, "aggregate", *MINE, *imports, *told.split())) == 0
    made = tmp_path / "results/aggregations/mine/surfboard/total-aggregation"
    assert aggregated(made, "quant:full").metadata["samples"] > 0


def test_the_tables_of_an_imported_tree_are_sound(imported, capsys):
    assert main(command(imported, "verify", *MINE)) == 0
    assert main(command(imported, "status", *MINE)) == 0
    assert "A person carries a surfboard" in capsys.readouterr().out
    images = ResultsTree(imported / "results")
    shard = ShardKey("mine", "surfboard", PROMPTS[0], "original")
    rows = read_table(images.table("images", shard), "images").rows
    assert rows[0]["text"].startswith(f"surfboard/{PROMPTS[0]}/original/00000")


def test_verify_names_the_import_that_mends_an_image(imported, tmp_path, capsys):
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    shard = ShardKey("mine", "surfboard", PROMPTS[0], "original")
    folder = ResultsTree(tmp_path / "results").table("images", shard).with_suffix("")
    next(folder.iterdir()).unlink()
    assert main(command(tmp_path, "verify", *MINE)) == 1
    said = capsys.readouterr().err
    assert "chorus import --categories surfboard --images FOLDER" in said
    assert "--model_key mine --overwrite" in said


def test_importing_again_changes_nothing(base, exported, imported, capsys):
    source = ("--images", str(base / "results/images/synthetic-v1"))
    source += ("--annotations", str(exported / "instances.json"))
    assert main(command(imported, "import", *source, *MINE)) == 0
    assert "images 0 done" in capsys.readouterr().out


def test_poses_alone_replace_those_of_a_tree(tree, exported, capsys):
    given = ("--poses", str(exported / "poses.npz"))
    assert main(command(tree, "import", *given)) == 2
    assert "was made with other settings" in capsys.readouterr().err
    shard = ShardKey("synthetic-v1", "surfboard", PROMPTS[1], ", full body photo")
    path = ResultsTree(tree / "results").table("humans", shard)
    before = read_table(path, "humans").rows
    assert main(command(tree, "import", *given, "--overwrite")) == 0
    table = read_table(path, "humans")
    assert table.settings["human_model"] == "imported"
    for index, row in before.items():
        assert table.rows[index]["persons"] == row["persons"]


def test_a_person_without_a_pose_is_skipped_and_told(tree, exported, tmp_path, capsys):
    with np.load(exported / "poses.npz") as poses:
        arrays = {key: poses[key] for key in poses.files}
    body = arrays.pop("body")
    arrays["pose"] = arrays["pose"].copy()
    arrays["pose"][0, 3, 1] = np.nan
    np.savez(tmp_path / "poses.npz", body=body, **arrays)
    given = ("--poses", str(tmp_path / "poses.npz"), "--overwrite")
    assert main(command(tree, "import", *given)) == 0
    shown = capsys.readouterr()
    assert "person 0: pose is not finite" in shown.err and "1 without a pose" in shown.out


def test_exported_files_hold_what_the_tables_hold(base, exported):
    content = json.loads((exported / "instances.json").read_text())
    assert {"prompt", "augprompt", "category"} <= content["images"][0].keys()
    assert {c["name"] for c in content["categories"]} == {"person", "surfboard"}
    with np.load(exported / "poses.npz") as poses:
        assert poses["pose"].shape[1:] == (24, 3) and poses["body"] == "free"
        known = np.isfinite(poses["residual"])
        assert 0 < known.sum() < len(known) and poses["K"][known, 2, 2].all()
    glb = exported / "surfboard" / "total-aggregation" / AGGREGATION / "all.glb"
    assert set(trimesh.load(glb).geometry) == {"body", "distribution"}


def test_export_of_what_is_not_there_is_told(base, tmp_path, capsys):
    out = ("--out", str(tmp_path / "out"))
    assert main(command(base, "export", *out, "--categories", "snowbord")) == 2
    assert "surfboard" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(command(base, "export", "--out", str(tmp_path / "file"))) == 2
    assert "is a file" in capsys.readouterr().err
    none = ("--formats", "glb", "--threshold", "0.999", "--prompts", PROMPTS[0])
    assert main(command(base, "export", *out, *none)) == 1
    shown = capsys.readouterr()
    assert "no surface at the threshold 0.999" in shown.err and "0 GLB files" in shown.out
