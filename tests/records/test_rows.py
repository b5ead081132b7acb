"""Rows of tables and what they hold, one way and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chorus.errors import BadInput
from chorus.filtering.verdicts import RETAINED
from chorus.geometry import masks
from chorus.records.keys import ShardKey
from chorus.records.rows import (
    PERSON_SHAPES,
    Camera,
    Detection,
    Person,
    boxes_of,
    keypoints_of,
    masks_of,
    only_person,
    person_array,
    person_boxes,
    retained,
    verdict,
)
from chorus.records.tables import Table, read_table, write_table

NUMBERS = st.floats(-1e6, 1e6, width=32)
SHARD = ShardKey("m", "chair", "A person sits on a chair", "original")


@st.composite
def persons(draw):
    values = {
        name: draw(arrays.arrays(np.float32, shape, elements=NUMBERS))
        for name, shape in PERSON_SHAPES.items()
    }
    return Person(**values, crop_side=draw(NUMBERS))


@given(person=persons())
def test_a_person_comes_back_from_its_row(person):
    back = Person.of_row(person.row())
    for name, shape in PERSON_SHAPES.items():
        array = getattr(back, name)
        assert array.shape == shape and array.dtype == np.float32
        np.testing.assert_array_equal(array, getattr(person, name))
        np.testing.assert_array_equal(person_array(person.row(), name), array)
    assert back.crop_side == person.crop_side


def test_a_person_comes_back_from_a_table(tmp_path):
    rng = np.random.default_rng(0)
    values = {n: rng.normal(size=s).astype(np.float32) for n, s in PERSON_SHAPES.items()}
    row = {"index": 0, "status": "done", "reason": ""}
    row["persons"] = [Person(**values, crop_side=2.5).row()]
    write_table(tmp_path / "t.parquet", "humans", Table(SHARD, {}, {0: row}))
    read = read_table(tmp_path / "t.parquet", "humans").rows[0]
    np.testing.assert_array_equal(Person.of_row(only_person(read)).pose, values["pose"])


def test_a_camera_of_a_row():
    row = {"R": np.eye(3).ravel().tolist(), "t": [1.0, 2.0, 3.0], "K": list(range(9))}
    camera = Camera.of_row({**row, "residual": 0.5})
    np.testing.assert_array_equal(camera.R, np.eye(3))
    np.testing.assert_array_equal(camera.K[1], [3, 4, 5])
    assert camera.t.dtype == np.float32 and camera.residual == 0.5
    assert np.isnan(Camera.of_row(row).residual)


def test_detections_by_kind():
    person, thing = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    person[1:3, 1:3], thing[0, 5] = True, True
    detections = [
        Detection("person", 0.9, np.array([1, 1, 3, 3], np.float32), masks.encode(person)).row(),
        Detection("chair", 0.8, np.array([5, 0, 6, 1], np.float32), masks.encode(thing)).row(),
    ]
    row = {"height": 4, "width": 6, "detections": detections}
    found = masks_of(row)
    np.testing.assert_array_equal(found[0], person)
    np.testing.assert_array_equal(found[1], thing)
    np.testing.assert_array_equal(person_boxes(row), [[1, 1, 3, 3]])
    assert boxes_of([]).shape == (0, 4) and keypoints_of([]).shape == (0, 17, 3)


def test_only_one_person():
    with pytest.raises(BadInput, match="with 2 persons in humans"):
        only_person({"persons": [{}, {}]})


def test_a_verdict_under_some_rules():
    row = {"status": "done", "reason": "", "verdicts": ["no human"] * 15}
    assert verdict(row, [3]) == "no human" and not retained(row, [3])
    row["verdicts"][6] = RETAINED
    assert verdict(row, [3, 7]) == RETAINED and retained(row, [3, 7]) and not retained(row, [3])
    assert verdict({"status": "failed", "reason": "unreadable"}, [3]) == "unreadable"
