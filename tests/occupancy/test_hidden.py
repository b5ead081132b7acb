"""Voxels that the person's body hides: maps of depth, and the counts made with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chorus.body.loading import load_body
from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.geometry.cameras import look_at
from chorus.occupancy import accumulate as module
from chorus.occupancy import fused
from chorus.occupancy.accumulate import accumulate, empty_counts
from chorus.occupancy.body_depth import CELLS, body_depths
from chorus.occupancy.body_proxy import body_proxy
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.counts import BinCounts
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.presets import AggregationSettings
from chorus.occupancy.regions import Part
from chorus.occupancy.views import Views, mirrored, packed
from chorus.rendering.raycast import cast
from references.aggregation import body_limits, plain_counts

PATHS = ("fused", "plain", "device")
HIDDEN = AggregationSettings(resolution=11, hidden=True)
PARTS = (Part("everybody"), Part("arms", (("leftForeArm",), ("rightForeArm",))))


@pytest.fixture(scope="module")
def space(clad_body):
    return canonical_space(clad_body, HIDDEN, clusters=PARTS)


def with_settings(space, **changes):
    return dataclasses.replace(space, settings=dataclasses.replace(space.settings, **changes))


def maps(space, views, threads=1):
    return body_depths(space, views, [packed(mask) for mask in views.masks], threads)


def same(one: dict[str, BinCounts], other: dict[str, BinCounts]) -> bool:
    return all(
        np.array_equal(array, other[part].arrays()[name])
        for part in one
        for name, array in one[part].arrays().items()
    )


# By hand: a box for a body, and a camera 3 m in front of it


@pytest.fixture(scope="module")
def box_body() -> BodyModel:
    """A box of 0.4 x 0.6 x 0.2 m around the origin that follows the pelvis, which stays."""
    box = trimesh.creation.box((0.4, 0.6, 0.2))
    weights = torch.zeros(8, 24)
    weights[:, 0] = 1
    return BodyModel(
        name="box",
        v_template=torch.tensor(box.vertices, dtype=torch.float32),
        shapedirs=torch.zeros(8, 3, 10),
        posedirs=None,
        weights=weights,
        joint_regressor=torch.full((24, 8), 1 / 8),
        faces=torch.from_numpy(box.faces.astype(np.int64)),
        parents=(-1, *[0] * 23),
    )


def front_view(mask, distance=3.0, scale=64.0) -> Views:
    """A camera on the z axis that looks at the origin; its principal point avoids pixels' edges."""
    R, t = look_at(torch.tensor([[0.0, 0.0, distance]]), torch.zeros(1, 3))
    height, width = mask.shape
    K = torch.tensor([[[scale, 0, width / 2 + 0.2], [0, scale, height / 2 + 0.3], [0, 0, 1.0]]])
    return Views(torch.zeros(1, 24, 3), R, t, K, [mask])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("margin", "scale"), [(0.03, 64.0), (0.15, 64.0), (0.03, 640.0)])
