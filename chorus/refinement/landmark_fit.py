"""Bodies fitted to landmarks: pose, shape, place and focal length from a network's answer.

What is known of a person are its landmarks in the image, which lie on it, and in metres, which have
depth; the fit takes the most probable body given both, wide priors of joint angles and the usual
focal length. It stands in for a body regressor (method.md 4), so its shape is the person's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.body.landmarks import BLAZEPOSE, LandmarkSet, body_landmarks
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry.cameras import focal_of_view
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import parallel_projection
from chorus.refinement.articulated import NEAR, moved_by
from chorus.refinement.least_squares import minimise
from chorus.refinement.shaped_chain import carried, moved_by_turning


@dataclass(frozen=True)
class Landmarks:
    """What is known of B persons, N landmarks each (of BlazePose, 33).

    pixels (B, N, 2) image pixels; metres (B, N, 3) in the orientation of a camera that looks
    straight at the person, from the middle of its hips; visibility (B, N) in 0..1; image_size
    (B, 2) width, height, pixels.
    """

    pixels: Float[Tensor, "B N 2"]
    metres: Float[Tensor, "B N 3"]
    visibility: Float[Tensor, "B N"]
    image_size: Float[Tensor, "B 2"]

    def __post_init__(self) -> None:
        count, landmarks = self.pixels.shape[:2]
        shapes = {
            "pixels": (count, landmarks, 2),
            "metres": (count, landmarks, 3),
            "visibility": (count, landmarks),
            "image_size": (count, 2),
        }
        for name, shape in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise BadInput(f"landmarks' {name} must have shape {shape}, found {found}.")


@dataclass(frozen=True)
class FittedBodies:
    """B persons: pose (B, 24, 3) axis-angle, its first row the global rotation as a camera that
    looks straight at the person has it; betas (B, S); R (B, 3, 3), the global rotation in the
    image's camera; root (B, 3) the pelvis joint in that camera, metres; focal (B,) pixels, the
    principal point is the image's middle; error (B,) root mean squared distance of the visible
    landmarks from their pixels, as a share of the person's extent; depth_error (B,) that of the
    landmarks in metres; converged (B,).
    """

    pose: Float[Tensor, "B 24 3"]
    betas: Float[Tensor, "B S"]
    R: Float[Tensor, "B 3 3"]
    root: Float[Tensor, "B 3"]
    focal: Float[Tensor, " B"]
    error: Float[Tensor, " B"]
    depth_error: Float[Tensor, " B"]
    converged: Bool[Tensor, " B"]


@dataclass(frozen=True)
class LandmarkSettings:
    """How bodies are fitted to landmarks: standard deviations, chosen on photographs
    (docs/perception.md)."""

    pixel_sd: float = 0.02
    """Of a landmark that is surely visible, as a share of the person's extent in the image."""
    metre_sd: float = 0.04
    """Of its place relative to the others, metres."""
    hidden_factor: float = 5.0
    """How many times that of a landmark that is surely hidden is."""
    least_visibility: float = 0.3
    """Landmarks below this say nothing of where they are in the image."""
    shape_sd: float = 1.0
    """Of the shape components, whose own deviation among adults is 1."""
    field_of_view: float = 46.4
    """Usual field of view along the image's longer side, degrees."""
    focal_sd: float = 0.1
    """Of the log focal length around that."""
    outlier: float = 3.0
    """Error in standard deviations from which a landmark's pull becomes weaker again (Cauchy)."""
    overstretched: float = 4.0
    """Degrees that cost one standard deviation where a knee or elbow bends the wrong way."""
    max_iterations: int = 40
    """Most Levenberg-Marquardt steps a person."""
    tolerance: float = 1e-4
    """A person has converged when the next step would lower its cost by less than this part."""


