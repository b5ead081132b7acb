"""Persons fitted to their detected 2D keypoints by maximum a posteriori (method.md 5b).

A regressor's person has a plausible pose but does not lie on the person in the image; keypoints lie
there but know no depth. The fit takes the pose and camera that are most probable given both: the
zero-shape body (which is what the canonical space is made of) before a pinhole camera, the
regressor's rotations and the usual focal length as the prior, the keypoints as the observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.body.keypoints import BODY_KEYPOINTS, KEYPOINT_NAMES, face_vertices
from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.geometry.failures import first_reasons
from chorus.geometry.weak_perspective import parallel_projection
from chorus.refinement.articulated import NEAR, ArticulatedFit, Problem, Skeleton, View
from chorus.refinement.least_squares import Solution, minimise
from chorus.refinement.settings import RefinementSettings

NOT_FINITE = "not finite"
NO_KEYPOINTS = "no keypoints"
NOT_CONVERGED = "did not converge"

FAILURES = (NOT_FINITE, NO_KEYPOINTS, NOT_CONVERGED)
"""What can be said against a fit. The first leaves none, the second the start, the third the best
that was found."""

_HEAD = JOINT_NAMES.index("head")
_FACE = len(KEYPOINT_NAMES) - len(BODY_KEYPOINTS)
_SPINE = ("spine1", "spine2", "spine3", "left_collar", "right_collar")
_STIFF = 0.5  # their standard deviation, as a share of other joints'
_CONFIDENT, _MIDDLING = 0.9, 0.75  # confidences from which, and below which, the deviation is fixed
_FALLBACK = 0.05  # weight of a regressor's joint where the start is placed; a keypoint's is 1
_FAR_OFF = 0.05  # share of the extent: what is that far off there has half of its weight


@dataclass(frozen=True)
class Refinement:
    """B persons fitted: the pose and a camera from the body frame (docs/conventions.md).

    pose (B, 24, 3) axis-angle, its first row the rotation vector of R; R (B, 3, 3), t (B, 3)
    metres, K (B, 3, 3) pixels; residual_before (B,) and residual (B,): root of the weighted mean
    squared distance of the keypoints from their detections at the start and at the end, as a share
    of the person's extent, NaN without keypoints; iterations (B,); converged (B,); failure: per
    person one of FAILURES or "". A person that is not finite is NaN.
    """

    pose: Float[Tensor, "B 24 3"]
    R: Float[Tensor, "B 3 3"]
    t: Float[Tensor, "B 3"]
    K: Float[Tensor, "B 3 3"]
    residual_before: Float[Tensor, " B"]
    residual: Float[Tensor, " B"]
    iterations: Int[Tensor, " B"]
    converged: Bool[Tensor, " B"]
    failure: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What is known of B persons.

    pose (B, 24, 3) the regressor's axis-angle pose, the first row the global rotation as the crop
    has it; joints3d (B, J, 3) joints of the zero-shape body in that pose with zero global rotation,
    metres, and joints2d (B, J, 2) where the regressor sees them, pixels; keypoints (B, 17, 3) x, y,
    confidence; extent (B,) longer side of the person's box, pixels; image_size (B, 2) width,
    height, pixels.
    """

    pose: Float[Tensor, "B 24 3"]
    joints3d: Float[Tensor, "B J 3"]
    joints2d: Float[Tensor, "B J 2"]
    keypoints: Float[Tensor, "B 17 3"]
    extent: Float[Tensor, " B"]
    image_size: Float[Tensor, "B 2"]

    def __post_init__(self) -> None:
        persons, joints = self.joints2d.shape[:2]
        shapes = {
            "pose": (persons, 24, 3),
            "joints3d": (persons, joints, 3),
            "joints2d": (persons, joints, 2),
            "keypoints": (persons, len(KEYPOINT_NAMES), 3),
            "extent": (persons,),
            "image_size": (persons, 2),
        }
        for name, shape in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise BadInput(
                    f"refinement input {name} must have shape {shape} to match joints2d (B, J, 2), "
                    f"found {found}."
                )

    def usable(self) -> tuple[Evidence, Bool[Tensor, " B"]]:
        """In float64, with whoever is not finite replaced by ones, and who is not."""
        values = {name: value.double() for name, value in vars(self).items()}
        good = (values["extent"] > 0) & (values["image_size"] > 0).all(-1)
        for name, value in values.items():
            if name != "keypoints":
                good &= value.isfinite().view(len(good), math.prod(value.shape[1:])).all(-1)
        kept = {
            name: torch.where(good.view(-1, *[1] * (value.ndim - 1)), value, torch.ones_like(value))
            for name, value in values.items()
        }
        return Evidence(**kept), good


