"""Hands fitted to 21 landmarks: pose, shape and place from a network's answer.

Known of a hand are its landmarks in the image, which lie on it, and in metres, which have depth.
The fit takes the most probable hand given both, with wide priors of joint angles, by a parallel
projection; a usual focal length then says how far away it is. Left hands are mirrored, fitted as
right ones and mirrored back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.errors import BadInput
from chorus.geometry.cameras import focal_of_view
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import parallel_projection
from chorus.hands.hand_model import HandModel, mirror_pose
from chorus.hands.joints import JOINT_COUNT, JOINT_NAMES, ORDERS, PARENTS, TIP_FINGERS, places
from chorus.refinement.articulated import moved_by
from chorus.refinement.least_squares import minimise
from chorus.refinement.shaped_chain import carried, moved_by_turning


@dataclass(frozen=True)
class HandLandmarks:
    """What is known of B hands; landmarks in FreiHAND's order.

    pixels (B, 21, 2) image pixels; metres (B, 21, 3) in the orientation of a camera that looks
    straight at the hand (x right, y down, z away), about any point; right (B,) whether it is a
    right hand; image_size (B, 2) width, height, pixels.
    """

    pixels: Float[Tensor, "B 21 2"]
    metres: Float[Tensor, "B 21 3"]
    right: Bool[Tensor, " B"]
    image_size: Float[Tensor, "B 2"]

    def __post_init__(self) -> None:
        count = len(self.pixels)
        shapes = {"pixels": (count, 21, 2), "metres": (count, 21, 3), "right": (count,),
                  "image_size": (count, 2)}  # fmt: skip
        for name, shape in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise BadInput(f"hand landmarks' {name} must have shape {shape}, found {found}.")


@dataclass(frozen=True)
class FittedHands:
    """B hands; of left ones everything is in terms of the left hand model.

    pose (B, 16, 3) absolute axis-angle, the first row the global rotation in the image's camera;
    betas (B, S); root (B, 3) the wrist joint in that camera, metres; focal (B,) pixels, the
    principal point is the image's middle; error (B,) root mean squared distance of the landmarks
    from their pixels, as a share of the hand's extent; depth_error (B,) that of the landmarks in
    metres; converged (B,).
    """

    pose: Float[Tensor, "B 16 3"]
    betas: Float[Tensor, "B S"]
    root: Float[Tensor, "B 3"]
    focal: Float[Tensor, " B"]
    error: Float[Tensor, " B"]
    depth_error: Float[Tensor, " B"]
    converged: Bool[Tensor, " B"]


@dataclass(frozen=True)
class HandFitSettings:
    """How hands are fitted to landmarks."""

    pixel_sd: float = 0.04
    """Standard deviation of a landmark in the image, as a share of the hand's extent."""
    metre_sd: float = 0.007
    """Of its place relative to the others, metres."""
    shape_sd: float = 1.0
    """Of the shape components, whose own deviation among adults is 1."""
    field_of_view: float = 46.4
    """Usual field of view along the image's longer side, degrees."""
    max_iterations: int = 40
    """Most Levenberg-Marquardt steps a hand."""
    tolerance: float = 1e-5
    """A hand has converged when the next step would lower its cost by less than this part."""


# Deviations of joint angles from the mean pose, degrees about x (twist), y (to the side), z (bend).
_ANGLE_SD = {
    "wrist": (180, 180, 180),  # the palm's landmarks say it
    "1": (8, 15, 45),
    "2": (4, 4, 45),
    "3": (4, 4, 35),
    "thumb1": (30, 30, 30),
    "thumb2": (12, 25, 25),
    "thumb3": (8, 35, 35),
}
_PALM = ("wrist", "index1", "middle1", "ring1", "pinky1")
_SHARE = 1e-2  # of the extent: the least size of a hand's palm in the image


