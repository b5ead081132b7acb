"""`--error_model` and `--world`: what steps make of them, record of them, and refuse."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from chorus.commands import run, testset
from chorus.commands.run import _options_of
from chorus.engine.loop import Stage
from chorus.engine.perception import run_perception_stage
from chorus.errors import BadInput
from chorus.pipeline import STEPS, step
from chorus.records.keys import ShardKey
from chorus.stages import humans, images, keypoints, quality, segment
from chorus.synthetic.perceive.noise_settings import HARSH, NoiseSettings


@pytest.fixture(autouse=True)
def _profile(monkeypatch):
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)


def test_the_default_records_what_it_always_did():
    recorded = segment.Options().recorded("segmenter")
    assert recorded["noise"].keys() == {
        *("box_jitter", "mask_boundary", "miss_rate", "small_area", "false_positive_rate"),
        *("duplicate_rate", "score_spread", "keypoint_jitter", "confidence_spread"),
        *("pose_error", "hidden_pose_error", "rotation_error", "betas_error", "camera_error"),
    }
    assert images.settings_of(images.Options()).keys() == {
        *images.Options().model("image_model").recorded(),
        *("image_format", "seed", "body"),
    }


def test_a_named_error_model_is_recorded_by_its_values():
    options = humans.Options(error_model="harsh")
    assert options.errors == HARSH
    assert options.recorded("human_model")["noise"] == asdict(HARSH)
    by_hand = humans.Options(noise=HARSH)
    assert by_hand.recorded("human_model") == options.recorded("human_model")


def test_single_knobs_of_a_named_error_model_are_refused():
    with pytest.raises(BadInput, match="--error_model harsh"):
        segment.Options(error_model="harsh", noise=NoiseSettings(pose_error=1.0))


def test_a_named_world_is_recorded_and_other_image_models_have_none():
    settings = images.settings_of(images.Options(world="harsh"))
    assert settings["world"]["field_of_view"] == [25.0, 75.0]
    with pytest.raises(BadInput, match="--world harsh"):
        images.Options(world="harsh", profile="modern")


def test_only_keypoints_that_repeat_errors_depend_on_the_body():
    assert not keypoints.Options().repeats_the_regressor
    assert keypoints.Options(error_model="harsh").repeats_the_regressor
    assert not keypoints.Options(profile="modern").repeats_the_regressor


@pytest.mark.parametrize("errors", [{"error_model": "harsh"}, {"noise": HARSH}])
@pytest.mark.parametrize(
    ("module", "network"),
    [(segment, "open-vocabulary"), (humans, "hmr2"), (keypoints, "vitpose")],
)
def test_errors_of_networks_that_are_not_synthetic_are_refused(module, network, errors):
    with pytest.raises(BadInput, match=f"synthetic world's networks only, not for {network};"):
        module.Options(profile="modern", **errors)


def test_a_step_by_itself_may_have_a_synthetic_network_in_another_profile():
    options = keypoints.Options(profile="modern", keypoint_model="synthetic", error_model="harsh")
    assert options.errors == HARSH


def test_quality_refuses_errors_where_no_detector_has_any():
    looking = {"criteria": ("consistency",), "profile": "modern", "error_model": "harsh"}
    with pytest.raises(BadInput, match=r"--error_model harsh .* not for vitpose"):
        quality.Options(**looking)
    quality.Options(profile="modern", error_model="harsh")  # tables alone; `run` passes it on
    both = {**looking, "criteria": ("consistency", "agreement")}
    quality.Options(**both, second_keypoint_model="synthetic")


def test_run_refuses_an_error_model_where_nothing_is_synthetic():
    with pytest.raises(BadInput, match=r"--error_model doubled .*open-vocabulary, hmr2, vitpose"):
        run.Options(categories=("surfboard",), profile="modern", error_model="doubled")


def test_run_passes_world_and_error_model_on():
    options = run.Options(categories=("surfboard-demo",), world="harsh", error_model="doubled")
    groups = {
        "images": images.Options,
        "segment": segment.Options,
        "humans": humans.Options,
        "keypoints": keypoints.Options,
    }
    made = {name: _options_of(step(name), group, options) for name, group in groups.items()}
    assert made.pop("images").world == "harsh"
    assert {each.error_model for each in made.values()} == {"doubled"}
    assert set(groups) < {each.name for each in STEPS}


def test_test_images_stay_with_the_default_world():
    assert testset.Options().world == "default"


@pytest.mark.parametrize(
    ("profile", "advised"),
    [("synthetic", "modern"), ("modern", "modern"), ("paper", "paper"), ("pocket", "pocket")],
)
def test_the_profile_that_is_advised_for_images_of_others(tmp_path, profile, advised):
    shard = ShardKey("mine", "kite", "A person flies a kite", "original")
    options = segment.Options(profile=profile, segmenter="synthetic", results_dir=tmp_path)
    stage = Stage(step("segment"), {}, lambda: None)
    with pytest.raises(BadInput, match=f"--profile {advised} with --model_key mine, or --segm"):
        run_perception_stage(stage, options, options.model("segmenter"), [shard], None)
