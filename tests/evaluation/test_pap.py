"""PAP: the reference values, a plain version, perfect fields, and input that is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.evaluation.curves import area, pooled, precision_recall
from chorus.evaluation.labelled_images import LabelledImage
from chorus.evaluation.pap import prepare, score, score_images
from chorus.evaluation.pap_settings import THRESHOLDS, VARIANTS, PapSettings
from chorus.evaluation.pixel_grid import cells_of, resize_area, small_shape
from chorus.evaluation.summary import SummarySettings, summarise
from chorus.geometry.cameras import intrinsics, look_at
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from references import pap as pap_reference

GRID = VoxelGrid(16)
V1, V2 = PapSettings(metric="pap/v1"), PapSettings(metric="pap/v2")


def labelled(eye=(0.4, 0.3, 3.0), size=(128, 128), pose=None, seed=0) -> LabelledImage:
    """A person seen from `eye`, with a rectangle as the object."""
    height, width = size
    R, t = look_at(torch.tensor(eye), torch.tensor([0.01, 0.02, 0.0]))
    mask = np.zeros(size, bool)
    mask[height // 4 : height // 2, width // 3 : width // 2] = True
    if pose is None:
        pose = 0.3 * np.random.default_rng(seed).normal(size=(24, 3))
    K = intrinsics(torch.tensor(1.2), width, height)
    return LabelledImage(pose, R.numpy(), t.numpy(), K.numpy(), mask)


def random_field(seed=0, body="") -> Distribution:
    rng = np.random.default_rng(seed)
    values = (rng.random(GRID.shape) ** 3).astype(np.float32)
    values[rng.random(GRID.shape) < 0.7] = 0
    return Distribution(values, GRID, np.ones(GRID.shape, np.uint32), "surfboard", body=body)


def by_columns(curves) -> np.ndarray:
    """The six columns of the reference values: four figures and two target areas."""
    plain, hoa = curves
    figures = [area(one, False, strict) for one in curves for strict in (False, True)]
    return np.nan_to_num([*figures, plain.target, hoa.target])


# Reference values


@pytest.mark.parametrize("number", range(5))
def test_resizing_agrees_with_the_reference(golden, number):
    values = golden("resize_area")
    mask, small = values[f"in_{number}"] > 0, values[f"out_{number}"] > 0
    assert small_shape(*mask.shape) == small.shape
    np.testing.assert_array_equal(resize_area(mask, small.shape), small)


def test_figures_agree_with_the_reference(golden):
    values = golden("pap_random")
    for number in range(len(values["score"])):
        likelihood, target = values["score"][number], values["target"][number] > 0
        human = values["human"][number] > 0
        curves = [
            precision_recall(likelihood, target, values["thresholds"], ignored)
            for ignored in (None, human)
        ]
        np.testing.assert_allclose(by_columns(curves), values["pap"][number], atol=1e-6)


@pytest.fixture(scope="module")
def rendered(golden, reference_body):
    """The reference's three images, prepared and scored as pap/v1, with its values."""
    values = golden("render_pap_24")
    field = Distribution(
        values["canon_probability"], VoxelGrid(24), np.ones((24, 24, 24), np.uint32)
    )
    images = [
        LabelledImage(
            *(values[name][at] for name in ("pose", "R", "t", "K")), values[f"target_mask_{at}"] > 0
        )
        for at in range(3)
    ]
    ready = [prepare(image, reference_body, field.grid, V1) for image in images]
    return values, field, images, ready, [score(field.probability, one, V1) for one in ready]