@dataclass(frozen=True)
class _Hinge:
    """A limb: the joint that swings it, the one that bends it, its end, and how it bends.

    along: the limb's direction in the rest pose; towards: where the part beyond the lower joint
    goes when it bends.
    """

    upper: str
    lower: str
    end: str
    along: tuple[float, float, float]
    towards: tuple[float, float, float]

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """along, towards, and the axis that the lower joint bends about."""
        along = torch.tensor(self.along, dtype=torch.float64)
        towards = torch.tensor(self.towards, dtype=torch.float64)
        return along, towards, torch.linalg.cross(along, towards)


_HINGES = (
    _Hinge("left_shoulder", "left_elbow", "left_wrist", (1, 0, 0), (0, 0, 1)),
    _Hinge("right_shoulder", "right_elbow", "right_wrist", (-1, 0, 0), (0, 0, 1)),
    _Hinge("left_hip", "left_knee", "left_ankle", (0, -1, 0), (0, 0, -1)),
    _Hinge("right_hip", "right_knee", "right_ankle", (0, -1, 0), (0, 0, -1)),
)
_HIPS = ("left_hip", "right_hip")
_TORSO = ("left_shoulder", "right_shoulder", *_HIPS)

# Deviations of joint angles from the mean pose, degrees about x, y, z of the rest pose.
_ANGLE_SD: dict[str, tuple[float, float, float]] = {
    "pelvis": (90, 90, 90),  # the torso's landmarks say it
    "hip": (50, 25, 25),
    "spine1": (12, 10, 10),
    "spine2": (12, 10, 10),
    "spine3": (12, 10, 10),
    "knee": (60, 8, 5),
    "ankle": (25, 12, 12),
    "foot": (10, 5, 5),
    "neck": (20, 20, 15),
    "collar": (8, 12, 12),
    "head": (20, 20, 15),
    "shoulder": (50, 50, 50),
    "elbow": (40, 60, 8),
    "wrist": (20, 25, 25),
    "hand": (5, 5, 5),
}
_BENT = {"elbow": 40.0, "knee": 20.0}  # degrees: in the mean pose
_LOWERED = 50.0  # degrees: the arms of the mean pose, from the T-pose
_TELLING = 0.3  # sine of a bend from which it tells how far the limb above it is twisted


@dataclass(frozen=True)
class _Problem:
    """What is given, for B persons; K landmarks of the body.

    metres (B, K, 3), metres_sd (B, K); pixels (B, K, 2) from the principal point, pixels_sd (B, K);
    sd are infinite where not used. rotations (B, 24, 3, 3): the mean pose, its root from the torso;
    turn (B, 3, 3): from the straight camera to the image's; mean, prior_sd (B, D).
    """

    metres: Float[Tensor, "B K 3"]
    metres_sd: Float[Tensor, "B K"]
    pixels: Float[Tensor, "B K 2"]
    pixels_sd: Float[Tensor, "B K"]
    rotations: Float[Tensor, "B 24 3 3"]
    turn: Float[Tensor, "B 3 3"]
    mean: Float[Tensor, "B D"]
    prior_sd: Float[Tensor, "B D"]

    def take(self, persons: Int[Tensor, " P"]) -> _Problem:
        """The same for some of the persons."""
        return replace(self, **{name: value[persons] for name, value in vars(self).items()})

    def centred(self, points: Float[Tensor, "B K *rest"]) -> Float[Tensor, "B K *rest"]:
        """Vectors of the landmarks less their mean, weighted as the landmarks in metres are."""
        weight = self.metres_sd.square().reciprocal()
        weight = (weight / weight.sum(-1, keepdim=True)).view(
            *weight.shape, *[1] * (points.ndim - 2)
        )
        return points - (weight * points).sum(1, keepdim=True)