def keypoint_sd(given: Evidence, settings: RefinementSettings) -> Float[Tensor, "B 17"]:
    """Standard deviations (B, 17) of keypoints in pixels, infinite for those that are not used.

    settings.keypoint_sd of the extent for confident ones, doubtful_factor as much for those of
    middling confidence, between them the same ratio for equal steps of confidence. Not used are
    keypoints without confidence, and those farther outside the image than the person is large.
    """
    place, confidence = given.keypoints[..., :2], given.keypoints[..., 2]
    doubt = ((_CONFIDENT - confidence) / (_CONFIDENT - _MIDDLING)).clamp(0, 1)
    extent = given.extent[:, None]
    sd = settings.keypoint_sd * settings.doubtful_factor**doubt * extent
    around = (place >= -extent[..., None]) & (place <= (given.image_size + extent)[:, None])
    used = around.all(-1) & (confidence >= settings.least_confidence)  # False for NaN
    return torch.where(used, sd, torch.inf)


def keypoint_skeleton(body: BodyModel) -> Skeleton:
    """The zero-shape body's joints with COCO's 17 keypoints, in float64."""
    rest = body.rest()[1].double()
    carrier = torch.tensor([_HEAD] * _FACE + BODY_KEYPOINTS, device=rest.device)
    offset = torch.zeros(len(carrier), 3).to(rest)
    if _has_face(body):
        face = body.v_template[torch.from_numpy(face_vertices(body))]
        offset[:_FACE] = face.double() - rest[_HEAD]
    return Skeleton(rest, body.parents, carrier, offset)


def _has_face(body: BodyModel) -> bool:
    """Whether any of the body's vertices belong to its head."""
    return bool((body.part_of_vertex == _HEAD).any())


