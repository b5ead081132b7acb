"""The hand's skeleton and the orders of its 21 joints that data sets and programs use. Plain data.

An order is a tuple of names; `gather(source, target)` is the list for which
`joints[..., gather(source, target), :]` of joints in the source's order are in the target's.
"""

from __future__ import annotations

from collections.abc import Sequence

from chorus.errors import unknown_name

JOINT_NAMES: tuple[str, ...] = (
    "wrist",
    *(
        f"{finger}{n}"
        for finger in ("index", "middle", "pinky", "ring", "thumb")
        for n in (1, 2, 3)
    ),
)
"""MANO's 16 joints in its order; the wrist carries the global rotation."""

JOINT_COUNT = len(JOINT_NAMES)

PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each joint, -1 for the wrist; a parent's number is below its children's."""

TIP_FINGERS: tuple[str, ...] = ("index", "middle", "pinky", "ring", "thumb")
"""The fingers of the five fingertips as the published fingertip files list them."""

FREIHAND_FINGERS: tuple[str, ...] = ("thumb", "index", "middle", "ring", "pinky")

ORDERS: dict[str, tuple[str, ...]] = {
    # what TempCLR's network gives before it is written: MANO's joints, tips in alphabetic order
    "tempclr": (*JOINT_NAMES, *(f"{finger}_tip" for finger in TIP_FINGERS)),
    "ho3d": (*JOINT_NAMES, *(f"{finger}_tip" for finger in FREIHAND_FINGERS)),
    # also OpenPose's and MediaPipe's
    "freihand": (
        "wrist",
        *(f"{finger}{end}" for finger in FREIHAND_FINGERS for end in ("1", "2", "3", "_tip")),
    ),
}
"""The orders of the 21 joints, by the data set (or program) that uses them."""


def gather(source: str, target: str) -> list[int]:
    """Places in the source order of the joints of the target order."""
    for order in (source, target):
        if order not in ORDERS:
            raise unknown_name("joint order", order, ORDERS)
    return [ORDERS[source].index(name) for name in ORDERS[target]]


def places(names: Sequence[str], order: str = "freihand") -> list[int]:
    """Places of joints in an order."""
    return [ORDERS[order].index(name) for name in names]
