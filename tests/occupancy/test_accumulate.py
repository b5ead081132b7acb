"""Aggregation against the reference volumes, a plain loop over images, and known geometry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.geometry.cameras import azimuth_bin, look_at
from chorus.occupancy import accumulate as module
from chorus.occupancy import fused
from chorus.occupancy.accumulate import accumulate, empty_counts
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.counts import bin_weights
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import PARTS, Part
from chorus.occupancy.views import Views, joint_cameras, mirrored
from references.aggregation import plain_counts

EVERYBODY = Part("everybody")
MIXED = (
    EVERYBODY,
    Part("arms", (("leftForeArm",), ("rightForeArm",))),
    Part("head, no feet", (("head",),), (("leftFoot", "rightFoot"),)),
)


@pytest.fixture(scope="module")
def space(stick_body):
    return canonical_space(stick_body, AggregationSettings(resolution=11), clusters=MIXED)


def with_settings(space, **changes):
    return dataclasses.replace(space, settings=dataclasses.replace(space.settings, **changes))


@pytest.mark.parametrize("path", ["fused", "device", "plain"])
@pytest.mark.parametrize("name", ["aggregate_24", "aggregate_closeup_24"])
def test_agrees_with_the_reference_volumes(golden, golden_body, name, path):
    expected = golden(name)
    demo = {part.name: part for part in PARTS["qual:demo"]}
    clusters = (EVERYBODY, *(demo[part] for part in expected["part_names"]))
    space = canonical_space(
        golden_body(), AggregationSettings(resolution=24, projection="release"), clusters=clusters
    )
    R, t, K, pose = (torch.from_numpy(expected[key]) for key in ("R", "t", "K", "pose"))
    views = Views(pose.reshape(-1, 24, 3), R, t, K, list(expected["mask"]))
    found = accumulate(space, views, path=path)
    assert np.array_equal(found.members[1:], expected["passed"])
    bins = azimuth_bin(R, t).numpy()
    assert np.array_equal(bins, expected["azimuth_bin"])
    volumes = [(expected["full_image_visual_hull"], expected["visual_hull"])]
    volumes += zip(
        expected["part_full_image_visual_hull"], expected["part_visual_hull"], strict=True
    )
    for counts, (image, mask) in zip(found.counts.values(), volumes, strict=True):
        weights = bin_weights(counts.samples, "azimuth-uniform-fine")
        assert np.allclose(weights[bins], expected["camera_weights"])
        differing = np.abs(np.tensordot(weights, counts.image, axes=1) - image) > 1e-5
        assert differing.mean() <= 0.0005
        differing = np.abs(np.tensordot(weights, counts.mask, axes=1) - mask) > 1e-5
        assert differing.mean() <= 0.0005


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(0, 70),
    seed=st.integers(0, 10_000),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    projection=st.sampled_from(["exact", "release"]),
    canonicalise=st.booleans(),
    path=st.sampled_from(["fused", "plain", "device"]),
)
def test_agrees_with_an_image_at_a_time(
    space, make_views, count, seed, height, width, projection, canonicalise, path
):
    space = with_settings(space, projection=projection, canonicalise=canonicalise)
    views = make_views(count, seed, (height, width))
    found = accumulate(space, views, path=path)
    image, mask, _, members = plain_counts(space, views)
    # Only projections within rounding of a pixel's edge may differ.
    assert (found.members != members).mean() <= 0.005 if count else True
    if np.array_equal(found.members, members):
        for p, counts in enumerate(found.counts.values()):
            allowed = 2e-5 * count * space.grid.count + 3
            assert np.abs(counts.image.reshape(12, -1).astype(int) - image[p]).sum() <= allowed
            assert np.abs(counts.mask.reshape(12, -1).astype(int) - mask[p]).sum() <= allowed
            assert counts.samples.sum() == count and counts.members.sum() == members[p].sum()


def same(one, other) -> bool:
    return all(
        np.array_equal(getattr(one[part], name), getattr(other[part], name))
        for part in one
        for name in ("image", "mask", "samples", "members")
    )


def test_integers_do_not_depend_on_threads_blocks_or_batches(space, make_views, monkeypatch):
    views = make_views(130, 3)
    whole = accumulate(space, views)
    assert same(accumulate(space, views, threads=3).counts, whole.counts)
    monkeypatch.setattr(fused, "_BLOCK", 64)
    assert same(accumulate(space, views, threads=2).counts, whole.counts)
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 5 * 40 * 56)
    assert same(accumulate(space, views).counts, whole.counts)


def test_shards_add_up_exactly(space, make_views):
    views = make_views(50, 4)
    whole = accumulate(space, views).counts
    shards = [accumulate(space, views.select(range(i, 50, 3))).counts for i in range(3)]
    running = empty_counts(space)
    for i in range(3):
        accumulate(space, views.select(range(i, 50, 3)), into=running)
    assert same(running, whole)
    merged = {part: shards[0][part] + shards[1][part] for part in whole}
    assert same({part: merged[part].merge(shards[2][part]) for part in whole}, whole)


def test_order_of_pictures_does_not_matter_and_sizes_may_differ(space, make_views):
    small, large = make_views(5, 5, (30, 40)), make_views(4, 6, (64, 33))
    mixed = Views(
        *(torch.cat(pair) for pair in zip(small[:4], large[:4], strict=True)),
        [*small.masks, *large.masks],
    )
    together = accumulate(space, mixed.select([8, 0, 5, 3, 1, 7, 2, 6, 4])).counts
    running = accumulate(space, small).counts
    assert same(accumulate(space, large, into=running).counts, together)


def test_a_spoiled_sample_is_refused_with_a_reason_and_leaves_no_trace(space, make_views):
    views = make_views(6, 8)
    expected = accumulate(space, views.select([0, 5]))
    views.pose[1, 3, 2] = torch.nan
    views.t[2, 0] = torch.inf
    views.K[3] = torch.nan
    views.masks[4] = np.zeros((0, 5), bool)
    for path in ("fused", "device", "plain"):
        found = accumulate(space, views, path=path)
        assert [fault.split(" ")[0] for fault in found.refused] == ["", "pose", "t", "K", "the", ""]
        assert same(found.counts, expected.counts)
        assert np.array_equal(found.members[:, [0, 5]], expected.members)
        assert not found.members[:, 1:5].any()


def test_views_from_table_rows(make_views):
    views = make_views(3)
    rows = [tensor.flatten(1).tolist() for tensor in views[:4]]
    again = Views.of(*rows, views.masks)
    assert all(torch.equal(a, b) for a, b in zip(views[:4], again[:4], strict=True))
    with pytest.raises(BadInput, match=r"need R of shape \(3, 3, 3\)"):
        Views.of(rows[0], rows[1][:2], *rows[2:], views.masks)
    assert Views.of([], [], [], [], []).pose.shape == (0, 24, 3)


def test_a_grid_too_coarse_for_a_region_is_said(stick_body, caplog):
    coarse = canonical_space(stick_body, AggregationSettings(resolution=2), clusters=MIXED)
    assert "use a finer grid" in caplog.text
    assert not coarse.members(np.zeros((4, 5), bool))[1].any()


def test_nothing_at_all(space, make_views):
    found = accumulate(space, make_views(3).select([]))
    assert found.members.shape == (3, 0) and found.refused == []
    assert not found.counts["everybody"].probability().any()


def test_mirrored_samples_agree_with_the_reference(golden):
    g = golden("symmetric")
    views = Views(
        torch.from_numpy(g["in_pose"]).reshape(1, 24, 3),
        *(torch.from_numpy(g[f"in_cam_{key}"])[None] for key in ("R", "t", "K")),
        [g["in_mask"]],
    )
    found = mirrored(views)
    assert np.abs(found.pose.reshape(1, 72).numpy() - g["out_pose"]).max() < 1e-6
    for tensor, key in zip(found[1:4], ("R", "t", "K"), strict=True):
        assert np.abs(tensor[0].numpy() - g[f"out_cam_{key}"]).max() < 1e-6
    assert np.array_equal(found.masks[0], g["out_mask"])


def test_symmetric_counts_are_the_sum_of_both_sides(space, make_views):
    views = make_views(9, 2)
    both = accumulate(with_settings(space, symmetric=True), views)
    right, left = accumulate(space, views), accumulate(space, mirrored(views))
    assert same(both.counts, {part: right.counts[part] + left.counts[part] for part in both.counts})
    assert np.array_equal(both.members, right.members)


def test_matrices_without_canonicalisation_are_the_camera(space, make_views):
    views = make_views(2)
    cameras = joint_cameras(with_settings(space, canonicalise=False), views)
    expected = views.K @ torch.cat([views.R, views.t[..., None]], dim=-1)
    torch.testing.assert_close(cameras, expected[:, None].expand(-1, 24, 3, 4))


def test_the_hull_of_a_ball_is_the_ball(stick_body):
    """Cameras all around see a ball in the canonical pose: only its voxels have probability 1."""
    centre, radius = np.array([0.3, 0.2, -0.1]), 0.45
    space = canonical_space(stick_body, AggregationSettings(resolution=24), clusters=(EVERYBODY,))
    rng = np.random.default_rng(0)
    eye = rng.normal(size=(120, 3))
    eye = torch.from_numpy(6 * eye / np.linalg.norm(eye, axis=1, keepdims=True)).float()
    R, t = look_at(eye, torch.zeros(120, 3))
    K = torch.tensor([[300.0, 0, 150], [0, 300.0, 150], [0, 0, 1]])
    rays = np.stack(np.meshgrid(np.arange(300) + 0.5, np.arange(300) + 0.5), axis=-1)
    rays = np.concatenate([(rays - 150) / 300, np.ones((300, 300, 1))], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    middle = (R.double() @ torch.from_numpy(centre) + t).numpy()
    # A ray meets the ball where the ball's centre is nearer than its radius to the ray.
    along = np.einsum("hwc,bc->bhw", rays, middle)
    masks = list((middle**2).sum(axis=1)[:, None, None] - along**2 < radius**2)
    # The star pose itself: only the camera differs from the canonical space.
    pose = torch.zeros(120, 24, 3)
    pose[:, 1, 2], pose[:, 2, 2] = np.pi / 6, -np.pi / 6
    counts = accumulate(space, Views(pose, R, t, K.expand(120, 3, 3), masks)).counts["everybody"]
    distance = np.linalg.norm(space.grid.centres() - centre, axis=1).reshape(space.grid.shape)
    for weighting in ("azimuth-uniform-fine", "azimuth-uniform", "total-uniform"):
        probability = counts.probability(weighting)
        assert (probability[distance < radius - 0.02] == 1).all()
        assert (probability[distance > radius + 0.1] < 1).all()
        assert probability[distance > 3 * radius].max() < 0.5


def test_touched_segments_are_the_members_of_single_segments(stick_body, make_views):
    space = canonical_space(stick_body, AggregationSettings(resolution=24, parts="auto"))
    views = make_views(70, seed=4)
    views.pose[3] = torch.nan
    expected = accumulate(space, views).members
    assert expected.any(axis=1).all() and not expected.all(axis=1).any()
    for path in ("fused", "device", "plain"):
        touched = module.touched_segments(space, views, path=path)
        assert np.array_equal(touched, expected)
    assert not touched[:, 3].any()
    assert module.touched_segments(space, views.select([])).shape == (24, 0)


def test_a_space_without_single_segments_is_refused(space, make_views):
    with pytest.raises(BadInput, match="no region of its own for hips, leftUpLeg"):
        module.touched_segments(space, make_views(1))


def test_other_clusters_in_the_same_space(stick_body, make_views):
    settings = AggregationSettings(resolution=11, parts="auto")
    views = make_views(9, seed=5)
    changed = accumulate(canonical_space(stick_body, settings).with_parts(MIXED), views)
    direct = accumulate(canonical_space(stick_body, settings, clusters=MIXED), views)
    assert np.array_equal(changed.members, direct.members)
    for name, counts in direct.counts.items():
        assert np.array_equal(changed.counts[name].mask, counts.mask)