@pytest.mark.parametrize("at", range(3))
def test_an_image_agrees_with_the_reference(rendered, at):
    values, _, _, ready, scores = rendered
    np.testing.assert_array_equal(ready[at].human, values[f"human_mask_{at}"] > 0)
    np.testing.assert_array_equal(ready[at].target, values[f"target_mask_small_{at}"] > 0)
    on = scores[at].likelihood >= values["thresholds"][:, None, None]
    assert (on != values[f"object_masks_{at}"]).mean() <= 5e-4
    for curve, name in ((scores[at].curve, ""), (scores[at].curve_hoa, "hoa_")):
        expected = values[f"precision_recall_{name}{at}"]
        found = np.stack([curve.thresholds, curve.precision, curve.recall, curve.predicted], axis=1)
        np.testing.assert_allclose(found, expected[:, :4], atol=1e-6)
    found = by_columns([scores[at].curve, scores[at].curve_hoa])
    np.testing.assert_allclose(found, values["pap"][at], atol=1e-6)


def test_empty_and_covered_targets_are_left_out_as_in_the_reference(rendered, reference_body):
    values, field, images, ready, scores = rendered
    nothing = replace(ready[0], target=np.zeros_like(ready[0].target))
    covered = replace(ready[0], target=ready[0].human)
    more = [score(field.probability, one, V1) for one in (nothing, covered)]
    for one, name in zip(more, ("pap_empty_target", "pap_target_is_human"), strict=True):
        np.testing.assert_allclose(by_columns([one.curve, one.curve_hoa]), values[name], atol=1e-6)
    assert np.isnan(more[0].pap).all()
    assert list(np.isnan(more[1].pap)) == [False, False, True, True]
    summary = summarise({"surfboard": np.array([one.pap for one in scores + more])}, "pap/v1")
    figures = summary.categories[0]
    np.testing.assert_allclose(figures.mean, values["mean_pap_over_5"], atol=1e-6)
    assert (figures.images, figures.counted.tolist()) == (5, [4, 4, 3, 3])
    again = score_images(field, reference_body, images, V1, threads=2)
    np.testing.assert_array_equal([one.pap for one in again], [one.pap for one in scores])


# Against the plain version and by hand


@pytest.mark.parametrize("size", [(128, 128), (90, 200), (150, 70)])
def test_fast_and_plain_versions_agree(figure, size):
    image, field = labelled(size=size, eye=(0.2, 0.1, 1.2)), random_field()
    settings = PapSettings(downscale_length=12, thresholds=(0.1, 0.2, 0.5, 0.7, 0.95))
    ready = prepare(image, figure, GRID, settings)
    posed = field.pose(figure, torch.tensor(image.pose, dtype=torch.float32))
    grid = small_shape(*size, 12)
    camera = [np.asarray(one, np.float64) for one in (image.R, image.t, image.K)]
    on = pap_reference.masks_at(
        posed.probability.ravel(), GRID.centres().astype(float), *camera, size, grid,
        settings.thresholds,
    )  # fmt: skip
    pose = torch.tensor(image.pose, dtype=torch.float32)
    pose[0] = 0
    vertices = figure.pose(pose).vertices.numpy().astype(float)
    human = pap_reference.masks_at(np.ones(len(vertices)), vertices, *camera, size, grid, [1])[0]
    np.testing.assert_array_equal(ready.human, human)
    for metric, closed in (("pap/v1", False), ("pap/v2", True)):
        found = score(field.probability, ready, replace(settings, metric=metric))
        np.testing.assert_array_equal(
            found.likelihood >= np.array(settings.thresholds)[:, None, None], on
        )
        target = pap_reference.coverage(image.mask, *grid) > 0.5
        np.testing.assert_array_equal(ready.target, target)
        expected = [
            pap_reference.average_precision(on, target, ignored, closed, strict)
            for ignored in (None, human)
            for strict in (False, True)
        ]
        np.testing.assert_allclose(found.pap, expected, atol=1e-12)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    cells=st.integers(1, 3),
)
def test_cells_more_than_half_covered_are_on(seed, height, width, cells):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    shape = small_shape(height, width, cells)
    covered = pap_reference.coverage(mask, *shape)
    decided = covered != Fraction(1, 2)
    np.testing.assert_array_equal(resize_area(mask, shape)[decided], (covered > 0.5)[decided])