def test_a_box_hides_what_lies_behind_its_front(box_body, path, margin, scale):
    chosen = AggregationSettings(resolution=25, side=2.5, hidden=True, hidden_margin=margin)
    space = canonical_space(box_body, chosen, clusters=PARTS[:1])
    size = int(scale)
    mask = np.zeros((size, size), bool)
    mask[:, : size // 2] = True
    views = front_view(mask, scale=scale)
    counts = accumulate(space, views, path=path).counts["everybody"]
    x, y, z = space.grid.centres().T.astype(float)
    depth = 3 - z
    u, v = scale * x / depth + size / 2 + 0.2, scale * -y / depth + size / 2 + 0.3
    seen = (u >= 0) & (v >= 0) & (u < size) & (v < size)
    # The front is at a depth of 2.9 m. A ray goes through the middle of a cell.
    left, top = (
        np.floor(scale * -half / 2.9 + size / 2 + off) for half, off in ((0.2, 0.2), (0.3, 0.3))
    )
    side = 1 if scale == 64 else np.ceil(np.ceil(scale * 0.6 / 2.9) / 64)
    middle = (
        low + side * (np.floor((np.floor(pixel) - low) / side) + 0.5) - size / 2 - offset
        for low, pixel, offset in ((left, u, 0.2), (top, v, 0.3))
    )
    across, down = (2.9 * pixels / scale for pixels in middle)
    before = (np.abs(across) < 0.2) & (np.abs(down) < 0.3)
    expected = seen & (u >= size // 2) & before & (depth > 2.9 + margin)
    assert expected.any() and counts.hidden.sum() == expected.sum()
    assert np.array_equal(counts.hidden[3].reshape(-1), expected)


def test_the_map_of_a_box(box_body):
    space = canonical_space(box_body, HIDDEN, clusters=PARTS[:1])
    limit, left, top, side = (one[0] for one in maps(space, front_view(np.zeros((64, 64), bool))))
    # 0.2 m and 0.3 m at 2.9 m: 4.41 and 6.62 pixels to each side of (32.2, 32.3).
    assert (left, top, side) == (27, 25, 1)
    rows, columns = np.nonzero(np.isfinite(limit))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (1, 9, 1, 13)
    np.testing.assert_allclose(limit[1:14, 1:10], 2.93, rtol=1e-6)


# The three paths, and the plain reference


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(0, 20),
    seed=st.integers(0, 10_000),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    projection=st.sampled_from(["exact", "release"]),
    canonicalise=st.booleans(),
    path=st.sampled_from(PATHS),
)
def test_agrees_with_an_image_at_a_time(
    space, make_views, count, seed, height, width, projection, canonicalise, path
):
    space = with_settings(space, projection=projection, canonicalise=canonicalise)
    views = make_views(count, seed, (height, width))
    found = accumulate(space, views, path=path)
    _, _, hidden, members = plain_counts(space, views)
    if np.array_equal(found.members, members):
        for expected, counts in zip(hidden, found.counts.values(), strict=True):
            # Beside rounding at the edges of pixels, that of rays that touch an edge of the body.
            allowed = 5e-5 * count * space.grid.count + 3
            differing = np.abs(counts.hidden.reshape(12, -1).astype(int) - expected).sum()
            assert differing <= allowed
            assert (counts.hidden <= counts.image - counts.mask).all()


@pytest.mark.parametrize("projection", ["exact", "release"])
def test_the_paths_agree_exactly(space, make_views, projection):
    space, views = with_settings(space, projection=projection), make_views(70, 11)
    fused_counts, plain, device = (accumulate(space, views, path=path).counts for path in PATHS)
    assert same(fused_counts, plain) and same(fused_counts, device)
    assert fused_counts["everybody"].hidden.sum() > 1000


@pytest.mark.parametrize("path", PATHS)
def test_the_other_counts_stay_as_they_were(space, make_views, path):
    views = make_views(20, 1)
    without = accumulate(with_settings(space, hidden=False), views, path=path).counts
    found = accumulate(space, views, path=path).counts
    assert all(counts.hidden is None for counts in without.values())
    assert same(without, found)


def test_integers_do_not_depend_on_threads_blocks_or_batches(space, make_views, monkeypatch):
    views = make_views(130, 3)
    whole = accumulate(space, views).counts
    assert same(accumulate(space, views, threads=3).counts, whole)
    monkeypatch.setattr(fused, "_BLOCK", 64)
    assert same(accumulate(space, views, threads=2).counts, whole)
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 5 * 40 * 56)
    assert same(accumulate(space, views).counts, whole)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=20), st.integers(0, 100))
def test_shards_add_up_exactly(space, make_views, shard_of, seed):
    views = make_views(len(shard_of), seed)
    whole = accumulate(space, views).counts
    running, added = empty_counts(space), empty_counts(space)
    for shard in range(3):
        mine = views.select([i for i, one in enumerate(shard_of) if one == shard])
        accumulate(space, mine, into=running)
        counts = accumulate(space, mine).counts
        added = {part: added[part] + counts[part] for part in added}
    assert same(running, whole) and same(added, whole)


def test_symmetric_counts_are_the_sum_of_both_sides(space, make_views):
    views = make_views(9, 2)
    both = accumulate(with_settings(space, symmetric=True), views).counts
    right, left = accumulate(space, views).counts, accumulate(space, mirrored(views)).counts
    assert same(both, {part: right[part] + left[part] for part in both})


# Maps


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), near=st.floats(0, 1.5))
def test_cameras_in_and_beside_the_body(clad_body, seed, near):
    space = canonical_space(
        clad_body, AggregationSettings(resolution=4, hidden=True), clusters=PARTS
    )
    rng = np.random.default_rng(seed)
    eye, target = (torch.from_numpy(rng.normal(0, near, (6, 3))).float() for _ in range(2))
    views = front_view(np.zeros((40, 30), bool))
    R, t = look_at(eye, target + torch.tensor([0, 0, 0.01]))
    pose = torch.from_numpy(rng.normal(0, 0.5, (6, 24, 3))).float()
    views = Views(pose, R, t, views.K.expand(6, 3, 3), views.masks * 6)
    found = maps(space, views)
    # Nothing nearer than 1 cm hides, so no place at or behind the camera's plane is hidden.
    assert (found.limit >= np.float32(0.04)).all()
    assert (found.side >= 1).all() and (found.left >= 0).all() and (found.top >= 0).all()
    counts = accumulate(with_settings(space, projection="release"), views).counts["everybody"]
    assert (counts.hidden <= counts.image - counts.mask).all()


def test_what_is_behind_the_camera_hides_nothing(space, make_views):
    views = make_views(5)
    views.t[:, 2] -= 10
    views.t[3, 0] += 40
    limit, left, top, side = maps(with_settings(space, projection="release"), views)
    assert np.isinf(limit).all()
    assert not left.any() and not top.any() and (side == 1).all()
    counts = accumulate(with_settings(space, projection="release"), views).counts["everybody"]
    assert counts.image.any() and not counts.hidden.any()


