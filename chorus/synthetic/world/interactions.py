"""Interactions as data: which poses and which object placement answer to a prompt.

One file `data/interactions/<category>.yaml` per category, no code; the dataclasses below say what
every field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

from chorus.body.skeleton import JOINT_NAMES, SEGMENT_NAMES
from chorus.errors import BadInput, unknown_name
from chorus.synthetic.world.expressions import (
    Between,
    Direction,
    known_place,
    parse_direction,
    swap_sides,
)
from chorus.synthetic.world.posing import LIMBS
from chorus.synthetic.world.reading import Entry, read_yaml

DATA = Path(str(resources.files("chorus.synthetic"))) / "data" / "interactions"
_GROUNDS = ("body", "object", "both", "afloat")


@dataclass(frozen=True)
class Limb:
    """Where a hand or foot is.

    The wrist goes to `start` + `to` (from the shoulder if not said), the ankle likewise (from the
    pelvis), in units of the limb's length; with start `object`, to the object's origin + `to` in
    units of its half extents. `level`: the place's height along the object's top axis, likewise,
    instead of that of `to`. `pole`: where the elbow or knee points. `fingers` and `palm` orient a
    hand, `toes` and `sole_up` a foot. With `hold` the palm, not the wrist, goes there. `spread`:
    standard deviation of the place, limb lengths; the height of both feet varies together.
    """

    to: Direction
    start: str
    pole: Direction | Between
    spread: float
    fingers: Direction | Between | None = None
    palm: Direction | Between | None = None
    toes: Direction | Between | None = None
    sole_up: Direction | None = None
    hold: bool = False
    level: float | None = None


@dataclass(frozen=True)
class Pose:
    """One base pose: joint angles in degrees (bend, twist, lean), limbs, closed hands.

    `spread`: standard deviation in degrees of every joint angle that is drawn, by joint name, with
    `default` for the others of the spine, neck and head.
    """

    name: str
    weight: float
    joints: Mapping[str, tuple[float, float, float]]
    limbs: Mapping[str, Limb]
    grip: Mapping[str, float]
    spread: Mapping[str, float]


@dataclass(frozen=True)
class Touch:
    """The object slides `along` a direction until it touches some segments, less a `gap` (m).

    `softness`: share of the segments' vertices that may sink in, as flesh and cloth give way.
    """

    along: Direction | Between
    segments: tuple[str, ...]
    gap: float
    softness: float


@dataclass(frozen=True)
class Placement:
    """Where the object is, relative to the posed body.

    Its point `point` (long, side, top, in half extents from its origin) comes to the weighted mean
    of the places `at`, moved by `shift` (direction whose factors are metres). `axes`: two of the
    object's axes and where they point, the first exactly. `slide` and `turn`: standard deviations
    along (metres) and about (degrees) long, side, top.
    """

    at: Mapping[str, float]
    point: tuple[float, float, float]
    shift: Direction | None
    axes: tuple[tuple[str, Direction | Between], tuple[str, Direction | Between]]
    slide: tuple[float, float, float]
    turn: tuple[float, float, float]
    touch: Touch | None


@dataclass(frozen=True)
class ObjectKind:
    """The mesh of a category: builder kind, parameter overrides (a value or a low and a high end),
    and its axes long, side, top in the kind's own frame."""

    kind: str
    parameters: Mapping[str, object]
    axes: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Interaction:
    """One way to use an object. `phrases`: what a prompt says for it, lower case.

    `settings`: weights of the surroundings. `ground`: what rests (`body`, `object` or `both`) with
    its lowest point at which height, metres; `afloat`: the object's origin is at that height.
    `tilt` and `sway`: mean and standard deviation of the whole group's bend and lean, degrees.
    `reach`: limbs placed again once the object is there. `facing`: how far the face is turned from
    the body's forward direction, degrees to the left, for viewpoints such as "front view".
    `mirrored`: the object's `side` axis counts the other way (every kind is symmetric in it).
    """

    category: str
    name: str
    prompts: tuple[str, ...]
    phrases: tuple[str, ...]
    object: ObjectKind
    settings: Mapping[str, float]
    poses: tuple[Pose, ...]
    placement: Placement
    reach: Mapping[str, Limb]
    ground: str
    height: float
    tilt: tuple[float, float]
    sway: tuple[float, float]
    facing: float
    mirrored: bool = False