class Refiner:
    """Fits one body to any number of persons."""

    def __init__(self, body: BodyModel, settings: RefinementSettings | None = None):
        self.settings = settings or RefinementSettings()
        self._skeleton = keypoint_skeleton(body)
        self._fit = ArticulatedFit(self._skeleton)
        self._first = 0 if _has_face(body) else _FACE  # the first keypoint that the body has

    def __call__(self, evidence: Evidence, steps: int | None = None) -> Refinement:
        """Fit every person; computes in float64 and answers in the type of joints2d.

        At most `steps` steps, the settings' if None; 0 gives the start. A person that cannot be
        fitted fails alone; none ends worse than it began.
        """
        dtype = evidence.joints2d.dtype
        given, finite = evidence.usable()
        problem = self._problem(given)
        start = self._start(given, problem)
        keypoints = problem.sd.isfinite().any(-1)
        steps = self.settings.max_iterations if steps is None else steps
        solution = minimise(
            self._fit, problem, start, finite & keypoints, steps, self.settings.tolerance
        )
        before, view = (self._fit.view(problem, x) for x in (start, solution.x))
        finite &= solution.cost.isfinite()
        converged = solution.converged if steps else finite & keypoints
        failures = {
            NOT_FINITE: ~finite,
            NO_KEYPOINTS: ~keypoints,
            NOT_CONVERGED: ~converged,
        }
        nan = torch.where(finite, 1.0, torch.nan).to(start)
        values = self._values(problem, given, solution, before, view)
        return Refinement(
            **{
                name: (nan.view(-1, *[1] * (value.ndim - 1)) * value).to(dtype)
                for name, value in values.items()
            },
            iterations=solution.iterations,
            converged=converged,
            failure=first_reasons(failures),
        )

    def _values(
        self, problem: Problem, given: Evidence, solution: Solution, before: View, view: View
    ) -> dict[str, Tensor]:
        """The numbers of the result, by name."""
        R = view.turn[:, 0]
        focal = solution.x[:, -1].exp()
        pose = given.pose.clone()
        joints = list(self._fit.free)
        pose[:, joints] = roma.rotmat_to_rotvec(view.rotations[:, joints])
        return {
            "pose": pose,
            "R": R,
            "t": view.root - R @ self._skeleton.rest[0],
            "K": cameras.intrinsics(focal, given.image_size[:, 0], given.image_size[:, 1]),
            "residual_before": _residual(problem, before, given.extent),
            "residual": _residual(problem, view, given.extent),
        }

    def _problem(self, given: Evidence) -> Problem:
        """The least-squares problem, around the regressor's answer."""
        settings = self.settings
        sd = keypoint_sd(given, settings)
        sd[:, : self._first] = torch.inf
        centre = given.image_size / 2
        seen = sd.isfinite()[..., None]
        keypoints = torch.where(seen, given.keypoints[..., :2] - centre[:, None], 0.0)
        rotations = roma.rotvec_to_rotmat(given.pose)
        scale, shift = parallel_projection(
            given.joints3d, given.joints2d, rotations[:, 0], torch.ones_like(given.joints2d[..., 0])
        )
        usual = math.log(cameras.focal_of_view(math.radians(settings.field_of_view)))
        place = self._place(rotations[:, 0], scale, shift - centre, given)
        turns = torch.zeros(len(scale), 3 * len(self._fit.free)).to(scale)
        # Cropped or turned upright, a photograph has its usual view along the longer side.
        longer = given.image_size.amax(-1) / given.image_size[:, 0]
        mean = torch.cat([turns, place, usual + longer.log()[:, None]], -1)
        return Problem(
            rotations=rotations,
            keypoints=keypoints,
            sd=sd,
            middle=given.joints2d.mean(1) - centre,
            width=given.image_size[:, 0],
            mean=mean,
            prior_sd=self._prior_sd(given.extent),
            outlier=settings.outlier,
        )

    def _place(
        self,
        rotation: Float[Tensor, "B 3 3"],
        scale: Float[Tensor, " B"],
        shift: Float[Tensor, "B 2"],
        given: Evidence,
    ) -> Float[Tensor, "B 3"]:
        """u, v and log(depth / focal length) of the root under a parallel projection."""
        root = (rotation @ self._skeleton.rest[0])[:, :2]
        scale = torch.maximum(scale, 1e-3 * given.extent)  # one that is mirrored: far away
        return torch.cat([scale[:, None] * root + shift, -scale.log()[:, None]], -1)

    def _prior_sd(self, extent: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Standard deviations (B, D) of the unknowns."""
        settings = self.settings
        joint = math.radians(settings.joint_sd)
        sd = [joint * (_STIFF if JOINT_NAMES[j] in _SPINE else 1) for j in self._fit.free]
        sd[0] = math.radians(settings.rotation_sd)
        turns = torch.tensor(sd).to(extent).repeat_interleave(3).expand(len(extent), -1)
        one = torch.ones_like(extent)
        place = settings.place_sd
        rest = [place * extent, place * extent, place * one, settings.focal_sd * one]
        return torch.cat([turns, torch.stack(rest, -1)], -1)

    def _start(self, given: Evidence, problem: Problem) -> Float[Tensor, "B D"]:
        """The prior's mean, but the place in the image from the keypoints.

        Least squares of a parallel projection, twice: the second time those that were far off
        count for less. The regressor's joints stand in where there are few keypoints.
        """
        centre = given.image_size / 2
        rotation = problem.rotations[:, 0]
        turned = problem.rotations.clone()
        turned[:, 0] = torch.eye(3).to(turned)
        points = self._skeleton.posed(turned)[2] + self._skeleton.rest[0]
        points = torch.cat([points, given.joints3d], 1)
        pixels = torch.cat([problem.keypoints, given.joints2d - centre[:, None]], 1)
        least = problem.sd.amin(-1, keepdim=True).clamp(max=1e9)
        trust = torch.cat(
            [(least / problem.sd).square(), torch.full_like(given.joints2d[..., 0], _FALLBACK)], 1
        )
        weights = trust
        for _ in range(2):
            scale, shift = parallel_projection(points, pixels, rotation, weights)
            guess = scale[:, None, None] * (points @ rotation.mT)[..., :2] + shift[:, None]
            error = (guess - pixels).norm(dim=-1) / given.extent[:, None]
            weights = trust / (1 + (error / _FAR_OFF).square())
        start = problem.mean.clone()
        start[:, -4:-1] = self._place(rotation, scale, shift, given)
        view = self._fit.view(problem, start)
        # Twice NEAR leaves the first steps some room.
        nearest = torch.where(problem.sd.isfinite(), view.points[..., 2], 0.0).amin(-1)
        start[:, -2] = start[:, -2].maximum(((2 * NEAR - nearest) / view.focal).log())
        return start


def _residual(problem: Problem, view: View, extent: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Weighted root mean squared error of the keypoints, (B,) shares of the extent."""
    weight = problem.sd.reciprocal().square()
    squared = (view.pixels() - problem.keypoints).square().sum(-1)
    return ((weight * squared).sum(-1) / weight.sum(-1)).sqrt() / extent
