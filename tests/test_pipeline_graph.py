"""`chorus.pipeline`: the steps, and the graph of tables that everything else takes from there."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from chorus import cli
from chorus.commands.run import Options, StepName
from chorus.pipeline import STEPS, ingredients, main_tables, maker, sources, step, tables
from chorus.records.gathering import gathered
from chorus.records.schemas import SCHEMAS

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_a_table_is_made_before_it_is_read():
    made: set[str] = set()
    for each in STEPS:
        assert set(each.reads) | set(each.may_read) <= made, each.name
        made |= set(each.writes)


def test_every_table_of_samples_has_a_schema_and_one_maker():
    assert len(set(tables())) == len(tables())
    assert {*tables(), "lifted", "test_set"} == set(SCHEMAS)  # those two `import` makes
    assert all(maker(table).name in cli.COMMANDS for table in tables())


def test_the_graph_by_table():
    assert maker("human_kps").name == "keypoints" and step("keypoints").writes == ("human_kps",)
    assert sources("filtered_cameras") == ("filtered", "humans", "images")
    assert sources("filtered_cameras", among=("humans", "filtered")) == ("filtered", "humans")
    assert sources("images") == ()
    assert ingredients("segment") == ("images",) and ingredients("prompts") == ()
    assert ingredients("calibrate")[-2:] == ("human_kps", "filtered")
    assert ingredients("aggregate", among=main_tables()) == main_tables()
    assert set(ingredients("aggregate")) == set(main_tables()) - {"refined", "quality"}
    assert ingredients("aggregate", gathered("calibrated")) == ingredients("aggregate")
    refined = ingredients("aggregate", gathered("refined"))
    assert set(refined) == set(main_tables()) - {"filtered_cameras", "quality"}
    assert set(ingredients("aggregate", ("filtered", "quality"))) >= {"quality", "human_kps"}
    assert "synthetic_truth" in tables() and "synthetic_truth" not in main_tables()
    with pytest.raises(KeyError):
        step("keypoint")


@pytest.mark.parametrize("each", STEPS, ids=lambda each: each.name)
def test_every_step_is_a_command_with_a_module_of_its_name(each):
    module = importlib.import_module(each.module)
    assert each.module == f"chorus.stages.{each.name}"
    assert list(inspect.signature(module.run).parameters) == ["options", "progress"]
    assert cli.COMMANDS[each.name] == (each.module, each.about)
    assert not each.script or (SCRIPTS / each.script).is_file()


def test_stages_hold_the_steps_and_nothing_else():
    folder = Path(importlib.import_module("chorus.stages").__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {each.name for each in STEPS}


def test_run_takes_a_part_of_the_steps():
    assert set(StepName.__args__) == {each.name for each in STEPS}
    options = Options(categories=("surfboard",), first="humans", last="filter")
    assert [each.name for each in options.steps] == ["humans", "keypoints", "filter"]


def test_what_run_means_where_nothing_is_said():
    demo = Options(categories=("surfboard-demo",))
    assert (demo.prompt_dir, demo.save_dir) == (Path("prompts/demo"), Path("results_demo"))
    assert demo.aggr_setting_names == ("qual:evidence-demo", "qual:demo")
    other = Options(categories=("surfboard-demo", "tie"), results_dir=Path("r"), profile="paper")
    assert (other.prompt_dir, other.save_dir) == (Path("r/prompts/paper"), None)
    assert other.aggr_setting_names == ()
    given = Options(categories=("surfboard-demo",), prompt_dir=Path("mine"), save_dir=Path("here"))
    assert (given.prompt_dir, given.save_dir) == (Path("mine"), Path("here"))