@dataclass(frozen=True)
class Sided:
    """An interaction, its mirror image, and how often the mirror image occurs."""

    plain: Interaction
    mirrored: Interaction
    mirror_rate: float


def categories() -> list[str]:
    """Names of the categories that the synthetic world knows, sorted."""
    return sorted(path.stem.replace("_", " ") for path in DATA.glob("*.yaml"))


def interactions(category: str) -> tuple[Sided, ...]:
    """All interactions of a category; BadInput with near names for an unknown category."""
    if category not in categories():
        raise unknown_name("category of the synthetic world", category, categories())
    return _load(DATA / f"{category.replace(' ', '_')}.yaml")


def known_prompts(category: str) -> list[str]:
    """The prompts a category's interactions are named by, in the file's order."""
    return [prompt for sided in interactions(category) for prompt in sided.plain.prompts]


def find_interaction(category: str, prompt: str) -> Sided:
    """The interaction that a prompt asks for, by its phrases, case-insensitive; longest first.

    BadInput names the prompts known for the category where none fits.
    """
    text = f" {prompt.lower().strip()} "
    best: tuple[int, Sided] | None = None
    for sided in interactions(category):
        for phrase in sided.plain.phrases:
            if f" {phrase} " in text and (best is None or len(phrase) > best[0]):
                best = (len(phrase), sided)
    if best is None:
        raise unknown_name(
            f"interaction of the category {category!r} in the prompt",
            prompt,
            known_prompts(category),
        )
    return best[1]


@cache
def _load(path: Path) -> tuple[Sided, ...]:
    return read_interactions(path)


def read_interactions(path: Path) -> tuple[Sided, ...]:
    """The interactions of one file; BadInput names file, interaction, field, found and expected."""
    top = read_yaml(path)
    category = top.text("category")
    kind = _object_kind(top.entry("object"))
    sides = []
    for row in top.rows("interactions"):
        mirrored = Entry.of(f"{row.where} (mirrored)", swap_sides(dict(row.values)))
        rate = row.number("mirror", 0.5)
        if not 0 <= rate <= 1:
            raise row.wrong("mirror", "a share from 0 to 1")
        sides.append(
            Sided(
                _interaction(row, category, kind),
                replace(_interaction(mirrored, category, kind), mirrored=True),
                rate,
            )
        )
    top.finish()
    return tuple(sides)


def _object_kind(entry: Entry) -> ObjectKind:
    axes = entry.entry("axes")
    frame = {name: axes.triple(name) for name in ("long", "side", "top")}
    kind = ObjectKind(entry.text("kind"), dict(entry.mapping("parameters")), frame)
    axes.finish()
    entry.finish()
    return kind


def _interaction(row: Entry, category: str, kind: ObjectKind) -> Interaction:
    row.number("mirror", 0.5)
    ground = row.entry("ground")
    what = ground.text("what")
    if what not in _GROUNDS:
        raise ground.wrong("what", f"one of {', '.join(_GROUNDS)}")
    tilt, sway = row.numbers("tilt", {}), row.numbers("sway", {})
    result = Interaction(
        category=category,
        name=row.text("name"),
        prompts=row.texts("prompts"),
        phrases=tuple(phrase.lower() for phrase in row.texts("phrases")),
        object=kind,
        settings=row.numbers("settings"),
        poses=tuple(read_pose(pose) for pose in row.rows("poses")),
        placement=_placement(row.entry("place")),
        reach={name: _limb(name, limb) for name, limb in row.entries("reach").items()},
        ground=what,
        height=ground.number("height", 0.0),
        tilt=(tilt.get("bend", 0.0), tilt.get("lean", 0.0)),
        sway=(sway.get("bend", 0.0), sway.get("lean", 0.0)),
        # The mirror image of a leftward turn is a rightward one.
        facing=row.entry("facing").number("twist") if row.has("facing") else 0.0,
    )
    ground.finish()
    row.finish()
    return result


