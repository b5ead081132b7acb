"""Calibrates a pinhole camera from each person's weak-perspective joints (method.md 6).

Unknown are the camera's R, t and focal length f; given are the joints of the body in its own frame
and their pixels under the regressor's weak-perspective camera. All persons of a batch are solved at
once by Levenberg-Marquardt.

How the focal length is chosen, and why. The pixels are (nearly) a parallel projection, so plain
least squares would carry the camera away to an infinite focal length. The published method avoids
that by stopping: Adam steps of 0.01 from a vertical field of view of 46.4 degrees, ended when the
residual is below 0.7 or after 2400 steps. What it returns lies on the curve r(f), the least
residual over R and t at a given f, somewhere between the start and a few times that. Here the point
on this curve is defined instead of left to the step count:

1. Solve R and t at the start's focal length. If the residual is at most `stop_residual`, done: the
   joints say nothing against the usual camera.
2. Otherwise release f under a log-normal prior around the start, `focal_prior`. Pixels of a
   regressor are off by some 8 px (50 mm at a common 170 px per metre), focal lengths by a factor
   of about e^0.5; the ratio of the two is the prior's default weight of 16 px.
3. Where step 2 undercuts `stop_residual`, go back to the focal length closest to the start that
   just reaches it.

f stays within a factor `focal_range` of the start; no step may take a joint behind the camera.

The preset PAPER (settings.py) is the above. Its weakness: tilting the body is one way to make a
perspective picture look parallel, so R drifts by some degrees from what the regressor reported,
although joints that are a projection of the regressor's own body hold no evidence against it.
A `focal_prior` of 100 and a `rotation_prior` of 1000, "held" below, instead keep R near the
regressor's rotation turned along the line of sight and f near the usual one, and let the residual
be what perspective makes it. On random bodies seen by true perspective cameras of 30 to 60 degrees,
2 to 5 m away, the errors are
(tests/calibration/test_accuracy.py; median, 90th percentile):

| settings  | regressor's rotation | camera's direction | image of points 0.5 m from a joint |
|-----------|----------------------|--------------------|------------------------------------|
| PAPER     | exact                | 2.5, 5.3 degrees   | 4.3, 20.7 px                       |
| held      | exact                | 0.2, 0.7 degrees   | 1.5, 8.1 px                        |
| PAPER     | 8 degrees off        | 5.7, 10.6 degrees  | 10.2, 31.4 px                      |
| held      | 8 degrees off        | 5.7, 9.9 degrees   | 9.0, 25.9 px                       |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.calibration.far_camera import far_camera
from chorus.calibration.levenberg_marquardt import (
    NEAR,
    Problem,
    State,
    line_of_sight,
    refine,
    squared_error,
    translation,
)
from chorus.calibration.settings import CalibrationSettings
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.geometry.failures import first_reasons
from chorus.geometry.rotations import turn_to_ray
from chorus.geometry.weak_perspective import parallel_projection

BEHIND = "behind the camera"
NOT_FINITE = "not finite"
TOO_FEW = "too few joints"
NOT_CONVERGED = "did not converge"

FAILURES = (NOT_FINITE, TOO_FEW, BEHIND, NOT_CONVERGED)
"""Every reason for which a person has no camera."""

_FEWEST_JOINTS = 4  # 8 equations for 7 unknowns
_ROUNDS = 8  # of the search for stop_residual; each narrows log r(f), almost a line, by a secant
_SLACK = 0.99  # a residual from this part of stop_residual up to it ends the search


@dataclass(frozen=True)
class Calibration:
    """Cameras of B persons, body frame to camera (docs/conventions.md).

    R (B, 3, 3), t (B, 3) metres, K (B, 3, 3) pixels; residual (B,): Frobenius norm of the (J, 2)
    reprojection error in pixels / J (with weights: root of the weighted sum of squares / sum of
    weights); converged (B,); iterations (B,); failure: per person one of FAILURES or "". All but
    "did not converge" leave a NaN camera and residual.
    """

    R: Float[Tensor, "B 3 3"]
    t: Float[Tensor, "B 3"]
    K: Float[Tensor, "B 3 3"]
    residual: Float[Tensor, " B"]
    converged: Bool[Tensor, " B"]
    iterations: Int[Tensor, " B"]
    failure: tuple[str, ...]


def calibrate(
    joints3d: Float[Tensor, "B J 3"],
    joints2d: Float[Tensor, "B J 2"],
    initial_rotation: Float[Tensor, "B 3 3"],
    image_size: Float[Tensor, "B 2"],
    weights: Float[Tensor, "B J"] | None = None,
    settings: CalibrationSettings | None = None,
) -> Calibration:
    """Pinhole camera of every person; see the module for the method.

    joints3d (B, J, 3): joints of the posed zero-shape body with zero global rotation, metres.
    joints2d (B, J, 2): their pixels under the weak-perspective camera. initial_rotation (B, 3, 3):
    the regressor's global rotation, body to camera orientation. image_size (B, 2): width, height in
    pixels. weights (B, J), at least 0; joints of weight 0 are not looked at. Works in float64 on
    the device of joints2d and returns its type. A person that cannot be solved fails alone.
    """
    settings = settings or CalibrationSettings()
    if weights is None:
        weights = torch.ones_like(joints2d[..., 0])
    given = (joints3d, joints2d, initial_rotation, image_size, weights)
    _check_shapes(*given)
    joints3d, joints2d, rotation, size, weights = (
        tensor.to(joints2d.device, torch.float64) for tensor in given
    )
    failures = _unusable(joints3d, joints2d, rotation, size, weights)
    usable = ~torch.stack(list(failures.values())).any(0)
    if settings.anchoring == "weak-perspective":
        return _far(*given, usable, failures)
    problem, centre = _problem(joints3d, joints2d, rotation, size, weights, usable, settings)
    state, in_front = _start(problem)
    solved = usable & in_front
    state = _solve(problem, state, solved, settings)

    failures |= {BEHIND: ~in_front, NOT_CONVERGED: ~state.converged}
    nan = torch.where(solved, 1.0, torch.nan).to(rotation)
    t = translation(state) - (state.R @ centre[..., None])[..., 0]
    K = cameras.intrinsics(state.log_focal.exp(), size[:, 0], size[:, 1])
    dtype = given[1].dtype
    return Calibration(
        R=(nan[:, None, None] * state.R).to(dtype),
        t=(nan[:, None] * t).to(dtype),
        K=(nan[:, None, None] * K).to(dtype),
        residual=(nan * _residual(problem, state)).to(dtype),
        converged=state.converged & solved,
        iterations=state.iterations,
        failure=first_reasons(failures),
    )


def _far(
    joints3d: Tensor,
    joints2d: Tensor,
    rotation: Tensor,
    size: Tensor,
    weights: Tensor,
    usable: Bool[Tensor, " B"],
    failures: dict[str, Bool[Tensor, " B"]],
) -> Calibration:
    """The weak-perspective prediction itself, as far cameras; a mirrored one counts as behind."""
    dtype = joints2d.dtype
    joints3d, joints2d, rotation, size, weights = (
        torch.where(usable.view(-1, *[1] * (tensor.ndim - 1)), tensor.double(), 1.0)
        for tensor in (joints3d, joints2d, rotation, size, weights)
    )
    seen = weights[..., None] > 0
    joints3d, joints2d = (torch.where(seen, joints, 0.0) for joints in (joints3d, joints2d))
    scale, shift = parallel_projection(joints3d, joints2d, rotation, weights)
    solved = usable & (scale > 0)
    t, focal = far_camera(scale, shift, size)
    K = cameras.intrinsics(focal, size[:, 0], size[:, 1])
    pixels = cameras.project(joints3d, rotation, t, K)[0]
    error = (weights * (pixels - joints2d).square().sum(-1)).sum(-1)
    nan = torch.where(solved, 1.0, torch.nan).to(rotation)
    return Calibration(
        R=(nan[:, None, None] * rotation).to(dtype),
        t=(nan[:, None] * t).to(dtype),
        K=(nan[:, None, None] * K).to(dtype),
        residual=(nan * error.sqrt() / weights.sum(-1).clamp(min=1e-12)).to(dtype),
        converged=solved,
        iterations=torch.zeros_like(solved, dtype=torch.int64),
        failure=first_reasons({**failures, BEHIND: usable & ~solved}),
    )


def _check_shapes(
    joints3d: Tensor, joints2d: Tensor, rotation: Tensor, size: Tensor, weights: Tensor
) -> None:
    """BadInput unless all inputs speak of the same persons and joints."""
    persons, joints = joints2d.shape[:-1] if joints2d.ndim == 3 else (-1, -1)
    expected = {
        "joints2d": (joints2d, (persons, joints, 2)),
        "joints3d": (joints3d, (persons, joints, 3)),
        "initial_rotation": (rotation, (persons, 3, 3)),
        "image_size": (size, (persons, 2)),
        "weights": (weights, (persons, joints)),
    }
    for name, (given, shape) in expected.items():
        if tuple(given.shape) != shape:
            raise BadInput(
                f"calibration input {name} must have shape {shape} to match joints2d (B, J, 2), "
                f"found {tuple(given.shape)}."
            )


def _unusable(
    joints3d: Tensor, joints2d: Tensor, rotation: Tensor, size: Tensor, weights: Tensor
) -> dict[str, Bool[Tensor, " B"]]:
    """For each reason known beforehand, which persons cannot be solved."""
    counts = weights > 0
    joint_ok = joints3d.isfinite().all(-1) & joints2d.isfinite().all(-1)
    finite = (joint_ok | (weights == 0)).all(-1) & weights.isfinite().all(-1)
    finite &= rotation.isfinite().all(-1).all(-1) & size.isfinite().all(-1)
    valid = finite & (weights >= 0).all(-1) & (size > 0).all(-1)
    return {NOT_FINITE: ~valid, TOO_FEW: counts.sum(-1) < _FEWEST_JOINTS}


def _problem(
    joints3d: Tensor,
    joints2d: Tensor,
    rotation: Tensor,
    size: Tensor,
    weights: Tensor,
    usable: Bool[Tensor, " B"],
    settings: CalibrationSettings,
) -> tuple[Problem, Float[Tensor, "B 3"]]:
    """The least-squares problem, and the joints' centre (B, 3) that it is stated around.

    Unusable persons become an empty problem and joints of weight 0 the centre itself, so that no
    NaN enters.
    """
    weights = torch.where(usable[:, None], weights, 0.0)
    counts = (weights > 0)[..., None]
    number = counts.sum(1).clamp(min=1)
    size = torch.where(usable[:, None], size, 1.0)
    joints3d = torch.where(counts, joints3d, 0.0)
    joints2d = torch.where(counts, joints2d - size[:, None] / 2, 0.0)
    centre = joints3d.sum(1) / number
    usual = math.log(cameras.focal_of_view(math.radians(settings.field_of_view)))
    log_focal = torch.full_like(size[:, 0], usual)
    reach = math.log(settings.focal_range)
    problem = Problem(
        joints3d=torch.where(counts, joints3d - centre[:, None], 0.0),
        joints2d=joints2d,
        weights=weights,
        middle=joints2d.sum(1) / number,
        rotation=torch.where(usable[:, None, None], rotation, torch.eye(3).to(rotation)),
        width=size[:, 0],
        log_focal=log_focal,
        bounds=(log_focal - reach, log_focal + reach),
        focal_weight=settings.focal_prior,
        rotation_weight=settings.rotation_prior,
    )
    return problem, centre


def _start(problem: Problem) -> tuple[State, Bool[Tensor, " B"]]:
    """Where the fit begins, and which persons (B,) it can put in front of the camera.

    The joints' pixels give the scale of the parallel projection, hence the distance at the start's
    focal length. The regressor saw the person in the middle of a crop: its rotation is turned along
    with the line of sight. A person so large that joints would lie behind the camera starts at the
    shortest focal length (and distance) for which none does, if the bounds allow it.
    """
    spread = (problem.joints2d - problem.middle[:, None]) * (problem.weights > 0)[..., None]
    extent = (problem.joints3d @ problem.rotation.mT)[..., :2]
    spread, extent = (part.square().sum((1, 2)).sqrt() for part in (spread, extent))
    scale = (spread / extent.clamp(min=1e-6)).clamp(min=1e-3)  # pixels per metre

    def place(log_focal: Tensor) -> State:
        ray = line_of_sight(problem, log_focal)
        depth = (log_focal.exp() * problem.width / scale)[:, None]
        return State(
            R=turn_to_ray(ray) @ problem.rotation,
            centre=torch.cat([ray[:, :2] * depth, depth.log()], dim=-1),
            log_focal=log_focal,
            converged=torch.zeros_like(scale, dtype=torch.bool),
            iterations=torch.zeros_like(scale, dtype=torch.int64),
        )

    nearest = (problem.joints3d @ place(problem.log_focal).R.mT)[..., 2].amin(-1)
    # Twice NEAR leaves the first steps some room.
    shortest = (scale * (2 * NEAR - nearest) / problem.width).clamp(min=1e-6).log()
    state = place(torch.maximum(problem.log_focal, shortest).minimum(problem.bounds[1]))
    return state, squared_error(problem, state).isfinite()


def _residual(problem: Problem, state: State) -> Float[Tensor, " B"]:
    """Residual in pixels as the settings and the result define it."""
    return squared_error(problem, state).sqrt() / problem.weights.sum(-1).clamp(min=1e-12)


def _solve(
    problem: Problem, state: State, active: Bool[Tensor, " B"], settings: CalibrationSettings
) -> State:
    """The three steps of the module's description, for the active persons."""
    limits = settings.max_iterations, settings.tolerance
    usual = refine(problem, state, active, False, *limits)
    unhappy = active & (_residual(problem, usual) > settings.stop_residual)
    released = refine(problem, usual, unhappy, True, *limits)
    overshot = unhappy & (_residual(problem, released) < _SLACK * settings.stop_residual)
    return _back_to_stop(problem, usual, released, overshot, settings)