@dataclass(frozen=True)
class _Problem:
    """B right hands: metres (B, 21, 3), pixels (B, 21, 2), pixel_sd (B,), rotations (B, 16, 3, 3)
    the mean pose with the palm's orientation, prior_sd (B, D) about zero."""

    metres: Float[Tensor, "B 21 3"]
    pixels: Float[Tensor, "B 21 2"]
    pixel_sd: Float[Tensor, " B"]
    rotations: Float[Tensor, "B 16 3 3"]
    prior_sd: Float[Tensor, "B D"]

    def take(self, persons: Int[Tensor, " P"]) -> _Problem:
        """The same for some of the hands."""
        return replace(self, **{name: value[persons] for name, value in vars(self).items()})


@dataclass(frozen=True)
class _View:
    """A hand where some unknowns put it: turns, places of joints, points (B, 21, 3) and their
    derivatives by shape (B, 21, 3, S), from the wrist, in the straight camera's orientation."""

    rotations: Float[Tensor, "B 16 3 3"]
    turns: Float[Tensor, "B 16 3 3"]
    places: Float[Tensor, "B 16 3"]
    points: Float[Tensor, "B 21 3"]
    by_shape: Float[Tensor, "B 21 3 S"]


class HandFitter:
    """Fits a right hand, or its mirror image, to the landmarks of any number of hands.

    The unknowns of a hand, one vector of D numbers: for every joint a rotation vector away from the
    mean pose, the shape, log pixels per metre, and the wrist's pixel (u, v).
    """

    def __init__(self, hand: HandModel, settings: HandFitSettings | None = None):
        if hand.side != "right":
            raise BadInput(f"hands are fitted by a right hand model; {hand.name} is a left one.")
        self.settings = settings or HandFitSettings()
        joints = hand.rest()[1].double()
        dirs = hand.joint_shapedirs.double()
        self._shapes = dirs.shape[-1]
        self._joints = torch.cat([joints[..., None], dirs], -1)
        tips = hand.tips(hand.v_template).double()
        tip_dirs = hand.tips(hand.shapedirs.movedim(-1, 0)).double().movedim(0, -1)
        # a joint moves with its parent; the wrist, and tips, with themselves and their last joint
        carrier, offsets, moving = [], [], []
        for name in ORDERS["freihand"]:
            finger, _, end = name.partition("_")
            joint = JOINT_NAMES.index(f"{finger}3" if end else name)
            carrier.append(joint)
            moving.append(joint if end or joint == 0 else PARENTS[joint])
            if end:
                tip = TIP_FINGERS.index(finger)
                columns = torch.cat([tips[tip][:, None], tip_dirs[tip]], -1)
                offsets.append(columns - self._joints[joint])
            else:
                offsets.append(torch.zeros_like(self._joints[0]))
        self._carrier = torch.tensor(carrier)
        self._offsets = torch.stack(offsets)
        self._moves = moved_by(moving, PARENTS).double()
        mean = torch.cat([torch.zeros(1, 3), hand.mean_pose.cpu()]).double()
        self._mean = roma.rotvec_to_rotmat(mean)

    def __call__(self, given: HandLandmarks) -> FittedHands:
        """Fit every hand; computes in float64 and answers in the type of the pixels. A hand that is
        not finite comes out as NaN."""
        dtype = given.pixels.dtype
        pixels, metres = given.pixels.double(), given.metres.double()
        finite = pixels.isfinite().flatten(1).all(1) & metres.isfinite().flatten(1).all(1)
        pixels, metres = (
            torch.where(finite[:, None, None], v, torch.ones_like(v)) for v in (pixels, metres)
        )
        side = torch.where(given.right, 1.0, -1.0).double()
        sign = torch.stack([side, torch.ones_like(side), torch.ones_like(side)], -1)[:, None]
        centre = given.image_size.double() / 2
        problem, extent = self._problem((pixels - centre[:, None]) * sign[..., :2], metres * sign)
        start = self._start(problem)
        steps, tolerance = self.settings.max_iterations, self.settings.tolerance
        solution = minimise(self, problem, start, finite, steps, tolerance)
        view = self._view(problem, solution.x)
        seen, deep = self._errors(problem, solution.x, view)
        answer = {
            **self._placed(solution.x, view, given, sign[:, 0]),
            "betas": solution.x[:, 3 * JOINT_COUNT : -3],
            "error": seen.square().sum(-1).mean(-1).sqrt() / extent,
            "depth_error": deep.square().sum(-1).mean(-1).sqrt(),
        }
        nan = torch.where(finite, 1.0, torch.nan).to(start)
        return FittedHands(
            **{n: (nan.view(-1, *[1] * (v.ndim - 1)) * v).to(dtype) for n, v in answer.items()},
            converged=solution.converged,
        )

    def _placed(
        self, x: Float[Tensor, "B D"], view: _View, given: HandLandmarks, sign: Float[Tensor, "B 3"]
    ) -> dict[str, Tensor]:
        """pose, root and focal in the image's camera, of hands mirrored back where they were."""
        size = given.image_size.double()
        focal = focal_of_view(math.radians(self.settings.field_of_view)) * size.amax(-1)
        wrist = x[:, -2:] * sign[:, :2]
        depth = focal / x[:, -3].exp()
        ray = torch.cat([wrist / focal[:, None], torch.ones_like(focal)[:, None]], -1)
        pose = roma.rotmat_to_rotvec(view.rotations)
        pose = torch.where(sign[:, None, :1] < 0, mirror_pose(pose), pose)
        turned = turn_to_ray(ray) @ roma.rotvec_to_rotmat(pose[:, 0])
        pose = torch.cat([roma.rotmat_to_rotvec(turned)[:, None], pose[:, 1:]], 1)
        return {"pose": pose, "root": ray * depth[:, None], "focal": focal}

    # The least-squares problem

    def cost(self, problem: _Problem, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Minus twice the log posterior (B,), up to a constant."""
        seen, deep = self._errors(problem, x, self._view(problem, x))
        cost = (x / problem.prior_sd).square().sum(-1)
        cost = cost + (seen / problem.pixel_sd[:, None, None]).square().sum((1, 2))
        return cost + (deep / self.settings.metre_sd).square().sum((1, 2))

    def normal_equations(
        self, problem: _Problem, x: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
        """J^T W J and J^T W e of the cost."""
        view = self._view(problem, x)
        information = problem.prior_sd.square().reciprocal()
        H, g = torch.diag_embed(information), information * x
        turns = x[:, : 3 * JOINT_COUNT].unflatten(1, (-1, 3))
        by_joint = moved_by_turning(view.turns, view.places, view.points, self._moves, turns)
        by_hand = torch.nn.functional.pad(torch.cat([by_joint, view.by_shape], -1), (0, 3))
        scale = x[:, -3].exp()[:, None, None, None]
        by_place = scale * by_hand[:, :, :2]
        by_place[..., -3] += scale[..., 0] * view.points[..., :2]
        by_place[:, :, 0, -2] += 1
        by_place[:, :, 1, -1] += 1
        sds = (problem.pixel_sd[:, None, None], torch.full_like(scale[..., 0],
               self.settings.metre_sd))  # fmt: skip
        jacobians = (by_place, by_hand - by_hand.mean(1, keepdim=True))
        for J, error, sd in zip(jacobians, self._errors(problem, x, view), sds, strict=True):
            J = (J / sd[..., None]).flatten(1, 2)
            H = H + J.mT @ J
            g = g + (J.mT @ (error / sd).flatten(1)[..., None])[..., 0]
        return H, g

    def _errors(
        self, problem: _Problem, x: Float[Tensor, "B D"], view: _View
    ) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 21 3"]]:
        """Of the landmarks in pixels, and in metres about their mean."""
        projected = x[:, -3].exp()[:, None, None] * view.points[..., :2] + x[:, None, -2:]
        off = view.points - problem.metres
        return projected - problem.pixels, off - off.mean(1, keepdim=True)

    def _view(self, problem: _Problem, x: Float[Tensor, "B D"]) -> _View:
        turned = roma.rotvec_to_rotmat(x[:, : 3 * JOINT_COUNT].unflatten(1, (-1, 3)))
        rotations = problem.rotations @ turned
        chain = carried(rotations, self._joints, self._offsets, self._carrier, PARENTS)
        betas = x[:, 3 * JOINT_COUNT : -3]
        shaped = torch.cat([torch.ones_like(x[:, :1]), betas], -1)[:, None, :, None]
        return _View(
            rotations=rotations,
            turns=chain.turns,
            places=(chain.places @ shaped)[..., 0],
            points=(chain.points @ shaped)[..., 0],
            by_shape=chain.points[..., 1:],
        )

    # What is known, and where to begin

    def _problem(
        self, pixels: Float[Tensor, "B 21 2"], metres: Float[Tensor, "B 21 3"]
    ) -> tuple[_Problem, Float[Tensor, " B"]]:
        """The problem, and the hands' extents (B,) in pixels."""
        extent = (pixels.amax(1) - pixels.amin(1)).amax(-1).clamp(min=1)
        palm = places(_PALM)
        rest = self._joints[self._carrier[palm], :, 0]
        rotations = self._mean.expand(len(pixels), -1, -1, -1).clone()
        seen = metres[:, palm]
        rotations[:, 0] = roma.rigid_points_registration(rest.expand_as(seen), seen)[0]
        sd = torch.tensor([_angle_sd(name) for name in JOINT_NAMES]).double().deg2rad().flatten()
        sd = torch.cat([sd, torch.full((self._shapes,), self.settings.shape_sd).double()])
        sd = torch.cat([sd, torch.full((3,), 1e6).double()])  # the place is the pixels' to say
        problem = _Problem(
            metres=metres,
            pixels=pixels,
            pixel_sd=self.settings.pixel_sd * extent,
            rotations=rotations,
            prior_sd=sd.expand(len(pixels), -1),
        )
        return problem, extent

    def _start(self, problem: _Problem) -> Float[Tensor, "B D"]:
        """The mean pose with fingers bent as far as the landmarks in metres say, and its place."""
        x = torch.zeros_like(problem.prior_sd)
        for finger in TIP_FINGERS[:4]:
            chain = [f"{finger}{end}" for end in ("1", "2", "3", "_tip")]
            bones = problem.metres[:, places(chain)].diff(dim=1)
            for number in (1, 2):
                bend = _angle_between(bones[:, number - 1], bones[:, number])
                joint = JOINT_NAMES.index(chain[number])
                x[:, 3 * joint + 2] = bend - self._bend_of_mean(joint)
        view = self._view(problem, x)
        eye = torch.eye(3).to(x).expand(len(x), 3, 3)
        weights = torch.ones_like(problem.pixels[..., 0])
        scale, shift = parallel_projection(view.points, problem.pixels, eye, weights)
        extent = problem.pixel_sd / self.settings.pixel_sd
        x[:, -3] = torch.maximum(scale, _SHARE * extent).log()
        x[:, -2:] = shift
        return x

    def _bend_of_mean(self, joint: int) -> float:
        return float(roma.rotmat_to_rotvec(self._mean[joint])[2])


def _angle_between(a: Float[Tensor, "B 3"], b: Float[Tensor, "B 3"]) -> Float[Tensor, " B"]:
    """Angles (B,) between vectors, radians."""
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))


def _angle_sd(joint: str) -> tuple[int, int, int]:
    return _ANGLE_SD[joint] if joint in _ANGLE_SD else _ANGLE_SD[joint[-1]]