def test_points_behind_or_just_outside_count_only_as_published():
    camera = (np.eye(3), np.zeros(3), np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]]))
    # In front; behind (its pixel is inside); half a pixel left of the image.
    points = np.array([[0.5, 0.5, 1], [0.5, 0.5, -1], [-1.5, 0.5, 1]])
    assert cells_of(points, *camera, (2, 2), (2, 2)).tolist() == [3, -1, -1]
    assert cells_of(points, *camera, (2, 2), (2, 2), truncate=True).tolist() == [3, 0, 2]
    nowhere = np.array([[0.0, 0, 0], [np.nan, 0, 1]])
    assert cells_of(nowhere, *camera, (2, 2), (2, 2), truncate=True).tolist() == [-1, -1]


def test_figures_by_hand():
    likelihood = np.array([[0.9, 0.6, 0.6, 0.3]])
    target = np.array([[True, True, False, False]])
    curve = precision_recall(likelihood, target, np.array([0.25, 0.5, 0.8, 0.95]))
    assert curve.predicted.tolist() == [4, 3, 1, 0]
    assert curve.hits.tolist() == [2, 2, 1, 0]
    # recall 1, 1, 1/2, 0; best precision before: 1/2, 2/3, 1
    assert area(curve, closed=False) == pytest.approx(0.5 * 2 / 3 + 0.5 * 1)
    assert area(curve, closed=False, strict=True) == pytest.approx(0.5 * 2 / 3)
    assert area(curve, closed=True) == area(curve, closed=False)
    both = pooled([curve, curve])
    assert both.target == 4
    np.testing.assert_allclose(both.precision, curve.precision)


@pytest.mark.parametrize("size", [(256, 256), (300, 400)])
def test_a_perfect_field_scores_one_in_v2_and_nothing_in_v1(figure, size):
    centres = GRID.centres()
    solid = (np.linalg.norm(centres - [0.6, 0.3, 0.2], axis=1) < 0.45).astype(np.float32)
    solid = solid.reshape(GRID.shape)
    for settings, expected in ((V2, 1.0), (V1, 0.0)):
        ready = prepare(labelled(size=size), figure, GRID, settings)
        seen = score(solid, ready, settings).likelihood >= 1
        assert 0 < (seen & ~ready.human).sum() < (~ready.human).sum()
        found = score(solid, replace(ready, target=seen), settings)
        np.testing.assert_allclose(found.pap, expected)


def test_relative_figures_do_not_depend_on_the_scale(figure):
    image, relative = labelled(), PapSettings(metric="pap/v2-relative")
    field = random_field()
    prepared = prepare(image, figure, GRID, relative)
    usual = score(field.probability, prepared, relative).pap
    assert np.array_equal(usual, score(field.probability / 4, prepared, relative).pap)
    full = field.probability * np.float32(0.99 / field.probability.max())
    assert np.allclose(usual, score(full, prepare(image, figure, GRID, V2), V2).pap)
    assert not np.allclose(usual, score(field.probability / 4, prepared, V2).pap)
    assert score(np.zeros(GRID.shape, np.float32), prepared, relative).pap[0] >= 0


@given(seed=st.integers(0, 2**32 - 1))
def test_figures_stay_between_nothing_and_one(seed):
    rng = np.random.default_rng(seed)
    likelihood, target = rng.random((6, 7)), rng.random((6, 7)) < 0.3
    target[0, 0] = True
    curve = precision_recall(likelihood, target, np.array(THRESHOLDS))
    opened, strict, closed = area(curve, False), area(curve, False, True), area(curve, True)
    assert 0 <= strict <= opened <= closed <= 1


