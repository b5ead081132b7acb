"""The small language in which interaction files say directions and places.

A *direction* is a sum of words with optional factors, `"up 0.8 forward 0.3"`, optionally behind the
frame that the words refer to, `"torso: back"`, or the way from one place to another,
`"right_sole -> left_sole"`. A *place* is the name of a joint or of an anchor of
`data/anchors.yaml`, a point on the skin that is found on any body.

Frames: `world` (the person looks along forward before the scene is turned), `body` (the pelvis),
`torso` (the third spine joint), any joint, and `object` with its own words long, side and top.
`out` and `in` are away from and toward the middle of the body, for the limb they are said of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from chorus.body.skeleton import JOINT_NAMES, SEGMENT_NAMES
from chorus.errors import BadInput, unknown_name

BODY_WORDS = {
    "left": (0, 1.0),
    "right": (0, -1.0),
    "up": (1, 1.0),
    "down": (1, -1.0),
    "forward": (2, 1.0),
    "back": (2, -1.0),
}
OBJECT_WORDS = {"long": (0, 1.0), "side": (1, 1.0), "top": (2, 1.0)}
SIDE_WORDS = {"out": 1.0, "in": -1.0}
FRAMES = ("world", "body", "torso", "object", *JOINT_NAMES)
_FRAME_JOINTS = {"body": "pelvis", "torso": "spine3"}


@dataclass(frozen=True)
class Direction:
    """A vector (3,) along the axes of a frame; `sideways` is what has to be counted outward."""

    frame: str
    vector: tuple[float, float, float]
    sideways: float = 0.0


@dataclass(frozen=True)
class Between:
    """The way from one place to another."""

    start: str
    end: str


@dataclass(frozen=True)
class Anchor:
    """A place on the skin: the mean of those vertices of some segments that lie farthest out."""

    segments: tuple[str, ...]
    toward: Direction
    share: float


def parse_direction(text: object, frame: str = "world") -> Direction | Between:
    """Read a direction; `frame` is the one meant where none is named. BadInput says what is off."""
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"expected a direction such as 'torso: up 1 back 0.2', found {text!r}")
    if "->" in text:
        start, end = (known_place(part.strip()) for part in text.split("->", 1))
        return Between(start, end)
    head, colon, words = text.rpartition(":")
    if colon:
        frame = head.strip()
        if frame not in FRAMES:
            raise unknown_name("frame", frame, FRAMES)
    axes = OBJECT_WORDS if frame == "object" else BODY_WORDS
    vector, sideways = np.zeros(3), 0.0
    matches = list(re.finditer(r"([a-z]+)(?:\s+(-?\d*\.?\d+))?\s*", words.strip()))
    if "".join(m.group(0) for m in matches) != words.strip() or not matches:
        raise BadInput(f"expected words with factors such as 'up 1 back 0.2', found {text!r}")
    for match in matches:
        word, factor = match.group(1), float(match.group(2) or 1.0)
        if word in axes:
            axis, sign = axes[word]
            vector[axis] += sign * factor
        elif word in SIDE_WORDS and frame != "object":
            sideways += SIDE_WORDS[word] * factor
        else:
            raise unknown_name("direction word", word, [*axes, *SIDE_WORDS])
    return Direction(frame, tuple(vector), sideways)


@cache
def anchors() -> Mapping[str, Anchor]:
    """The named places on the skin, from `data/anchors.yaml`."""
    text = (resources.files("chorus.synthetic") / "data" / "anchors.yaml").read_text("utf-8")
    by_name = {}
    for name, entry in yaml.safe_load(text).items():
        for segment in entry["segments"]:
            if segment not in SEGMENT_NAMES:
                raise unknown_name(f"segment of the anchor {name}", segment, SEGMENT_NAMES)
        toward = parse_direction(entry["toward"])
        by_name[name] = Anchor(tuple(entry["segments"]), toward, float(entry.get("share", 0.05)))
    return by_name


def known_place(name: str) -> str:
    """The name itself if it is a joint or an anchor, otherwise BadInput with near names."""
    if name not in JOINT_NAMES and name not in anchors():
        raise unknown_name("place", name, [*JOINT_NAMES, *anchors()])
    return name


def swap_sides(value: object) -> object:
    """The same piece of data for the mirrored body: left and right change places.

    Works on names (`left_wrist`, `leftFoot`) and words; twist and lean angles change sign.
    """
    if isinstance(value, str):
        return re.sub(
            r"(?<![A-Za-z])(left|right)(?=[A-Z_ ]|$|\b)",
            lambda match: "right" if match.group(1) == "left" else "left",
            value,
        )
    if isinstance(value, dict):
        return {
            swap_sides(key): -item
            if key in ("twist", "lean") and isinstance(item, int | float)
            else swap_sides(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [swap_sides(item) for item in value]
    return value


@dataclass(frozen=True)
class Figure:
    """What expressions are evaluated on: a posed body, and the object once it is placed.

    joints (24, 3) and vertices (V, 3) in metres, rotations (24, 3, 3) of the joints' frames,
    part_of_vertex (V,) joint number; object_axes (3, 3) with the columns long, side, top.
    """

    joints: np.ndarray
    rotations: np.ndarray
    vertices: np.ndarray | None = None
    part_of_vertex: np.ndarray | None = None
    object_axes: np.ndarray | None = None

    def frame(self, name: str) -> np.ndarray:
        """Axes (3, 3) of a frame as columns: left, up, forward; for the object long, side, top."""
        if name == "world":
            return np.eye(3)
        if name == "object":
            if self.object_axes is None:
                raise BadInput("the frame 'object' has no meaning before the object is placed")
            return self.object_axes
        return self.rotations[JOINT_NAMES.index(_FRAME_JOINTS.get(name, name))]

    def vector(self, direction: Direction | Between, side: str = "") -> np.ndarray:
        """The direction (3,) in the world, not normalised; `side` is the limb's, left or right."""
        if isinstance(direction, Between):
            return self.place(direction.end) - self.place(direction.start)
        local = np.array(direction.vector)
        if direction.sideways:
            if not side:
                raise BadInput("'out' and 'in' have a meaning only for a limb; say left or right")
            local[0] += direction.sideways if side == "left" else -direction.sideways
        return self.frame(direction.frame) @ local

    def place(self, name: str) -> np.ndarray:
        """Where a joint or anchor is, (3,) metres in the world."""
        if name in JOINT_NAMES:
            return self.joints[JOINT_NAMES.index(name)]
        return self.patch(name).mean(axis=0)

    def patch(self, name: str) -> np.ndarray:
        """The vertices (P, 3) of an anchor."""
        anchor = anchors()[name]
        inside = np.isin(
            self.part_of_vertex, [SEGMENT_NAMES.index(segment) for segment in anchor.segments]
        )
        points = self.vertices[inside]
        reach = points @ self.vector(anchor.toward)
        count = max(3, round(anchor.share * len(points)))
        return points[np.argpartition(reach, -count)[-count:]]
