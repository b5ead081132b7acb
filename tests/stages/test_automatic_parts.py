"""`chorus aggregate` with the preset `qual:auto`: body parts found in the samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import StaleResults
from chorus.geometry.masks import encode
from chorus.occupancy.presets import PRESETS, DiscoverySettings, preset
from chorus.records.aggregations import AggregationKind, load, read_record
from chorus.records.gathering import Retained
from chorus.records.keys import TOTAL, SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.stages.aggregate import Aggregator, Options
from references.bodies import stick_figure
from references.views import random_views

KIND = AggregationKind("qual:auto", (3,))
RIDE, CARRY, STAND = (f"A person {verb} a surfboard" for verb in ("rides", "carries", "stands on"))
FEET, ARM = ("leftFoot", "rightFoot"), ("rightForeArm", "rightHand")


def retained(prompt: str, count: int, seed: int) -> Retained:
    views = random_views(count, seed)
    keys = [SampleKey("model", "surfboard", prompt, "original", n) for n in range(count)]
    masks = [((encode(mask),), *mask.shape) for mask in views.masks]
    return Retained(keys, *(list(tensor.numpy()) for tensor in views[:4]), masks, [1] * len(keys))


class World:
    """What aggregation finds: samples by prompt, and which segments each prompt's touch."""

    def __init__(self, root):
        self.root = root
        self.samples = {RIDE: retained(RIDE, 9, 1), CARRY: retained(CARRY, 8, 2)}
        self.segments = {RIDE: FEET, CARRY: ARM, STAND: FEET}
        self.looked = 0

    def aggregate(self, settings=None, **options):
        options = Options(
            model_key="model", results_dir=self.root, imports_dir=self.root, workers=1, **options
        )
        worker = Aggregator(options, KIND, settings or self.settings, None)
        prompts = options.prompts or list(self.samples)
        shards = [ShardKey("model", "surfboard", prompt, "original") for prompt in prompts]
        return worker, worker.category("surfboard", shards)

    settings = replace(preset("qual:auto"), resolution=8, region_distance=0.4)

    def folder(self, prompt: str):
        return ResultsTree(self.root).aggregation("model", "surfboard", prompt, KIND.name)

    def touched(self, samples: Retained) -> np.ndarray:
        self.looked += 1
        if not len(samples):
            return np.zeros((24, 0), bool)
        segments = self.segments[samples.keys[0].prompt]
        return np.repeat(np.isin(SEGMENT_NAMES, segments)[:, None], len(samples), axis=1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path)
    body = stick_figure()
    monkeypatch.setattr("chorus.body.loading.load_body", lambda *_: body)
    monkeypatch.setattr(Aggregator, "_gather", lambda _, shards: world.samples[shards[0].prompt])
    monkeypatch.setattr(Aggregator, "_touched", lambda _, samples: world.touched(samples))
    monkeypatch.setattr(
        ResultsTree,
        "shards",
        lambda *_: [ShardKey("model", "surfboard", prompt, "original") for prompt in world.samples],
    )
    return world


def test_found_parts_are_counted_recorded_and_told(world):
    worker, done = world.aggregate()
    assert done == (3, 0)
    assert worker.found == [
        "surfboard: 2 body parts found: feet (leftFoot, rightFoot; stability 1.00, 9 samples), "
        "rightForearmHand (rightForeArm, rightHand; stability 1.00, 8 samples)"
    ]
    for prompt, count in ((RIDE, 9), (CARRY, 8), (TOTAL, 17)):
        record = read_record(world.folder(prompt))
        assert record["parts"] == ["all", "feet", "rightForearmHand"] and record["samples"] == count
        assert record["settings"]["discovery"]["max_sets"] == DiscoverySettings().max_sets
        assert record["discovery"]["joined_prompts"] == []
        feet, arm = record["discovery"]["parts"]
        assert (feet["name"], feet["segments"], feet["samples"]) == ("feet", list(FEET), 9)
        assert arm["stable"] and arm["stability"] == 1 and record["discovery"]["samples"] == 17
    total = load(world.folder(TOTAL))
    assert total["all"].counts.members.sum() == 17
    assert 0 < total["feet"].counts.members.sum() < 17


