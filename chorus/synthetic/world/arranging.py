"""One person and one object in an interaction: pose and placement drawn from its data (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import trimesh

from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES, SEGMENT_NAMES
from chorus.rendering.raycast import RayScene
from chorus.synthetic.world.expressions import Figure
from chorus.synthetic.world.interactions import Interaction, Limb, Placement, Pose
from chorus.synthetic.world.posing import (
    LIMBS,
    Skeleton,
    about_axis,
    angles_to_matrix,
    frame_of,
    unit,
)
from chorus.synthetic.world.scene import ScenePerson

_ANGLE_JOINTS = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_FLESH = ("left_collar", "right_collar", "left_wrist", "right_wrist", "left_foot", "right_foot")
_AXIS_NAMES = ("long", "side", "top")


@dataclass(frozen=True)
class Arrangement:
    """A posed person and the object's transform (4, 4) to the same world, or None without object.

    heading (3,): the level direction that the person's face looks along.
    """

    person: ScenePerson
    transform: np.ndarray | None
    heading: np.ndarray


@dataclass
class _Draft:
    """A body while it is being posed; `world` moves the finished group, see `finish`."""

    body: BodyModel
    betas: np.ndarray
    skeleton: Skeleton

    def figure(self, with_skin: bool) -> Figure:
        """The figure now, with its vertices if asked for."""
        rotations, joints = self.skeleton.forward()
        if not with_skin:
            return Figure(joints, rotations)
        vertices = self.vertices(self.skeleton.local)
        return Figure(joints, rotations, vertices, self.body.part_of_vertex.numpy())

    def vertices(self, local: np.ndarray) -> np.ndarray:
        """Skin (V, 3) of local rotations (24, 3, 3), pelvis at its rest place, metres."""
        with torch.no_grad():
            posed = self.body.pose(
                torch.from_numpy(local).float(), torch.from_numpy(self.betas).float()
            )
        return posed.vertices.numpy()


def draw_betas(
    rng: np.random.Generator, body: BodyModel, spread: float, stature: float = 1.0
) -> np.ndarray:
    """Shape (10,) from N(0, spread), clipped at two deviations; zero beyond the body's shapes.

    stature: how much larger than that the person is, as near as the body's shapes come to it;
    variation goes with size.
    """
    betas = np.zeros(10, np.float32)
    count = min(10, body.shapedirs.shape[2])
    betas[:count] = np.clip(rng.normal(0, spread, count), -2 * spread, 2 * spread)
    if stature == 1:
        return betas
    betas[:count] = stature * betas[:count] + (stature - 1) * growth(body)[:count]
    return betas


@lru_cache(maxsize=4)
def growth(body: BodyModel) -> np.ndarray:
    """The shape (10,) that is nearest to the template enlarged by its own size about the pelvis.

    Least squares over vertices. Shapes are linear, so betas of (s - 1) times this make a body about
    s times as large: a scaled adult, also where a child is meant.
    """
    vertices, joints = body.rest()
    wanted = (vertices - joints[0]).double().numpy().ravel()
    shapes = body.shapedirs[..., :10].double().numpy()
    found = np.linalg.lstsq(shapes.reshape(len(wanted), -1), wanted, rcond=None)[0]
    return np.pad(found, (0, 10 - len(found))).astype(np.float32)


def draw_pose(
    body: BodyModel, poses: tuple[Pose, ...], betas: np.ndarray, rng: np.random.Generator
) -> _Draft:
    """Draw one of the base poses and its variation, and bend the limbs to their places."""
    weights = np.array([pose.weight for pose in poses])
    pose = poses[rng.choice(len(poses), p=weights / weights.sum())]
    _, rest = body.rest(torch.from_numpy(betas))
    skeleton = Skeleton.at_rest(rest.numpy())
    for name in dict.fromkeys([*_ANGLE_JOINTS, *_FLESH, *pose.joints]):
        spread = pose.spread.get(
            name, pose.spread.get("default", 3.0) if name in _ANGLE_JOINTS else 2.0
        )
        angles = np.array(pose.joints.get(name, (0.0, 0.0, 0.0))) + rng.normal(0, spread, 3)
        skeleton.turn(name, angles_to_matrix(*angles))
    crouch = rng.normal()
    for limb in ("left_leg", "right_leg", "left_arm", "right_arm"):
        if limb in pose.limbs:
            wander = rng.normal(0, 1, 3)
            if limb.endswith("leg"):
                wander[1] = crouch  # both feet stay level
            place_limb(skeleton, limb, pose.limbs[limb], wander, rng)
    for side, amount in pose.grip.items():
        skeleton.grip(side, float(np.clip(amount + rng.normal(0, 0.05), 0, 1.2)))
    return _Draft(body, betas, skeleton)


def place_limb(
    skeleton: Skeleton,
    limb: str,
    spec: Limb,
    wander: np.ndarray,
    rng: np.random.Generator,
    held: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> None:
    """Bend one limb to its place, off by `wander` (3,) deviations.

    held: origin (3,), axes (3, 3) and half extents (3,) of the object once it is placed.
    """
    side, kind = limb.split("_")
    rotations, joints = skeleton.forward()
    figure = Figure(joints, rotations, object_axes=None if held is None else held[1])
    length = skeleton.limb_length(limb)
    if spec.start == "object":
        target = held[0] + held[1] @ (held[2] * np.array(spec.to.vector))
    else:
        target = figure.place(spec.start) + figure.vector(spec.to, side) * length
    target = target + wander * spec.spread * length
    if spec.level is not None and held is not None:
        top = held[1][:, 2]
        target = target + ((held[0] - target) @ top + spec.level * held[2][2]) * top
    pole = unit(figure.vector(spec.pole, side)) + rng.normal(0, 0.08, 3)
    end = JOINT_NAMES.index(LIMBS[limb][2])
    # A held point is where the palm goes; the hand's pose and the wrist's place depend on each
    # other, so a few rounds.
    goal = target
    for _ in range(4 if spec.hold else 1):
        if spec.hold:
            goal = _within_reach(skeleton, limb, joints, goal, figure.vector(spec.palm, side))
        skeleton.reach(limb, goal, pole)
        if kind == "arm" and spec.fingers is not None:
            now, places = skeleton.forward()
            posed = Figure(places, now, object_axes=figure.object_axes)
            skeleton.orient_hand(
                side, posed.vector(spec.fingers, side), posed.vector(spec.palm, side)
            )
        if spec.hold:
            now, places = skeleton.forward()
            goal = target - (palm_point(skeleton, side, now, places) - places[end])
    if kind == "leg" and spec.toes is not None:
        now, places = skeleton.forward()
        posed = Figure(places, now, object_axes=figure.object_axes)
        up = np.array([0.0, 1, 0]) if spec.sole_up is None else posed.vector(spec.sole_up, side)
        skeleton.orient_foot(side, posed.vector(spec.toes, side), up)


def _within_reach(
    skeleton: Skeleton, limb: str, joints: np.ndarray, goal: np.ndarray, palm: np.ndarray
) -> np.ndarray:
    """A goal (3,) too far for the arm, brought nearer along the surface that the palm lies on."""
    shoulder = joints[JOINT_NAMES.index(LIMBS[limb][0])]
    length = 0.99 * skeleton.limb_length(limb)
    normal = unit(palm)
    foot = shoulder + ((goal - shoulder) @ normal) * normal
    room = length**2 - (foot - shoulder) @ (foot - shoulder)
    way = goal - foot
    if room <= 0 or way @ way <= room:
        return goal
    return foot + way * np.sqrt(room / (way @ way))


def palm_point(
    skeleton: Skeleton, side: str, rotations: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """Middle of the palm's skin (3,): between wrist and knuckles, a fifth of that way downward."""
    wrist, hand = (JOINT_NAMES.index(f"{side}_{name}") for name in ("wrist", "hand"))
    way = skeleton.rest[hand] - skeleton.rest[wrist]
    local = 0.8 * way - np.array([0.0, 0.25 * np.linalg.norm(way), 0.0])
    return joints[wrist] + rotations[wrist] @ local