def test_maps_follow_blend_shapes_and_agree_with_embree(clad_body, make_views):
    rng = np.random.default_rng(5)
    size = 3 * len(clad_body.v_template)
    posedirs = torch.from_numpy(rng.normal(0, 0.01, (207, size))).float()
    body = dataclasses.replace(clad_body, posedirs=posedirs)
    space = canonical_space(body, AggregationSettings(resolution=4, hidden=True), clusters=PARTS)
    views = make_views(6, 4, (300, 200))
    found = maps(space, views, threads=2)
    assert (found.side > 1).any()
    for b in range(6):
        expected = body_limits(space, views, b)
        rows, columns = np.mgrid[:300, :200]
        row, column = (
            (rows - found.top[b]) // found.side[b],
            (columns - found.left[b]) // found.side[b],
        )
        within = (row >= 0) & (column >= 0) & (row < CELLS) & (column < CELLS)
        mine = np.where(within, found.limit[b][row * within, column * within], np.inf)
        finite = np.isfinite(mine) & np.isfinite(expected)
        assert (np.isfinite(mine) != np.isfinite(expected)).mean() < 1e-3
        # Where two surfaces meet, a ray that touches an edge may miss the nearer one.
        assert (np.abs(mine[finite] - expected[finite]) < 1e-4).mean() > 0.999
        alone = maps(space, views.select([b]))
        assert all(np.array_equal(one[0], many[b]) for one, many in zip(alone, found, strict=True))


def test_the_proxy_looks_like_the_body():
    """The free body's proxy against its 26,972 triangles, cast with embree: 6 views, 512^2."""
    body = load_body()
    space = canonical_space(
        body, AggregationSettings(resolution=2, hidden=True, hidden_margin=0), clusters=PARTS[:1]
    )
    assert 1000 < len(space.proxy.faces) < 2500
    rng = np.random.default_rng(1)
    pose = torch.from_numpy(rng.normal(0, 0.3, (6, 24, 3))).float()
    angle = torch.arange(6) * torch.pi / 3
    eye = 3 * torch.stack([angle.cos(), angle * 0, angle.sin()], dim=1)
    R, t = look_at(eye, torch.zeros(6, 3))
    K = torch.tensor([[600.0, 0, 256], [0, 600.0, 256], [0, 0, 1]])
    views = Views(pose, R, t, K.expand(6, 3, 3), [np.zeros((512, 512), bool)] * 6)
    mine = maps(space, views)
    pose[:, 0] = 0
    expected = []
    for b, vertices in enumerate(body.pose(pose).vertices.numpy()):
        offset, side = np.array([mine.left[b], mine.top[b], 0]), mine.side[b]
        cells = np.diag([1 / side, 1 / side, 1]) @ (K.numpy() - np.outer(offset, [0, 0, 1]))
        expected.append(
            cast([(vertices, body.faces.numpy())], R[b], t[b], cells, CELLS, CELLS).depth
        )
    expected = np.stack(expected)
    ours, theirs = np.isfinite(mine.limit), np.isfinite(expected)
    apart = np.abs(mine.limit[ours & theirs] - expected[ours & theirs])
    assert (ours & theirs).sum() > 0.93 * (ours | theirs).sum()
    assert np.median(apart) < 0.005 and (apart < 0.03).mean() > 0.97


def test_a_proxy_by_hand(box_body, clad_body):
    proxy = body_proxy(box_body)
    assert len(proxy.vertices) == 8 and len(proxy.faces) == 12
    whole = body_proxy(box_body, cluster=10.0)  # one cube on each side of the three planes
    assert sorted(map(tuple, whole.vertices)) == sorted(map(tuple, box_body.v_template.numpy()))
    coarse = body_proxy(clad_body, cluster=10.0)
    assert len(coarse.vertices) < len(clad_body.v_template)
    assert all(len(set(face)) == 3 for face in coarse.faces.tolist())


# Settings, files, bad input


def test_a_body_without_triangles(stick_body, make_views):
    with pytest.raises(BadInput, match="'stick figure' has no triangles"):
        canonical_space(stick_body, HIDDEN, clusters=PARTS)
    without = canonical_space(stick_body, AggregationSettings(resolution=3), clusters=PARTS)
    accumulate(without, make_views(2))
    with pytest.raises(BadInput, match="has no triangles"):
        accumulate(with_settings(without, hidden=True), make_views(2))


def test_counts_are_continued_alike(space, make_views):
    without = with_settings(space, hidden=False)
    with pytest.raises(BadInput, match="everybody, arms were begun without hidden"):
        accumulate(space, make_views(2), into=empty_counts(without))
    with pytest.raises(BadInput, match="were begun with hidden"):
        accumulate(without, make_views(2), into=empty_counts(space))


def test_files_with_and_without(space, make_views, tmp_path):
    for chosen in (space, with_settings(space, hidden=False)):
        counts = accumulate(chosen, make_views(4)).counts["everybody"]
        Distribution.from_counts(counts).save(tmp_path / "one.npz")
        again = Distribution.load(tmp_path / "one.npz").counts
        assert again.arrays().keys() == counts.arrays().keys()
        assert same({"": counts}, {"": again})
        assert (again.hidden is None) == (not chosen.settings.hidden)