def test_fields_without_canonicalisation_stay_where_they_are(figure):
    image, field = labelled(pose=np.zeros((24, 3))), random_field()
    moved = labelled(pose=0.5 * np.ones((24, 3)))
    still = replace(field, metadata={"canonicalise": False})
    a, b = (score_images(still, figure, [one])[0] for one in (image, moved))
    np.testing.assert_array_equal(a.likelihood, b.likelihood)
    posed = score_images(field, figure, [moved])[0]
    assert (posed.likelihood != b.likelihood).any()


# Input that is refused


def test_a_field_with_nan_is_refused(figure):
    ready = prepare(labelled(), figure, GRID)
    damaged = random_field().probability.copy()
    damaged[0, 0, 0] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        score(damaged, ready)
    with pytest.raises(BadInput, match="between 0 and 1"):
        Distribution(damaged, GRID, np.ones(GRID.shape, np.uint32))


def test_a_field_of_another_body_is_refused(figure):
    with pytest.raises(BadInput, match="another body model"):
        score_images(random_field(body="0" * 64), figure, [labelled()])
    assert len(score_images(random_field(body=figure.fingerprint), figure, [labelled()])) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": np.full((24, 3), np.nan)}, "pose"),
        ({"K": np.eye(2)}, "K must be"),
        ({"t": np.array([0, 0, np.inf])}, "t must be"),
        ({"mask": np.zeros((128, 128), np.uint8)}, "mask must be bool"),
        ({"mask": np.zeros((20, 20), bool)}, "at least 32 x 32"),
    ],
)
def test_a_bad_image_is_refused(figure, change, message):
    with pytest.raises(BadInput, match=message):
        prepare(labelled()._replace(**change), figure, GRID)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "pap/v3"},
        {"downscale_length": 0},
        {"thresholds": ()},
        {"thresholds": (0.5, 0.4)},
        {"thresholds": (0.0, 0.5)},
        {"thresholds": (0.5, float("nan"))},
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(BadInput):
        PapSettings(**change)


# Means and intervals


def scores_of(count, seed=0, level=0.4) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(level, 0.1, (count, 4)), 0, 1)


def test_small_categories_are_reported_and_left_out():
    values = {"skis": scores_of(30), "tie": scores_of(29, 1, 0.9), "bench": scores_of(50, 2, 0.6)}
    values["bench"][:3] = np.nan
    summary = summarise(values, "pap/v2")
    assert summary.left_out == ("tie",)
    assert [one.category for one in summary.categories] == ["bench", "skis", "tie"]
    expected = (values["skis"].mean(axis=0) + np.nanmean(values["bench"], axis=0)) / 2
    np.testing.assert_allclose(summary.overall.mean, expected)
    assert summary.categories[0].counted.tolist() == [47] * 4
    assert summary.names[3] == "mPAP_strict_hoa (pap/v2)"
    assert len(summary.names) == len(VARIANTS)


def test_intervals_are_those_of_the_mean_and_depend_on_nothing_else():
    values = scores_of(100)
    alone = summarise({"skis": values}, "pap/v2").categories[0]
    among = summarise({"bench": scores_of(40, 5), "skis": values}, "pap/v2").categories[1]
    np.testing.assert_array_equal([alone.low, alone.high], [among.low, among.high])
    error = 1.96 * values.std(axis=0) / 10
    np.testing.assert_allclose(alone.low, values.mean(axis=0) - error, atol=0.2 * error.max())
    np.testing.assert_allclose(alone.high, values.mean(axis=0) + error, atol=0.2 * error.max())
    other = summarise({"skis": values}, "pap/v2", SummarySettings(seed=1)).categories[0]
    assert (other.low != alone.low).any()


def test_nothing_to_average_is_no_figure_and_no_crash():
    summary = summarise({"tie": np.full((31, 4), np.nan), "skis": np.zeros((0, 4))}, "pap/v2")
    assert np.isnan(summary.overall.mean).all()
    assert np.isnan(summary.categories[1].low).all()
    assert summary.left_out == ("skis",)
    with pytest.raises(BadInput, match="must be"):
        summarise({"tie": np.zeros(4)}, "pap/v2")