@dataclass(frozen=True)
class _View:
    """A body where some unknowns put it.

    turns (B, 24, 3, 3), places (B, 24, 3) of the joints and points (B, K, 3), from the root, as the
    straight camera has them; by_shape (B, K, 3, S) the points' derivatives; camera (B, K, 3) the
    points in the image's camera; root (B, 3) likewise; focal (B,) pixels.
    """

    rotations: Float[Tensor, "B 24 3 3"]
    turns: Float[Tensor, "B 24 3 3"]
    places: Float[Tensor, "B 24 3"]
    points: Float[Tensor, "B K 3"]
    by_shape: Float[Tensor, "B K 3 S"]
    camera: Float[Tensor, "B K 3"]
    root: Float[Tensor, "B 3"]
    focal: Float[Tensor, " B"]

    def pixels(self) -> Float[Tensor, "B K 2"]:
        """Pixels from the principal point."""
        depth = self.camera[..., 2:].clamp(min=NEAR)
        return self.focal[:, None, None] * self.camera[..., :2] / depth


class LandmarkFitter:
    """Fits one body model to the landmarks of any number of persons, which are of one set.

    The unknowns of a person, one vector of D numbers: for every joint a rotation vector away from
    the mean pose, the shape, the root's pixel (u, v), log(depth / focal length), log focal length.
    """

    def __init__(
        self,
        body: BodyModel,
        settings: LandmarkSettings | None = None,
        landmarks: LandmarkSet = BLAZEPOSE,
    ):
        self.settings = settings or LandmarkSettings()
        self._set = landmarks
        self._parents = body.parents
        self._on_body = on_body = body_landmarks(body, landmarks)
        joints = body.rest()[1].double()
        dirs = body.joint_shapedirs.double()
        # What a shape adds to a bone is linear, so both are carried along as columns.
        self._joints = torch.cat([joints[..., None], dirs], -1)
        points = torch.cat([on_body.rest[..., None], on_body.shapedirs], -1)
        self._offsets = points - self._joints[on_body.carrier]
        self._shapes = dirs.shape[-1]
        self._mean_pose = _mean_pose().to(joints)
        self._bends = self._stretching().to(joints)
        self._slack = torch.tensor([_BENT[hinge.lower.split("_")[1]] for hinge in _HINGES])
        self._slack = self._slack.to(joints) / self.settings.overstretched
        moves = moved_by(on_body.carrier.tolist(), self._parents)
        self._moves = moves.to(joints.device)

    def __call__(self, given: Landmarks) -> FittedBodies:
        """Fit every person; computes in float64 and answers in the type of the pixels.

        A person that is not finite comes out as NaN. BadInput for landmarks of another set.
        """
        if given.pixels.shape[1] != self._set.count:
            raise BadInput(
                f"{self._set.name} has {self._set.count} landmarks; found {given.pixels.shape[1]}."
            )
        dtype = given.pixels.dtype
        values = {name: value.double() for name, value in vars(given).items()}
        finite = torch.stack([v.flatten(1).isfinite().all(1) for v in values.values()]).all(0)
        kept = {
            name: torch.where(finite.view(-1, *[1] * (v.ndim - 1)), v, torch.ones_like(v))
            for name, v in values.items()
        }
        problem, extent = self._problem(Landmarks(**kept))
        start = self._start(problem)
        steps, tolerance = self.settings.max_iterations, self.settings.tolerance
        solution = minimise(self, problem, start, finite, steps, tolerance)
        view = self._view(problem, solution.x)
        answer = {
            "pose": roma.rotmat_to_rotvec(view.rotations),
            "betas": self._betas(solution.x),
            "R": problem.turn @ view.rotations[:, 0],
            "root": view.root,
            "focal": view.focal,
            "error": _rms(view.pixels() - problem.pixels, problem.pixels_sd) / extent,
            "depth_error": _rms(problem.centred(view.points - problem.metres), problem.metres_sd),
        }
        nan = torch.where(finite, 1.0, torch.nan).to(start)
        return FittedBodies(
            **{n: (nan.view(-1, *[1] * (v.ndim - 1)) * v).to(dtype) for n, v in answer.items()},
            converged=solution.converged,
        )

    # The least-squares problem

    def cost(self, problem: _Problem, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Minus twice the log posterior (B,), up to a constant."""
        view = self._view(problem, x)
        bend = self.settings.outlier**2
        away = ((x - problem.mean) / problem.prior_sd).square().sum(-1)
        cost = away + self._overstretched(x).square().sum(-1)
        for error, sd in self._errors(problem, view):
            squared = (error / sd[..., None]).square().sum(-1)
            cost = cost + (bend * torch.log1p(squared / bend)).sum(-1)
        too_near = ((view.camera[..., 2] < NEAR) & problem.pixels_sd.isfinite()).any(-1)
        return cost.masked_fill(too_near, torch.inf)

    def normal_equations(
        self, problem: _Problem, x: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
        """J^T W J and J^T W e of the cost; W are Cauchy's weights."""
        view = self._view(problem, x)
        information = problem.prior_sd.square().reciprocal()
        over = self._overstretched(x)
        slope = (over < 0)[..., None] * self._bends
        H = torch.diag_embed(information) + slope.mT @ slope
        g = information * (x - problem.mean) + over @ self._bends
        for J, (error, sd) in zip(
            self._jacobians(problem, x, view), self._errors(problem, view), strict=True
        ):
            error = error / sd[..., None]
            root = (1 + error.square().sum(-1) / self.settings.outlier**2).rsqrt()
            J = (J * (root / sd)[..., None, None]).flatten(1, 2)
            H = H + J.mT @ J
            g = g + (J.mT @ (error * root[..., None]).flatten(1)[..., None])[..., 0]
        return H, g

    def _errors(self, problem: _Problem, view: _View) -> list[tuple[Tensor, Tensor]]:
        """Errors (B, K, n) and their deviations (B, K): in metres, in pixels."""
        return [
            (problem.centred(view.points - problem.metres), problem.metres_sd),
            (view.pixels() - problem.pixels, problem.pixels_sd),
        ]

    def _overstretched(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """How far each hinge bends the wrong way, in standard deviations; not above zero."""
        return (self._slack + x @ self._bends.T).clamp(max=0)

    def _jacobians(
        self, problem: _Problem, x: Float[Tensor, "B D"], view: _View
    ) -> list[Float[Tensor, "B K n D"]]:
        """Derivatives of both kinds of errors by the unknowns."""
        turns = x[:, : 3 * len(self._parents)].unflatten(1, (-1, 3))
        by_joint = moved_by_turning(view.turns, view.places, view.points, self._moves, turns)
        by_body = torch.cat([by_joint, view.by_shape], -1)
        metres = problem.centred(by_body)
        metres = torch.nn.functional.pad(metres, (0, 4))

        depth = view.camera[..., 2].clamp(min=NEAR)
        pixels = view.pixels()
        by_camera = torch.eye(2, 3).to(x).expand(*pixels.shape, 3).clone()
        by_camera[..., 2] = -pixels / view.focal[:, None, None]
        by_camera = by_camera * (view.focal[:, None] / depth)[..., None, None]
        size = x[:, -2].exp()
        zero = torch.zeros_like(size)
        along = view.root[:, 2]
        by_root = torch.stack(
            [
                torch.stack([size, zero, zero], -1),
                torch.stack([zero, size, zero], -1),
                view.root,
                torch.stack([zero, zero, along], -1),
            ],
            -1,
        )
        by_place = by_camera @ by_root[:, None]
        by_place = torch.cat([by_place[..., :3], by_place[..., 3:] + pixels[..., None]], -1)
        by_body = by_camera @ (problem.turn[:, None] @ by_body)
        return [metres, torch.cat([by_body, by_place], -1)]

    def _view(self, problem: _Problem, x: Float[Tensor, "B D"]) -> _View:
        """The body where the unknowns put it."""
        count = len(self._parents)
        turned = roma.rotvec_to_rotmat(x[:, : 3 * count].unflatten(1, (-1, 3)))
        rotations = problem.rotations @ turned
        chain = carried(
            rotations, self._joints, self._offsets, self._on_body.carrier, self._parents
        )
        shaped = torch.cat([torch.ones_like(x[:, :1]), self._betas(x)], -1)[:, None, :, None]
        focal = x[:, -1].exp()
        root = _root(x)
        flat = (chain.points @ shaped)[..., 0]
        return _View(
            rotations=rotations,
            turns=chain.turns,
            places=(chain.places @ shaped)[..., 0],
            points=flat,
            by_shape=chain.points[..., 1:],
            camera=flat @ problem.turn.mT + root[:, None],
            root=root,
            focal=focal,
        )

    def _betas(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B S"]:
        return x[:, -4 - self._shapes : -4]

    def _stretching(self) -> Float[Tensor, "H D"]:
        """How a hinge's bend grows with the unknowns, in standard deviations of being too far."""
        bends = torch.zeros(len(_HINGES), 3 * len(self._parents) + self._shapes + 4)
        for row, hinge in zip(bends, _HINGES, strict=True):
            at = 3 * JOINT_NAMES.index(hinge.lower)
            row[at : at + 3] = hinge.directions()[2]
        return bends / math.radians(self.settings.overstretched)

    # What is known, and where to begin

    def _problem(self, given: Landmarks) -> tuple[_Problem, Float[Tensor, " B"]]:
        """The least-squares problem, and the persons' extents (B,) in pixels."""
        settings = self.settings
        on_body = list(self._on_body.numbers)
        centre = given.image_size / 2
        visible = given.visibility[:, on_body].clamp(0, 1)
        pixels, metres = given.pixels[:, on_body], given.metres[:, on_body]
        seen = visible >= settings.least_visibility
        seen |= ~seen.any(-1, keepdim=True)  # of a person that is nowhere sure, everything counts
        extent = _extent(pixels, seen)
        factor = 1 + (settings.hidden_factor - 1) * (1 - visible)
        pixels_sd = settings.pixel_sd * extent[:, None] * factor
        hips = [self._set.number(joint) for joint in _HIPS]
        middle = given.pixels[:, hips].mean(1) - centre
        focal = focal_of_view(math.radians(settings.field_of_view)) * given.image_size.amax(-1)
        ray = torch.cat([middle / focal[:, None], torch.ones_like(focal[:, None])], -1)
        rotations = self._mean_pose.expand(len(pixels), -1, -1, -1).clone()
        torso = [on_body.index(self._set.number(joint)) for joint in _TORSO]
        rotations[:, 0] = _registered(self._on_body.rest[torso], metres[:, torso])
        pixels = pixels - centre[:, None]
        scale, shift = parallel_projection(
            metres, pixels, torch.eye(3).to(metres).expand(len(metres), 3, 3), seen / factor
        )
        scale = torch.maximum(scale, 1e-2 * extent)
        shapes = torch.zeros(len(pixels), 3 * len(self._parents) + self._shapes).to(pixels)
        place = torch.cat([shift, -scale.log()[:, None], focal.log()[:, None]], -1)
        return _Problem(
            metres=metres,
            metres_sd=settings.metre_sd * factor,
            pixels=pixels,
            pixels_sd=torch.where(seen, pixels_sd, torch.inf),
            rotations=rotations,
            turn=turn_to_ray(ray),
            mean=torch.cat([shapes, place], -1),
            prior_sd=self._prior_sd(extent),
        ), extent

    def _prior_sd(self, extent: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Standard deviations (B, D) of the unknowns."""
        angles = [_ANGLE_SD[name.split("_")[-1]] for name in JOINT_NAMES]
        sd = torch.tensor(angles, dtype=torch.float64).deg2rad().flatten()
        sd = torch.cat([sd, torch.full((self._shapes,), self.settings.shape_sd)]).to(extent)
        one = torch.ones_like(extent)
        place = torch.stack([extent, extent, one, self.settings.focal_sd * one], -1)
        return torch.cat([sd.expand(len(extent), -1), place], -1)

    def _start(self, problem: _Problem) -> Float[Tensor, "B D"]:
        """The prior's mean with limbs that point where the landmarks in metres are."""
        start = problem.mean.clone()
        place = {number: at for at, number in enumerate(self._on_body.numbers)}
        root = problem.rotations[:, 0]
        for hinge in _HINGES:
            joints = (hinge.upper, hinge.lower, hinge.end)
            a, b, c = (problem.metres[:, place[self._set.number(joint)]] for joint in joints)
            swing, bend = _limb(hinge, b - a, c - b, root)
            for name, rotation in ((hinge.upper, swing), (hinge.lower, bend)):
                joint = JOINT_NAMES.index(name)
                away = problem.rotations[:, joint].mT @ rotation
                start[:, 3 * joint : 3 * joint + 3] = roma.rotmat_to_rotvec(away)
        return start


def _mean_pose() -> Float[Tensor, "24 3 3"]:
    """Arms lowered, elbows and knees a little bent."""
    pose = torch.zeros(len(JOINT_NAMES), 3, dtype=torch.float64)
    for side, sign in (("left", -1), ("right", 1)):
        pose[JOINT_NAMES.index(f"{side}_shoulder"), 2] = sign * math.radians(_LOWERED)
    for hinge in _HINGES:
        bent = math.radians(_BENT[hinge.lower.split("_")[1]])
        pose[JOINT_NAMES.index(hinge.lower)] = bent * hinge.directions()[2]
    return roma.rotvec_to_rotmat(pose)


def _limb(
    hinge: _Hinge,
    upper: Float[Tensor, "B 3"],
    lower: Float[Tensor, "B 3"],
    parent: Float[Tensor, "B 3 3"],
) -> tuple[Float[Tensor, "B 3 3"], Float[Tensor, "B 3 3"]]:
    """Rotations of a limb's two joints under which its parts point along `upper` and `lower`.

    The upper one is twisted so that the lower one is a hinge, as far as its bend tells.
    """
    along, towards, _ = (value.to(upper) for value in hinge.directions())
    swing = _shortest(along.expand_as(upper), (parent.mT @ upper[..., None])[..., 0])
    below = ((parent @ swing).mT @ lower[..., None])[..., 0]
    below = torch.nn.functional.normalize(below, dim=-1)
    aside = below - (below @ along)[:, None] * along
    angle = torch.atan2(
        torch.linalg.cross(towards.expand_as(aside), aside) @ along, aside @ towards
    )
    told = (aside.norm(dim=-1) / _TELLING).clamp(max=1)
    twist = roma.rotvec_to_rotmat((told * angle)[:, None] * along)
    below = (twist.mT @ below[..., None])[..., 0]
    return swing @ twist, _shortest(along.expand_as(below), below)


def _shortest(a: Float[Tensor, "B 3"], b: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """The shortest rotations that take directions a to directions b."""
    axis = torch.linalg.cross(a, b)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (a * b).sum(-1, keepdim=True))
    return roma.rotvec_to_rotmat(angle * axis / sine.clamp(min=1e-9))


def _registered(rest: Float[Tensor, "P 3"], seen: Float[Tensor, "B P 3"]) -> Float[Tensor, "B 3 3"]:
    """The rotations that bring points of the rest pose closest to where they are seen."""
    return roma.rigid_points_registration(rest.expand_as(seen), seen)[0]


def _extent(pixels: Float[Tensor, "B K 2"], seen: Bool[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """Longer side (B,) of the box around the landmarks that are seen; at least a pixel."""
    high = pixels.masked_fill(~seen[..., None], -torch.inf).amax(1)
    low = pixels.masked_fill(~seen[..., None], torch.inf).amin(1)
    return (high - low).amax(-1).clamp(min=1)


def _root(x: Float[Tensor, "B D"]) -> Float[Tensor, "B 3"]:
    """The root in the image's camera, metres."""
    u, v, q, log_focal = x[:, -4:].unbind(-1)
    return torch.stack([u, v, log_focal.exp()], -1) * q.exp()[:, None]


def _rms(error: Float[Tensor, "B K n"], sd: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """Weighted root mean squared length of errors."""
    weight = sd.square().reciprocal()
    return ((weight * error.square().sum(-1)).sum(-1) / weight.sum(-1)).sqrt()
