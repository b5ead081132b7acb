"""The orders of the hand's joints: against the lists of the data sets' own programs."""

from __future__ import annotations

import itertools

import pytest

from chorus.errors import BadInput
from chorus.hands.joints import JOINT_NAMES, ORDERS, PARENTS, gather, places


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("ho3d", "freihand", "0,13,14,15,16,1,2,3,17,4,5,6,18,10,11,12,19,7,8,9,20"),
        ("freihand", "ho3d", "0,5,6,7,9,10,11,17,18,19,13,14,15,1,2,3,4,8,12,16,20"),
        ("tempclr", "ho3d", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,20,16,17,19,18"),
        ("tempclr", "freihand", "0,13,14,15,20,1,2,3,16,4,5,6,17,10,11,12,19,7,8,9,18"),
    ],
)
def test_gathers_are_those_of_the_servers(source, target, expected):
    assert gather(source, target) == [int(n) for n in expected.split(",")]


def test_there_and_back_is_the_identity():
    for a, b in itertools.product(ORDERS, ORDERS):
        there, back = gather(a, b), gather(b, a)
        assert [there[n] for n in back] == list(range(21))


def test_tables():
    assert len(JOINT_NAMES) == len(PARENTS) == 16
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert all(len(set(order)) == 21 for order in ORDERS.values())
    assert places(["wrist", "middle1"]) == [0, 9]


def test_an_unknown_order_is_named():
    with pytest.raises(BadInput, match=r"joint order 'freehand'; did you mean 'freihand'"):
        gather("ho3d", "freehand")
