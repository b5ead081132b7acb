"""pred.json: the bytes that the servers' own writer makes, and what may be wrong with a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.hands.prediction_file import read_points, read_predictions, write_predictions


@given(st.integers(0, 4), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_bytes_are_those_of_json_dump(tmp_path_factory, count, seed):
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 0.1, (count, 21, 3)).astype(np.float32)
    vertices = rng.normal(0, 0.1, (count, 7, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("pred") / "pred.json"
    write_predictions(path, joints, vertices)
    rounded = [each.astype(np.float64).round(5).tolist() for each in (joints, vertices)]
    assert path.read_bytes() == json.dumps(rounded).encode()
    if count:
        again = read_predictions(path)
        np.testing.assert_allclose(again[0], joints, atol=6e-6)
        np.testing.assert_allclose(again[1], vertices, atol=6e-6)


def test_five_decimals(tmp_path):
    write_predictions(tmp_path / "p.json", np.full((1, 21, 3), 1 / 3), np.full((1, 1, 3), -2e-6))
    text = (tmp_path / "p.json").read_text()
    assert text.startswith("[[[[0.33333, 0.33333, 0.33333], ") and text.endswith("]]]")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no JSON file"),
        ("{}", "a list of joints and vertices; found dict"),
        ("[[], [], []]", "found 3 parts"),
        ("[1, 2]", r"the joints of .* have the shape \(\); expected \(N, 21, 3\)"),
        ("[[[[0, 0, 0]]], [[[0, 0, 0]]]]", r"shape \(1, 1, 3\); expected \(N, 21, 3\)"),
        ('[[["a"]], []]', "no array of numbers"),
        ("[[[[0, 0], [1]]], []]", "no array of numbers"),
    ],
)
def test_other_content_is_named(tmp_path, content, said):
    (tmp_path / "pred.json").write_text(content)
    with pytest.raises(BadInput, match=said):
        read_predictions(tmp_path / "pred.json")


def test_nan_is_named_with_its_sample(tmp_path):
    joints = np.zeros((3, 21, 3))
    joints[2, 4, 1] = np.nan
    (tmp_path / "p.json").write_text(json.dumps([joints.tolist(), np.zeros((3, 5, 3)).tolist()]))
    with pytest.raises(BadInput, match="NaN or infinity in 1 samples, first in number 2"):
        read_predictions(tmp_path / "p.json")


def test_joints_and_vertices_of_different_numbers_of_samples(tmp_path):
    content = [np.zeros((3, 21, 3)).tolist(), np.zeros((2, 5, 3)).tolist()]
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="joints of 3 samples and vertices of 2"):
        read_predictions(tmp_path / "p.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        read_points(tmp_path / "evaluation_xyz.json")