@dataclass(frozen=True)
class Placed:
    """A placed object: origin (3,), half extents (3,), transform (4, 4) and axes (3, 3).

    The axes are columns long, side, top; left-handed for mirrored interactions, whose side counts
    the other way.
    """

    origin: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    transform: np.ndarray


def place_object(
    figure: Figure, interaction: Interaction, mesh: trimesh.Trimesh, rng: np.random.Generator
) -> Placed:
    """Put the object where the interaction says, relative to a figure with skin."""
    place = interaction.placement
    own = np.stack([interaction.object.axes[name] for name in _AXIS_NAMES], axis=1)
    half = np.ptp(mesh.vertices @ own, axis=0) / 2
    axes = _object_axes(figure, place, interaction.mirrored)
    turn = np.radians(rng.normal(0, 1, 3) * place.turn)
    for axis, angle in zip(axes.T.copy(), turn, strict=True):
        axes = about_axis(axis, angle) @ axes
    at = sum(share * figure.place(name) for name, share in place.at.items())
    if place.shift is not None:
        at = at + figure.vector(place.shift)
    origin = at - axes @ (half * place.point) + axes @ (rng.normal(0, 1, 3) * place.slide)
    proper = axes.copy()
    if interaction.mirrored:
        proper[:, 1] *= -1
    rotation = proper @ own.T
    if place.touch is not None:
        origin = origin + _slide_to_touch(figure, place, mesh, rotation, origin)
    return Placed(origin, axes, half, rigid(rotation, origin))


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Transform (4, 4) of a rotation (3, 3) and a translation (3,)."""
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, translation
    return transform


def _object_axes(figure: Figure, place: Placement, mirrored: bool) -> np.ndarray:
    (first, toward), (second, aside) = place.axes
    frame = frame_of(figure.vector(toward), figure.vector(aside))
    numbers = [_AXIS_NAMES.index(first), _AXIS_NAMES.index(second)]
    third = 3 - sum(numbers)
    # long, side, top follow each other like x, y, z; in a mirror they do not.
    cyclic = (numbers[1] - numbers[0]) % 3 == 1
    axes = np.empty((3, 3))
    axes[:, numbers] = frame[:, :2]
    axes[:, third] = frame[:, 2] * (1 if cyclic != mirrored else -1)
    return axes


def _slide_to_touch(
    figure: Figure,
    place: Placement,
    mesh: trimesh.Trimesh,
    rotation: np.ndarray,
    origin: np.ndarray,
) -> np.ndarray:
    """How far (3,) to move the object along the touch direction until the skin is met."""
    touch = place.touch
    along = unit(figure.vector(touch.along))
    numbers = [SEGMENT_NAMES.index(name) for name in touch.segments]
    skin = figure.vertices[np.isin(figure.part_of_vertex, numbers)]
    # In the object's frame, moved clear of the body: rays from the skin back to the object.
    clear = 3.0
    start = (skin - origin + clear * along) @ rotation
    back = np.broadcast_to(-along @ rotation, start.shape)
    depth = RayScene([mesh]).first(start, back).depth
    met = depth[np.isfinite(depth)]
    if not len(met):
        return np.zeros(3)
    return along * (float(np.quantile(met, touch.softness)) - clear - touch.gap)


def arrange(
    body: BodyModel,
    interaction: Interaction,
    mesh: trimesh.Trimesh | None,
    rng: np.random.Generator,
    shape_spread: float = 1.0,
    stature: float = 1.0,
) -> Arrangement:
    """Draw person and object of an interaction into a world, the pelvis at x = z = 0.

    mesh: the object in its kind's frame, None to leave it away (the pose stays the same kind).
    shape_spread, stature: see `draw_betas`.
    """
    betas = draw_betas(rng, body, shape_spread, stature)
    draft = draw_pose(body, interaction.poses, betas, rng)
    placed = None
    if mesh is not None:
        placed = place_object(draft.figure(with_skin=True), interaction, mesh, rng)
        held = (placed.origin, placed.axes, placed.half)
        for limb, spec in interaction.reach.items():
            place_limb(draft.skeleton, limb, spec, rng.normal(0, 1, 3), rng, held)
    tilt = interaction.tilt + rng.normal(0, 1, 2) * interaction.sway
    group = angles_to_matrix(0, rng.uniform(-180, 180), 0) @ angles_to_matrix(tilt[0], 0, tilt[1])
    heading = group @ angles_to_matrix(0, interaction.facing, 0)[:, 2]
    rests = interaction.ground if mesh is not None else "body"
    return _finish(draft, placed, mesh, group, heading, (rests, interaction.height))


def arrange_alone(
    body: BodyModel,
    poses: tuple[Pose, ...],
    rng: np.random.Generator,
    shape_spread: float = 1.0,
    stature: float = 1.0,
) -> Arrangement:
    """Draw a person without an object, standing on the ground, x = z = 0, any heading."""
    draft = draw_pose(body, poses, draw_betas(rng, body, shape_spread, stature), rng)
    group = angles_to_matrix(0, rng.uniform(-180, 180), 0)
    return _finish(draft, None, None, group, group[:, 2], ("body", 0.0))


def _finish(
    draft: _Draft,
    placed: Placed | None,
    mesh: trimesh.Trimesh | None,
    group: np.ndarray,
    heading: np.ndarray,
    ground: tuple[str, float],
) -> Arrangement:
    """Turn the whole group about the pelvis by `group` (3, 3) and set it on the ground."""
    local = draft.skeleton.local.copy()
    local[0] = group @ local[0]
    vertices = draft.vertices(local)
    pelvis = draft.skeleton.rest[0]
    transform = None
    lowest = []
    if ground[0] in ("body", "both"):
        lowest.append(vertices[:, 1].min())
    if placed is not None:
        about_pelvis = rigid(group, pelvis - group @ pelvis)
        transform = about_pelvis @ placed.transform
        if ground[0] == "afloat":
            lowest.append(transform[1, 3])
        elif ground[0] != "body":
            lowest.append((mesh.vertices @ transform[1, :3] + transform[1, 3]).min())
    translation = np.array([-pelvis[0], ground[1] - min(lowest), -pelvis[2]])
    if transform is not None:
        transform = rigid(np.eye(3), translation) @ transform
    skeleton = Skeleton(draft.skeleton.rest, local)
    person = ScenePerson(
        pose=skeleton.pose().astype(np.float32),
        betas=draft.betas,
        translation=translation.astype(np.float32),
        vertices=(vertices + translation).astype(np.float32),
        joints=(skeleton.forward()[1] + translation).astype(np.float32),
    )
    level = unit(np.array([heading[0], 0.0, heading[2]]))
    return Arrangement(person, transform, level)
