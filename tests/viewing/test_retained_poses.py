"""Which retained persons' poses a page shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, write_table
from chorus.viewing.retained_poses import POSES_PER_PROMPT, RetainedPose, medoids, retained_poses
from chorus.viewing.sheet import SheetSettings
from references.stick_body import stick_body

SITS, STANDS = "A person sits", "A person stands"


def test_medoids_by_hand():
    line = np.array([[0.0], [1], [2], [10], [11], [40]])
    assert medoids(line, 1) == [2]  # the distances to it sum to the least
    assert medoids(line, 3) == [2, 5, 3]
    assert medoids(np.zeros((4, 2)), 3) == [0], "all alike: one stands for all"
    assert medoids(np.zeros((0, 2)), 3) == []


@given(arrays(float, (7, 2), elements=st.floats(-3, 3)), st.integers(1, 9))
def test_every_medoid_lowers_the_mean_distance(points, count):
    chosen = medoids(points, count)
    assert len(set(chosen)) == len(chosen) <= count
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    means = [distances[:, chosen[:n]].min(axis=1).mean() for n in range(1, len(chosen) + 1)]
    assert (np.diff(means) < 0).all()


def row(**values) -> dict:
    return {"status": "done", "reason": "", **values}


def write(tree: ResultsTree, prompt: str, augprompt: str, poses: list, verdict: str = RETAINED):
    """A shard whose samples were refined to these poses."""
    shard = ShardKey("m", "bench", prompt, augprompt)
    camera = {"R": np.eye(3).ravel().tolist(), "t": [0, 0, 4], "K": np.eye(3).ravel().tolist()}
    residuals = {"residual_before": 1.0, "residual": 1.0, "agreement": 1.0, "iterations": 3}
    rows = {
        "filtered": row(verdicts=[verdict] * len(RULES), person=0, objects=[0]),
        "refined": row(**camera, **residuals, converged=True, doubt=""),
    }
    for name, values in rows.items():
        path = tree.table(name, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [{} if name == "filtered" else {"pose": pose.ravel().tolist()} for pose in poses]
        each = {n: {"index": n, **values, **more} for n, more in enumerate(own)}
        write_table(path, name, Table(shard, {}, each))


@pytest.fixture
def about(tmp_path) -> SheetSettings:
    return SheetSettings(ResultsTree(tmp_path), "m", (), (3,), "refined")


def bent(joint: int, angle: float) -> np.ndarray:
    pose = np.zeros((24, 3))
    pose[0] = 0.7  # the global rotation, which no page shows
    pose[joint, 0] = angle
    return pose


def test_poses_are_of_retained_samples_of_every_prompt(about):
    write(about.tree, SITS, "original", [bent(1, -1.5 + 0.01 * n) for n in range(9)])
    write(about.tree, SITS, ", side view", [bent(16, 3.0)] * 5, verdict="too small")
    write(about.tree, STANDS, ", side view", [bent(1, 0.1), bent(2, np.nan)])
    poses = retained_poses(about, "bench", stick_body())
    assert [pose.key.prompt for pose in poses] == [SITS] * POSES_PER_PROMPT + [STANDS]
    assert poses[0].key.index == 4, "the middle of the nine"
    assert not any(pose.pose[0].any() for pose in poses)
    assert poses[0].pose[1, 0] == pytest.approx(-1.46)
    assert all(pose.image is None for pose in poses), "there is no table of images"
    assert retained_poses(about, "tie", stick_body()) == []


def test_names_say_where_a_pose_is_from():
    names = [
        RetainedPose(SampleKey("m", "bench", SITS, augprompt, 3), np.zeros((24, 3)))
        for augprompt in (", side view", "original")
    ]
    assert [pose.name for pose in names] == ["side view, image 3", "image 3"]
    assert names[0].text == f"{SITS}, side view, image 3"