def test_what_is_unchanged_is_kept_without_looking_at_samples_again(world):
    world.aggregate()
    assert world.looked == 2
    assert world.aggregate()[1] == (0, 3) and world.looked == 2
    assert world.aggregate(overwrite=True)[1] == (3, 0) and world.looked == 4


def test_another_prompt_of_the_same_parts_leaves_counts_and_renews_what_is_said(world):
    world.aggregate()
    counts = (world.folder(RIDE) / "feet.npz").stat().st_mtime_ns
    world.samples[STAND] = retained(STAND, 12, 3)
    worker, done = world.aggregate()
    assert done == (2, 2)
    assert (world.folder(RIDE) / "feet.npz").stat().st_mtime_ns == counts
    assert worker.found[0].endswith(f"; {RIDE!r} joined with {STAND!r}")
    said = [read_record(world.folder(p))["discovery"] for p in (RIDE, CARRY, STAND, TOTAL)]
    assert said[0]["joined_prompts"] == [[RIDE, STAND]] and said[0]["samples"] == 29
    assert all(one == said[0] for one in said)


def test_other_parts_are_counted_anew_and_the_former_ones_go(world):
    world.aggregate()
    world.segments[STAND] = ("head",)
    world.samples[STAND] = retained(STAND, 12, 3)
    assert world.aggregate()[1] == (4, 0)
    world.samples[CARRY] = Retained()
    assert world.aggregate()[1] == (3, 0)
    names = {path.stem for path in world.folder(RIDE).glob("*.npz")}
    assert names == {"all", "feet", "head"}


def test_parts_of_some_prompts_are_those_of_the_whole_category(world):
    _, done = world.aggregate(prompts=(RIDE,))
    assert done == (1, 0) and not world.folder(TOTAL).exists()
    assert read_record(world.folder(RIDE))["parts"] == ["all", "feet", "rightForearmHand"]
    assert world.aggregate()[1] == (2, 1)


def test_nothing_touched_leaves_the_whole(world):
    world.segments = {RIDE: (), CARRY: ()}
    worker, _ = world.aggregate()
    assert worker.found == ["surfboard: 0 body parts found, as nothing is touched often enough; "
                            f"{RIDE!r} joined with {CARRY!r}"]  # fmt: skip
    assert list(load(world.folder(TOTAL))) == ["all"]


def test_other_settings_of_discovery_are_noticed(world):
    world.aggregate()
    changed = replace(world.settings, discovery=DiscoverySettings(max_sets=3))
    with pytest.raises(StaleResults, match="max_sets: 5, now 3"):
        world.aggregate(changed)


def test_a_damaged_record_is_no_reason_to_stop(world):
    world.aggregate()
    record = world.folder(RIDE) / "aggregation.json"
    said = json.loads(record.read_text())
    record.write_text(json.dumps(said | {"discovery": None}))
    assert world.aggregate()[1] == (0, 3)
    assert json.loads(record.read_text()) == said


def test_the_preset_and_what_presets_record():
    assert preset("qual:auto").parts == "auto"
    for name, settings in PRESETS.items():
        assert ("discovery" in settings.recorded()) == name.endswith("auto")


def test_segments_are_looked_at_in_the_samples(tmp_path, monkeypatch):
    body = stick_figure()
    monkeypatch.setattr("chorus.body.loading.load_body", lambda *_: body)
    monkeypatch.setattr("chorus.engine.found_parts.BATCH", 5)
    options = Options(model_key="model", results_dir=tmp_path, imports_dir=tmp_path, workers=1)
    worker = Aggregator(
        options, KIND, replace(preset("qual:auto"), resolution=8, region_distance=0.4), None
    )
    touched = worker._touched(retained(RIDE, 12, 1))
    assert touched.shape == (24, 12) and touched.any()
    counts = worker.accumulate(retained(RIDE, 12, 1), "ride")
    members = [counts[segment].members.sum() for segment in SEGMENT_NAMES]
    assert members == touched.sum(axis=1).tolist()
