"""Distribution: reference posing, queries, files, meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

import chorus
from chorus.body.model import star_pose
from chorus.errors import BadInput
from chorus.evaluation.voxel_field import read_field
from chorus.occupancy.archive import write_archive
from chorus.occupancy.counts import BinCounts
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.posing import canonical_points


def ball(resolution: int = 20, radius: float = 0.5, centre=(0.3, 0.2, -0.1)) -> Distribution:
    """Probability 0.8 within a ball."""
    grid = VoxelGrid(resolution, 2.0)
    inside = np.linalg.norm(grid.centres() - np.array(centre), axis=1) < radius
    probability = (0.8 * inside).astype(np.float32).reshape(grid.shape)
    return Distribution(probability, grid, np.full(grid.shape, 7, np.uint32), "ball")


def counted() -> Distribution:
    grid = VoxelGrid(5, 2.0)
    counts = BinCounts.empty(grid)
    rng = np.random.default_rng(0)
    counts.samples[:] = rng.integers(1, 9, 12)
    counts.members[:] = counts.samples
    counts.image[:] = counts.samples[:, None, None, None]
    counts.mask[:] = rng.integers(0, counts.image + 1)
    return Distribution.from_counts(
        counts,
        category="surfboard",
        prompt="A person carries a surfboard: ünïcode/…",
        part="torso",
        body="0123",
        metadata={"settings": {"filter": [3, "7,8"]}},
    )


@pytest.mark.parametrize("name", ["deform_24", "posedirs_24"])
def test_posing_agrees_with_the_reference(golden, golden_body, name):
    expected = golden(name)
    posedirs = None
    if name == "posedirs_24":
        posedirs = torch.from_numpy((expected["posedirs_A"] @ expected["posedirs_B"]).T.copy())
    body = golden_body(posedirs)
    canonical = Distribution(
        expected["canon_probability"], VoxelGrid(24), np.ones((24, 24, 24), np.uint32)
    )
    for number, flat in enumerate(expected["poses"]):
        pose = torch.from_numpy(flat).reshape(24, 3)
        points = canonical_points(body, pose, canonical.grid)
        difference = np.abs(points - expected["canonical_coords"][number]).max(axis=1)
        assert (difference > 1e-4).mean() <= 0.0005
        posed = canonical.pose(body, pose, projection="release")
        differing = np.abs(posed.probability - expected["deformed_prob_grid"][number]) > 1e-6
        assert differing.mean() <= 0.0005
        body_frame = pose.clone()
        body_frame[0] = 0
        vertices = body.pose(body_frame).vertices.numpy()
        assert np.abs(vertices - expected["deformed_verts"][number]).max() < 1e-4


def test_posing_to_the_star_pose_changes_nothing(stick_body):
    canonical = ball()
    posed = canonical.pose(stick_body, star_pose())
    assert np.array_equal(posed.probability, canonical.probability)
    assert np.array_equal(posed.seen, canonical.seen)
    assert posed.metadata["pose"][1] == pytest.approx([0, 0, np.pi / 6])


def test_a_raised_arm_takes_its_object_along(stick_body):
    hand = np.array([0.7, 0.42, 0.0])
    canonical = ball(40, 0.12, hand)
    pose = torch.zeros(24, 3)
    pose[16, 2] = np.pi / 2  # left shoulder about z: the arm points up
    raised = stick_body.pose(pose).joints[20].numpy()
    assert raised[1] > 0.8
    posed = canonical.pose(stick_body, pose, VoxelGrid(30, 2.2))
    assert posed.probability.shape == (30, 30, 30)
    assert posed.query(raised) == pytest.approx(0.8) and posed.query(hand) == 0
    pose[0] = torch.tensor([1.0, 2.0, 0.5])  # the global rotation is the camera's business
    turned = canonical.pose(stick_body, pose, VoxelGrid(30, 2.2))
    assert np.array_equal(turned.probability, posed.probability)
    pose[3, 0] = torch.nan
    with pytest.raises(BadInput, match="not finite"):
        canonical.pose(stick_body, pose)


def test_query_inside_outside_and_nan():
    points = np.array([[0.3, 0.2, -0.1], [0.9, 0.9, 0.9], [5, 0, 0], [np.nan, 0, 0]])
    found = ball().query(points)
    assert found.dtype == np.float32 and found.tolist() == pytest.approx([0.8, 0, 0, 0])
    assert ball().query(torch.from_numpy(points).reshape(2, 2, 3)).shape == (2, 2)


def test_files_bring_everything_back(tmp_path):
    saved = counted()
    saved.save(tmp_path / "deep" / "field.npz")
    loaded = chorus.Distribution.load(tmp_path / "deep" / "field.npz")
    for name in ("category", "prompt", "part", "body", "metadata", "grid"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert np.array_equal(loaded.probability, saved.probability)
    assert np.array_equal(loaded.seen, saved.seen) and loaded.seen.dtype == np.uint32
    assert loaded.metadata["samples"] == saved.counts.samples.sum()
    assert np.array_equal(loaded.counts.mask, saved.counts.mask)
    again = loaded.reweighted("total-uniform")
    assert np.array_equal(again.probability, saved.counts.probability("total-uniform"))
    assert again.metadata["weighting"] == "total-uniform"
    first = (tmp_path / "deep" / "field.npz").read_bytes()
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == first


def test_files_without_counts_and_foreign_files(tmp_path):
    path = tmp_path / "ball.npz"
    ball().save(path)
    loaded = Distribution.load(path)
    assert loaded.counts is None
    with pytest.raises(BadInput, match="without its counts"):
        loaded.reweighted("total-uniform")
    content = path.read_bytes()
    for damaged in (content[:-10], content[: len(content) // 2], b"PK nonsense", b""):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"ball\.npz"):
            Distribution.load(path)
    write_archive(path, "chorus.counts/1", BinCounts.empty(VoxelGrid(2)).arrays(), {})
    with pytest.raises(BadInput, match=r"chorus\.counts/1"):
        Distribution.load(path)
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="not a chorus"):
        Distribution.load(path)
    with pytest.raises(BadInput, match="there is no distribution"):
        Distribution.load(tmp_path / "absent.npz")


def test_what_is_no_distribution_is_named_without_advice_to_trust_it(tmp_path):
    words = tmp_path / "words.md"
    words.write_text("# words\n")
    for read in (Distribution.load, read_field):
        with pytest.raises(BadInput, match=r"words\.md is not a chorus\.distribution") as refused:
            read(words)
        assert "pickle" not in str(refused.value)
        with pytest.raises(BadInput, match="is a folder"):
            read(tmp_path)


def test_a_distribution_is_shown_in_one_line():
    assert repr(ball()) == "Distribution(category='ball': 20³ voxels, 2 m, at most 0.8)"
    assert "array" not in repr(counted())


def test_impossible_values_are_refused(tmp_path):
    grid = VoxelGrid(2)
    seen = np.zeros(grid.shape, np.uint32)
    with pytest.raises(BadInput, match="grid"):
        Distribution(np.zeros((3, 3, 3), np.float32), grid, seen)
    for value in (np.nan, 1.5, -0.1):
        with pytest.raises(BadInput, match="between 0 and 1"):
            Distribution(np.full(grid.shape, value, np.float32), grid, seen)
    with pytest.raises(BadInput, match="JSON"):
        Distribution(seen.astype(np.float32), grid, seen, metadata={"a": object()}).save(
            tmp_path / "a.npz"
        )
    assert not list(tmp_path.iterdir())


def test_mesh_of_a_ball():
    mesh = ball(60, 0.5).mesh(0.4)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.05)
    assert mesh.centroid == pytest.approx([0.3, 0.2, -0.1], abs=0.01)
    whole = Distribution(
        np.ones((4, 4, 4), np.float32), VoxelGrid(4, 2.0), np.zeros((4, 4, 4), np.uint32)
    )
    assert whole.mesh(1.0).is_watertight
    with pytest.raises(BadInput, match=r"0\.8"):
        ball().mesh(0.9)
    with pytest.raises(BadInput, match="above 0"):
        ball().mesh(0)


@pytest.mark.parametrize("suffix", ["glb", "ply", "OBJ"])
def test_exported_meshes_open_again(tmp_path, suffix):
    path = tmp_path / f"ball.{suffix}"
    ball().export(path, 0.4)
    again = trimesh.load_mesh(path)
    assert again.volume == pytest.approx(ball().mesh(0.4).volume, rel=1e-3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_unknown_mesh_suffix_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"\.glb, \.ply, \.obj"):
        ball().export(tmp_path / "ball.stl", 0.4)