def _back_to_stop(
    problem: Problem,
    start: State,
    end: State,
    search: Bool[Tensor, " B"],
    settings: CalibrationSettings,
) -> State:
    """Between start (residual above stop_residual) and end (below), for the persons in search, the
    focal length closest to start that reaches it. The others keep their end."""
    target = math.log(max(settings.stop_residual * (1 + _SLACK) / 2, 1e-12))
    log_residual = [_residual(problem, s).clamp(min=1e-12).log() for s in (start, end)]
    focal = start.log_focal
    for turn in range(_ROUNDS):
        if not search.any():
            break
        part = (log_residual[0] - target) / (log_residual[0] - log_residual[1])
        # Every third turn halves the interval, should the curve be far from a line.
        part = part.clamp(0.02, 0.98) if turn % 3 < 2 else torch.full_like(part, 0.5)
        middle = focal + part * (end.log_focal - focal)
        # Distance follows the focal length, so that the picture keeps its size.
        centre = end.centre.clone()
        centre[:, 2] += middle - end.log_focal
        trial = replace(end, log_focal=middle, centre=centre).where(search, end)
        trial = refine(problem, trial, search, False, settings.max_iterations, settings.tolerance)
        trial_residual = _residual(problem, trial)
        below = search & (trial_residual <= settings.stop_residual)
        above = search & ~below
        log_trial_residual = trial_residual.clamp(min=1e-12).log()
        end = trial.where(below, end)
        log_residual[1] = torch.where(below, log_trial_residual, log_residual[1])
        focal = torch.where(above, middle, focal)
        log_residual[0] = torch.where(above, log_trial_residual, log_residual[0])
        search = search & ~(below & (trial_residual >= _SLACK * settings.stop_residual))
    return end
