"""Posed meshes as evidence: by hand, against the truth test's own way, together with masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.body.model import star_pose
from chorus.errors import BadInput
from chorus.evaluation.truth_scores import KnownScene, true_occupancy
from chorus.occupancy.accumulate import accumulate, empty_counts
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.counts import PROBES, BinCounts
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.evidence import estimate, evidence_probability
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posed_meshes import PosedMeshes, PosedObject, count_meshes
from chorus.occupancy.presets import (
    AggregationSettings,
    EvidenceSettings,
    of_evidence,
    preset,
)
from chorus.occupancy.regions import Part
from chorus.rendering.inside import inside

N = 24
SIZE = 3.0 / N
ARM = Part("arm", (("leftForeArm", "leftHand"),))


@pytest.fixture(scope="module")
def space(stick_body):
    settings = AggregationSettings(resolution=N, observed="meshes")
    return canonical_space(stick_body, settings, clusters=(Part("all"), ARM))


def box(low, high, to_body=None) -> PosedObject:
    """A box from voxel corner to voxel corner, numbers of voxels from the grid's middle."""
    low, high = np.array(low) * SIZE, np.array(high) * SIZE
    mesh = trimesh.creation.box(bounds=[low, high])
    return PosedObject(
        np.asarray(mesh.vertices), np.asarray(mesh.faces), np.eye(4) if to_body is None else to_body
    )


def star(*objects: PosedObject, level: int = 1) -> PosedMeshes:
    return PosedMeshes(star_pose().numpy(), objects, level)


def counted(space, *samples: PosedMeshes) -> dict[str, BinCounts]:
    counts = empty_counts(space)
    count_meshes(space, samples, counts)
    return counts


def test_a_box_in_the_star_pose_fills_its_own_voxels(space):
    far = box([-10, 2, 3], [-8, 5, 4.5])  # half of its last voxels along z
    counts = counted(space, star(far))
    expected = np.zeros((N, N, N), np.uint32)
    expected[2:4, 14:17, 15] = PROBES
    expected[2:4, 14:17, 16] = PROBES // 2
    assert np.array_equal(counts["all"].filled, expected)
    assert counts["all"].meshes.tolist() == [1, 1] and counts["all"].count == 1
    assert counts["arm"].meshes.tolist() == [1, 0] and not counts["arm"].filled.any()
    assert np.array_equal(counts["all"].probability() * PROBES, expected)
    assert (counts["all"].seen() == 1).all() and not counts["all"].image.any()


def test_a_mesh_joins_the_clusters_whose_regions_it_meets(space):
    x, y, z = space.centres[space.regions[ARM.pass_sets[0]][0]] / SIZE
    counts = counted(space, star(box([x - 1, y - 1, z - 1], [x + 1, y + 1, z + 1])))
    assert counts["arm"].meshes.tolist() == [1, 1]
    assert np.array_equal(counts["arm"].filled, counts["all"].filled)


def test_objects_that_overlap_count_once_and_levels_count_more(space):
    one, two = box([-8, 0, 0], [-6, 2, 2]), box([-7, 0, 0], [-5, 2, 2])
    filled = counted(space, star(one, two))["all"].filled
    assert filled.max() == PROBES and (filled > 0).sum() == 3 * 2 * 2
    counts = counted(space, star(one, two, level=3))["all"]
    assert np.array_equal(counts.filled, 3 * filled) and counts.meshes.tolist() == [3, 3]


def test_the_transform_scales_turns_and_moves(space):
    to_body = np.eye(4)
    to_body[:3, :3] = 2 * np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    to_body[:3, 3] = [-6 * SIZE, 0, 0]
    moved = counted(space, star(box([0, 0, 0], [2, 1, 1], to_body)))["all"].filled
    there = counted(space, star(box([-8, 0, 0], [-6, 4, 2])))["all"].filled
    assert np.array_equal(moved, there)


def test_symmetric_settings_count_the_mirror_image_too(stick_body):
    given_ = AggregationSettings(resolution=N, observed="meshes", symmetric=True)
    both = canonical_space(stick_body, given_, clusters=(Part("all"),))
    counts = counted(both, star(box([-9, 1, 2], [-7, 3, 5])))["all"]
    assert counts.meshes.tolist() == [2, 2] and np.array_equal(counts.filled, counts.filled[::-1])


def test_without_canonicalisation_space_stays_where_it_is(stick_body):
    given_ = AggregationSettings(resolution=N, observed="meshes", canonicalise=False)
    rigid = canonical_space(stick_body, given_, clusters=(Part("all"),))
    pose = np.random.default_rng(0).normal(0, 1, (24, 3))
    thing = box([-9, 1, 2], [-7, 3, 5])
    filled = counted(rigid, PosedMeshes(pose, [thing]))["all"].filled
    assert np.array_equal(filled > 0, counted(rigid, star(thing))["all"].filled > 0)


def test_counts_agree_with_the_truth_test(space):
    """Meshes of true scenes give the true field."""
    rng = np.random.default_rng(1)
    samples, scenes = [], []
    for _ in range(4):
        pose = rng.normal(0, 0.3, (24, 3)).astype(np.float32)
        thing = box(rng.uniform(-6, 0, 3), rng.uniform(1, 6, 3))
        samples.append(PosedMeshes(pose, [thing]))
        bounds = np.stack([thing.vertices.min(0), thing.vertices.max(0)])
        scenes.append(
            KnownScene(
                pose, np.zeros(10), np.eye(4), bounds, lambda p, t=thing: inside(t[0], t[1], p)
            )
        )
    truth = true_occupancy(space, scenes)
    found = counted(space, *samples)["all"]
    assert truth.probability.max() > 0.4
    np.testing.assert_allclose(found.probability(), truth.probability, atol=1e-6)
    assert np.array_equal(found.filled, sum(counted(space, s)["all"].filled for s in samples))


