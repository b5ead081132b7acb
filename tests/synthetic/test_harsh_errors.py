"""Gross and agreeing errors of the error model: off by default, and what they say they are."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.body.keypoints import BODY_KEYPOINTS, KEYPOINT_NAMES
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.geometry.image_transforms import about, move_box, move_points
from chorus.records.rows import Image
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.human_regressor import SyntheticHumanRegressor
from chorus.synthetic.perceive.keypoint_detector import SyntheticKeypointDetector
from chorus.synthetic.perceive.noise_settings import (
    DOUBLED,
    ERROR_MODELS,
    EXACT,
    HARSH,
    NoiseSettings,
)
from chorus.synthetic.perceive.segmenter import SyntheticSegmenter

SHARES = ("keypoint_swap", "keypoint_confident_miss", "shared_error", "mask_swallows_hands")
OFF = (*SHARES, "occlusion_pose_error")
PLACES = np.arange(34.0).reshape(17, 2)


def keypoints(noise: NoiseSettings, seed: int = 5) -> np.ndarray:
    states = np.arange(17) % 4
    return errors.noisy_keypoints(PLACES, states, 100, noise, np.random.default_rng(seed))


def test_the_default_draws_what_it_drew_before_these_knobs_were_there():
    np.testing.assert_allclose(
        keypoints(NoiseSettings())[[0, 9, 16]],
        [
            [-0.962318, -0.589231, 0.856645],
            [15.734563, 17.24318, 0.759049],
            [31.954536, 32.634796, 0.99734],
        ],
        atol=1e-5,
    )
    visible = np.arange(23) % 2 == 0
    pose = errors.noisy_pose(np.zeros((23, 3)), visible, NoiseSettings(), np.random.default_rng(5))
    np.testing.assert_allclose(
        pose[[0, 22]],
        [[-0.069982, -0.115572, -0.021674], [0.016476, -0.001852, 0.053164]],
        atol=1e-5,
    )


def test_what_is_off_by_default_is_not_recorded():
    usual = NoiseSettings()
    assert {name: getattr(usual, name) for name in OFF} == dict.fromkeys(OFF, 0.0)
    assert usual.recorded().keys() == {field.name for field in fields(usual)} - set(OFF)
    assert EXACT.recorded() == dict.fromkeys(usual.recorded(), 0.0)
    assert HARSH.recorded().keys() == {field.name for field in fields(usual)}
    assert NoiseSettings(**HARSH.recorded()) == HARSH


def test_the_named_error_models_are_what_they_say():
    usual = NoiseSettings()
    assert ERROR_MODELS["default"] == usual
    for field in fields(usual):
        before = getattr(usual, field.name)
        assert getattr(DOUBLED, field.name) == 2 * before
        assert getattr(HARSH, field.name) > before


@pytest.mark.parametrize("name", SHARES)
def test_shares_over_1_are_refused(name):
    with pytest.raises(BadInput, match=f"{name} is a share"):
        NoiseSettings(**{name: 1.01})


@pytest.mark.parametrize("name", OFF)
def test_negative_rates_are_refused(name):
    with pytest.raises(BadInput, match=name):
        NoiseSettings(**{name: -0.1})


def test_swapped_sides_exchange_whole_arms_and_legs_with_their_confidence():
    found, swapped = (keypoints(replace(NoiseSettings(), keypoint_swap=rate)) for rate in (0, 1))
    other = [
        KEYPOINT_NAMES.index(
            name.replace("left", "other").replace("right", "left").replace("other", "right")
        )
        for name in KEYPOINT_NAMES
    ]
    np.testing.assert_array_equal(swapped[5:], found[other[5:]])
    np.testing.assert_array_equal(swapped[:5], found[:5])


def test_arms_and_legs_are_swapped_at_the_rate_and_by_themselves():
    rows = np.column_stack([PLACES, np.ones(17)])
    rng = np.random.default_rng(0)
    many = np.array([errors.sides_swapped(rows, 0.2, rng) for _ in range(2000)])
    arms, legs = (many[:, first, 0] != PLACES[first, 0] for first in (5, 11))
    assert arms.mean() == pytest.approx(0.2, abs=0.04)
    assert (arms & legs).mean() == pytest.approx(0.04, abs=0.02)
    whole = many[arms][:, [5, 7, 9], 0]
    np.testing.assert_array_equal(whole, np.tile(PLACES[[6, 8, 10], 0], (len(whole), 1)))


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_swap_never_loses_a_keypoint(seed, rate):
    rows = np.column_stack([PLACES, np.ones(17)])
    found = errors.sides_swapped(rows, rate, np.random.default_rng(seed))
    assert sorted(map(tuple, found)) == sorted(map(tuple, rows))


def test_confident_misses_are_far_off_and_sure():
    noise = replace(EXACT, keypoint_confident_miss=0.25)
    size, states = 100.0, np.full(17, errors.OUTSIDE)
    apart = 50 * PLACES  # any two keypoints are farther from each other than a miss by itself
    found = np.array(
        [
            errors.noisy_keypoints(apart, states, size, noise, np.random.default_rng(seed))
            for seed in range(400)
        ]
    )
    away = np.linalg.norm(found[..., :2] - apart, axis=-1)
    missed = away > 1e-3
    assert missed.mean() == pytest.approx(0.25, abs=0.02)
    assert (found[missed][:, 2] == 1).all() and (found[~missed][:, 2] == 0).all()
    alone = (away > 0) & (away <= 61)
    assert away[missed].min() > 19.9
    assert alone[missed].mean() == pytest.approx(0.5, abs=0.05)
    on_another = found[missed & ~alone][:, :2]
    assert (np.linalg.norm(on_another[:, None] - apart, axis=-1).min(1) < 1e-3).all()


def test_a_hidden_person_has_larger_pose_errors_everywhere():
    noise = replace(EXACT, pose_error=5.0, occlusion_pose_error=1.0)
    pose, seen = np.zeros((23, 3)), np.arange(23) < 12

    def wrong(visible, settings):
        return errors.noisy_pose(pose, visible, settings, np.random.default_rng(1))

    usual = wrong(seen, replace(noise, occlusion_pose_error=0))
    np.testing.assert_allclose(wrong(np.ones(23, bool), noise), usual)
    np.testing.assert_allclose(wrong(seen, noise), usual * (1 + 11 / 23), rtol=1e-6)


def test_a_swallowed_hand_goes_from_person_to_object():
    person, thing = np.zeros((2, 40, 60), bool)
    person[10:30, 10:30] = True
    thing[10:30, 30:50] = True
    taken, grown = errors.hand_swallowed(person, thing, np.array([28.0, 20.0]), 5.0)
    moved = person & ~taken
    assert moved.any() and (taken | grown).sum() == (person | thing).sum()
    np.testing.assert_array_equal(grown & ~thing, moved)
    rows, columns = np.nonzero(moved)
    assert np.hypot(columns + 0.5 - 28, rows + 0.5 - 20).max() < 5
    same = errors.hand_swallowed(person, thing, np.array([15.0, 20.0]), 5.0)
    assert same[0] is person and same[1] is thing


def test_distance_to_a_mask():
    mask = np.zeros((10, 10), bool)
    assert errors.distance_to(mask, np.zeros(2)) == np.inf
    mask[4, 3] = True
    assert errors.distance_to(mask, np.array([3.5, 7.5])) == pytest.approx(3.0)


@pytest.fixture(scope="module")
def truth_of(worlds):
    return {key: row for key, _, _, row in worlds}.get


@pytest.fixture(scope="module")
def images(worlds):
    from chorus.records.rows import Image

    return [Image(key, rendering.image) for key, _, rendering, _ in worlds]


@pytest.fixture(scope="module")
def boxes(images, truth_of):
    return [
        np.array([person["box"] for person in truth_of(image.key)["persons"]], np.float32)
        for image in images
    ]


def test_the_segmenter_gives_hands_to_the_board_and_nothing_else_changes(images, truth_of):
    exact = SyntheticSegmenter(truth_of, EXACT).segment(images)
    spoiled = SyntheticSegmenter(truth_of, replace(EXACT, mask_swallows_hands=1.0)).segment(images)
    taken = 0
    for image, before, after in zip(images, exact, spoiled, strict=True):
        height, width = image.pixels.shape[:2]
        assert [d.label for d in before] == [d.label for d in after]
        assert [d.score for d in before] == [d.score for d in after]
        if len(before) < 2:
            continue
        (person, thing), (less, more) = (
            [masks.decode(d.mask, height, width) for d in found] for found in (before, after)
        )
        np.testing.assert_array_equal(more & ~thing, person & ~less)
        assert not (thing & ~more).any() and not (less & ~person).any()
        taken += (person & ~less).any()
    assert taken >= 2  # boards are carried and paddled on


def test_keypoints_repeat_the_regressors_error(images, truth_of, boxes, body):
    noise = replace(EXACT, pose_error=8.0, rotation_error=8.0)
    right, wrong = (
        SyntheticHumanRegressor(body, truth_of, settings).regress(images, boxes)
        for settings in (EXACT, noise)
    )
    exact, apart, shared = (
        SyntheticKeypointDetector(truth_of, settings, body=body).detect(images, boxes)
        for settings in (EXACT, noise, replace(noise, shared_error=0.5))
    )
    for i in range(len(images)):
        off = wrong[i][0].joints - right[i][0].joints
        expected = 0.5 * off[[JOINT_NAMES.index("head")] * 5 + BODY_KEYPOINTS]
        np.testing.assert_allclose((shared[i] - exact[i])[0, :, :2], expected, atol=0.05)
        np.testing.assert_array_equal(apart[i], exact[i])
        np.testing.assert_array_equal(shared[i][..., 2], exact[i][..., 2])


def test_the_camera_error_is_not_shared(images, truth_of, boxes, body):
    noise = replace(EXACT, camera_error=0.1, shared_error=1.0)
    found = SyntheticKeypointDetector(truth_of, noise, body=body).detect(images, boxes)
    exact = SyntheticKeypointDetector(truth_of, EXACT).detect(images, boxes)
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_shared_errors_go_with_a_transformed_image(images, truth_of, boxes, body):
    """Without errors of its own a detector finds the same wrong places, carried along."""
    noise = replace(EXACT, pose_error=8.0, rotation_error=8.0, shared_error=0.5)
    for stream, degrees in (("", 20), ("other", -90)):
        detector = SyntheticKeypointDetector(truth_of, noise, body=body, stream=stream)
        for image, own, before in zip(images, boxes, detector.detect(images, boxes), strict=True):
            transform = about((own[0, :2] + own[0, 2:]) / 2, 1.1, degrees)
            moved = Image(image.key, image.pixels, transform)
            after = detector.detect([moved], [move_box(own[0], transform)[None]])[0]
            expected = move_points(before[0, :, :2], transform)
            np.testing.assert_allclose(after[0, :, :2], expected, atol=0.1)


def test_shared_errors_need_the_body(truth_of):
    with pytest.raises(BadInput, match="shared_error"):
        SyntheticKeypointDetector(truth_of, replace(EXACT, shared_error=0.1))