def read_pose(entry: Entry) -> Pose:
    """One base pose of an interaction or of the bystanders."""
    joints = {}
    for name, angles in entry.entries("joints").items():
        _known_joint(name, angles.where)
        joints[name] = tuple(angles.number(angle, 0.0) for angle in ("bend", "twist", "lean"))
        angles.finish()
    spread = entry.numbers("spread", {})
    for name in spread:
        if name != "default":
            _known_joint(name, f"{entry.where}, spread")
    pose = Pose(
        name=entry.text("name"),
        weight=entry.number("weight", 1.0),
        joints=joints,
        limbs={name: _limb(name, limb) for name, limb in entry.entries("limbs").items()},
        grip=entry.numbers("grip", {}),
        spread=spread,
    )
    entry.finish()
    return pose


def _limb(name: str, entry: Entry) -> Limb:
    if name not in LIMBS:
        raise BadInput(f"{entry.where}: {unknown_name('limb', name, LIMBS)}")
    arm = name.endswith("arm")
    start = entry.text("from", LIMBS[name][0] if arm else "pelvis")
    if start != "object":
        start = entry.optional("from", lambda value: known_place(str(value))) or start
    home = "torso" if arm else "body"
    pole = "back" if arm else "forward"
    limb = Limb(
        to=entry.parsed("to", lambda value: parse_direction(value, home)),
        start=start,
        pole=entry.optional("pole", lambda value: parse_direction(value, home))
        or parse_direction(pole, home),
        spread=entry.number("spread", 0.04),
        fingers=entry.optional("fingers", parse_direction),
        palm=entry.optional("palm", parse_direction),
        toes=entry.optional("toes", lambda value: parse_direction(value, "body")),
        sole_up=entry.optional("sole_up", parse_direction),
        hold=bool(entry.number("hold", 0)),
        level=entry.number("level") if entry.has("level") else None,
    )
    if (limb.fingers is None) != (limb.palm is None):
        raise BadInput(f"{entry.where}: give both 'fingers' and 'palm', or neither.")
    entry.finish()
    return limb


def _placement(entry: Entry) -> Placement:
    at = entry.numbers("at")
    for name in at:
        entry.parsed("at", lambda _, name=name: known_place(name))
    given = [name for name in ("long", "side", "top") if entry.has(name)]
    if len(given) != 2:
        raise BadInput(
            f"{entry.where}: expected directions for exactly two of 'long', 'side', 'top', found "
            f"{given}."
        )
    # The file's order is the order of precision.
    given.sort(key=list(entry.values).index)
    slide, turn = entry.numbers("slide", {}), entry.numbers("turn", {})
    touch = None
    if entry.has("touch"):
        contact = entry.entry("touch")
        segments = contact.texts("segments")
        for segment in segments:
            if segment not in SEGMENT_NAMES:
                raise BadInput(
                    f"{contact.where}: {unknown_name('segment', segment, SEGMENT_NAMES)}"
                )
        touch = Touch(
            along=contact.parsed("along", parse_direction),
            segments=segments,
            gap=contact.number("gap", 0.0),
            softness=contact.number("softness", 0.0),
        )
        contact.finish()
    placement = Placement(
        at=at,
        point=entry.triple("point", (0.0, 0.0, 0.0)),
        shift=entry.optional("shift", parse_direction),
        axes=tuple((name, entry.parsed(name, parse_direction)) for name in given),
        slide=tuple(slide.get(name, 0.0) for name in ("long", "side", "top")),
        turn=tuple(turn.get(name, 0.0) for name in ("long", "side", "top")),
        touch=touch,
    )
    entry.finish()
    return placement


def _known_joint(name: str, where: str) -> None:
    if name not in JOINT_NAMES:
        raise BadInput(f"{where}: {unknown_name('joint', name, JOINT_NAMES)}")