def test_masks_alone_are_counted_as_ever(stick_body, make_views):
    views = make_views(6, 3, (40, 30))
    usual = AggregationSettings(resolution=N)
    found = {}
    for observed in ("masks", "both"):
        where = canonical_space(
            stick_body, replace(usual, observed=observed), clusters=(Part("all"),)
        )
        found[observed] = accumulate(where, views).counts["all"]
    masks, both = found["masks"], found["both"]
    assert masks.observed()[0] is masks.mask and both.observed()[0] is both.mask
    assert np.array_equal(masks.probability(), both.probability())
    assert masks.meshes is None and both.meshes.tolist() == [0, 0]
    with pytest.raises(BadInput, match="with and without posed meshes"):
        masks + both
    with pytest.raises(BadInput, match="begun without posed meshes"):
        count_meshes(where, [star(box([0, 0, 0], [1, 1, 1]))], {"all": masks})


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_both_kinds_are_summed(masks, meshes, seed):
    rng = np.random.default_rng(seed)
    counts = BinCounts.empty(VoxelGrid(3), meshes=True)
    counts.samples[:] = rng.multinomial(masks, np.ones(12) / 12)
    counts.members[:] = counts.samples
    counts.image[:] = counts.samples[:, None, None, None]
    counts.mask[:] = rng.integers(0, counts.image + 1)
    counts.filled[:] = rng.integers(0, PROBES * meshes + 1, counts.filled.shape)
    counts.meshes[:] = meshes
    hits, visits = counts.observed()
    share = counts.filled / PROBES
    np.testing.assert_allclose(hits.sum(0), counts.mask.sum(0) + share, rtol=1e-5)
    np.testing.assert_allclose(visits.sum(0), masks + meshes, rtol=1e-5)
    assert (hits <= visits * (1 + 1e-5)).all()
    total = counts.probability("total-uniform")
    np.testing.assert_allclose(total, hits.sum(0) / (masks + meshes), rtol=1e-5)
    found = evidence_probability(counts, EvidenceSettings(hidden=False))
    assert ((found >= 0) & (found <= 1)).all()
    double = counts + counts
    assert double.meshes.tolist() == [2 * meshes] * 2
    np.testing.assert_allclose(double.probability(), counts.probability(), atol=1e-6)


def test_a_distribution_of_meshes_is_stored_with_its_counts(space, tmp_path):
    counts = counted(space, star(box([-9, 1, 2], [-7, 3, 5])), star(box([-9, 1, 2], [-7, 3, 4])))
    made = Distribution.from_counts(
        counts["all"], category="vase", probability=estimate(counts["all"], space)
    )
    made.save(tmp_path / "all.npz")
    again = Distribution.load(tmp_path / "all.npz")
    assert again.metadata["observed"] == {"masks": 0, "meshes": 2}
    assert again.metadata["samples"] == again.metadata["members"] == 2
    assert np.array_equal(again.counts.filled, counts["all"].filled)
    assert again.counts.meshes.tolist() == [2, 2] and (again.seen == 2).all()
    reweighted = again.reweighted("total-uniform").probability
    assert np.array_equal(reweighted, counts["all"].probability())
    arrays = counts["all"].arrays()
    del arrays["meshes"]
    with pytest.raises(BadInput, match="as 'meshes', found nothing"):
        BinCounts.from_arrays(space.grid, arrays, "x.npz")


@pytest.mark.parametrize("change", ["pose", "to_body", "flat"])
def test_numbers_that_cannot_be_are_refused(space, change):
    thing, pose = box([0, 0, 0], [1, 1, 1]), star_pose().numpy().copy()
    if change == "pose":
        pose[3] = np.nan
    to_body = np.eye(4)
    to_body[0] = [np.nan, 0, 0, 0] if change == "to_body" else to_body[0]
    to_body[1] = 0 if change == "flat" else to_body[1]
    with pytest.raises(BadInput, match="not finite, or a transform that flattens"):
        counted(space, PosedMeshes(pose, [thing._replace(to_body=to_body)]))


def test_presets_name_their_evidence():
    assert preset("quant:evidence+both") == replace(preset("quant:evidence"), observed="both")
    assert "observed" not in preset("quant:full").recorded()
    assert preset("quant:full+meshes").recorded()["observed"] == "meshes"
    assert of_evidence("quant:full+both", "meshes") == "quant:full+meshes"
    assert of_evidence("quant:full+both", "masks") == "quant:full"
    for name in ("quant:full+masks", "quant:full+x", "quant:fool+both", "quant:full+"):
        with pytest.raises(BadInput, match="unknown aggregation preset"):
            preset(name)
    with pytest.raises(BadInput, match="`auto` are found in masks"):
        preset("qual:auto+meshes")


def test_poses_move_a_mesh_as_they_move_space(space):
    """What a hand holds in a pose lies beside the hand of the star pose."""
    pose = star_pose().clone()
    pose[18] = torch.tensor([0, 1.2, 0.4])  # the left elbow
    body = space.body
    posed = body.pose(pose).joints[22].numpy()
    still = body.pose(star_pose()).joints[22].numpy()
    half = 0.9
    filled = counted(
        space, PosedMeshes(pose.numpy(), [box(posed / SIZE - half, posed / SIZE + half)])
    )["all"].filled
    centre = (filled[..., None] * space.centres.reshape(N, N, N, 3)).sum((0, 1, 2)) / filled.sum()
    # Space beside the hand follows the arm's other joints a little, too.
    assert np.linalg.norm(centre - still) < SIZE < np.linalg.norm(posed - still) / 2
