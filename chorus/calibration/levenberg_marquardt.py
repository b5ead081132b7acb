"""Batched Levenberg-Marquardt for one pinhole camera per person, all persons at once.

Seven unknowns per person: a rotation (updated on the left by a rotation vector), the body centre's
tx, ty and log tz in the camera, and log focal length. Lengths in metres, focal lengths in units of
the image width. With these unknowns, going far away while zooming in is a straight line, which
damped steps can follow; for tz and f themselves it is a curve.

Damping, acceptance and convergence belong to each person; no operation mixes persons, so one bad
person cannot disturb another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.geometry.cameras import from_homogeneous
from chorus.geometry.rotations import turn_to_ray

NEAR = 0.05
"""Nearest depth of a joint in metres; a step that brings a joint closer is refused."""

_GAIN_FLOOR = 1e-8  # squared pixels: a smaller predicted gain is none
_DAMPING = (1e-3, 1e-9, 1e12)  # start, least, most
_LEFT = 0.5  # part of the persons still active below which the others are left out of the work


@dataclass(frozen=True)
class Problem:
    """What is given, for B persons.

    joints3d (B, J, 3) around their centre, metres; joints2d (B, J, 2) and their middle (B, 2),
    pixels from the principal point; weights (B, J); rotation (B, 3, 3) as the regressor's crop has
    it; width (B,) of the image, pixels; log_focal (B,) usual; bounds (B,), (B,) least and most log
    focal length; focal_weight and rotation_weight of the priors, pixels per unit and per radian.
    """

    joints3d: Float[Tensor, "B J 3"]
    joints2d: Float[Tensor, "B J 2"]
    weights: Float[Tensor, "B J"]
    middle: Float[Tensor, "B 2"]
    rotation: Float[Tensor, "B 3 3"]
    width: Float[Tensor, " B"]
    log_focal: Float[Tensor, " B"]
    bounds: tuple[Float[Tensor, " B"], Float[Tensor, " B"]]
    focal_weight: float
    rotation_weight: float

    def take(self, persons: Int[Tensor, " P"]) -> Problem:
        """The same for some of the persons."""
        given = {name: v[persons] for name, v in vars(self).items() if isinstance(v, Tensor)}
        low, high = self.bounds
        return replace(self, **given, bounds=(low[persons], high[persons]))


@dataclass(frozen=True)
class State:
    """Where the fit is. R (B, 3, 3); centre (B, 3) = tx, ty, log tz; log_focal (B,);
    converged (B,); iterations (B,) used so far, accepted or not."""

    R: Float[Tensor, "B 3 3"]
    centre: Float[Tensor, "B 3"]
    log_focal: Float[Tensor, " B"]
    converged: Bool[Tensor, " B"]
    iterations: Int[Tensor, " B"]

    def where(self, mask: Bool[Tensor, " B"], other: State) -> State:
        """This state for the persons in mask, the other one's for the rest."""
        values, other_values = vars(self), vars(other)
        pick = {
            name: torch.where(mask.view(-1, *[1] * (value.ndim - 1)), value, other_values[name])
            for name, value in values.items()
        }
        return State(**pick)

    def take(self, persons: Int[Tensor, " P"]) -> State:
        """The same for some of the persons."""
        return State(**{name: value[persons] for name, value in vars(self).items()})

    def put(self, persons: Int[Tensor, " P"], others: State) -> State:
        """This state with that of some persons replaced."""
        new = vars(others)
        return State(**{n: v.index_copy(0, persons, new[n]) for n, v in vars(self).items()})


def translation(state: State) -> Float[Tensor, "B 3"]:
    """The body centre in the camera, (B, 3) metres."""
    return torch.cat([state.centre[:, :2], state.centre[:, 2:].exp()], dim=-1)


def _camera_points(problem: Problem, state: State) -> tuple[Tensor, Tensor]:
    """Joints turned into the camera's orientation, and their places in the camera, (B, J, 3)."""
    turned = problem.joints3d @ state.R.mT
    return turned, turned + translation(state)[:, None]


def squared_error(problem: Problem, state: State) -> Float[Tensor, " B"]:
    """Weighted sum of squared reprojection errors, (B,) square pixels; infinite if a joint that
    counts is nearer than NEAR."""
    _, points = _camera_points(problem, state)
    focal = (state.log_focal.exp() * problem.width)[:, None, None]
    # Not `cameras.project`: the pixels count from the principal point, and this is the inner loop.
    error = focal * points[..., :2] / points[..., 2:].clamp(min=NEAR) - problem.joints2d
    total = (problem.weights * error.square().sum(-1)).sum(-1)
    too_near = ((points[..., 2] < NEAR) & (problem.weights > 0)).any(-1)
    return total.masked_fill(too_near, torch.inf)


def line_of_sight(problem: Problem, log_focal: Float[Tensor, " B"]) -> Float[Tensor, "B 3"]:
    """Rays (B, 3) of depth 1 through the middle of the joints' pixels, at a focal length."""
    focal = (log_focal.exp() * problem.width)[:, None]
    return torch.cat([problem.middle / focal, torch.ones_like(focal)], dim=-1)


def _turned_away(problem: Problem, state: State) -> Float[Tensor, "B 3"]:
    """Rotation vectors (B, 3) from the regressor's rotation along the line of sight to R."""
    expected = turn_to_ray(line_of_sight(problem, state.log_focal)) @ problem.rotation
    return roma.rotmat_to_rotvec(state.R @ expected.mT)


def _cost(problem: Problem, state: State) -> Float[Tensor, " B"]:
    """Squared error plus the priors, (B,) square pixels."""
    zoomed = problem.focal_weight * (state.log_focal - problem.log_focal)
    cost = squared_error(problem, state) + zoomed.square()
    if problem.rotation_weight:
        cost += (problem.rotation_weight * _turned_away(problem, state)).square().sum(-1)
    return cost


def _add_priors(problem: Problem, state: State, H: Tensor, g: Tensor) -> None:
    """Add the priors to the normal equations H (B, 7, 7) and g (B, 7), in place."""
    H[:, 6, 6] += problem.focal_weight**2
    g[:, 6] += problem.focal_weight**2 * (state.log_focal - problem.log_focal)
    if not problem.rotation_weight:
        return
    # Zooming in turns the line of sight, about an axis in the image plane, towards the middle.
    focal = state.log_focal.exp() * problem.width
    turn = problem.middle / (focal + problem.middle.square().sum(-1) / focal)[:, None]
    J = torch.eye(3, 7).to(H).repeat(len(H), 1, 1)
    J[:, 0, 6], J[:, 1, 6] = -turn[:, 1], turn[:, 0]
    J *= problem.rotation_weight
    away = problem.rotation_weight * _turned_away(problem, state)
    H += J.mT @ J
    g += (J.mT @ away[..., None])[..., 0]


def _normal_equations(
    problem: Problem, state: State
) -> tuple[Float[Tensor, "B 7 7"], Float[Tensor, "B 7"]]:
    """J^T W J (B, 7, 7) and J^T W e (B, 7) of the cost."""
    turned, points = _camera_points(problem, state)
    q1, q2, q3 = turned.unbind(-1)
    focal = (state.log_focal.exp() * problem.width)[:, None]
    x, y = from_homogeneous(points).unbind(-1)
    scale = focal / points[..., 2]
    depth = state.centre[:, 2:].exp()
    zero = torch.zeros_like(x)
    # d(u, v) = scale * (dx - x dz, dy - y dz); a turn by w moves a joint by w x turned.
    u = [-x * q2, q3 + x * q1, -q2, zero + 1, zero, -x * depth, x * points[..., 2]]
    v = [-q3 - y * q2, y * q1, q1, zero, zero + 1, -y * depth, y * points[..., 2]]
    root = problem.weights.sqrt()
    J = torch.cat([torch.stack(u, -1), torch.stack(v, -1)], dim=1)
    J = J * torch.cat([scale * root, scale * root], dim=1)[..., None]
    error = torch.stack([focal * x, focal * y], -1) - problem.joints2d
    error = torch.cat([error[..., 0] * root, error[..., 1] * root], dim=1)
    H, g = J.mT @ J, (J.mT @ error[..., None])[..., 0]
    _add_priors(problem, state, H, g)
    return H, g


def _hold_focal(
    problem: Problem, state: State, H: Tensor, g: Tensor, free_focal: bool
) -> tuple[Tensor, Tensor]:
    """The normal equations without the focal length, for persons where it must not change: all
    unless free_focal, else those at a bound that the gradient pushes against."""
    low, high = problem.bounds
    held = ((state.log_focal >= high) & (g[:, 6] < 0)) | ((state.log_focal <= low) & (g[:, 6] > 0))
    keep = torch.ones_like(g)
    keep[:, 6] = (~held).to(g.dtype) * free_focal
    return H * keep[:, None] * keep[:, :, None], g * keep


def _damped_step(H: Tensor, g: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Step (B, 7) of the damped normal equations and the gain (B,) that it promises."""
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    # The floor keeps unknowns without any influence (a held focal length) solvable.
    scaled = damping[:, None] * diagonal + 1e-9 * diagonal.amax(-1, keepdim=True) + 1e-12
    factor, _ = torch.linalg.cholesky_ex(H + torch.diag_embed(scaled))
    step = -torch.cholesky_solve(g[..., None], factor)[..., 0]
    return step, -(2 * (g * step).sum(-1) + (step * (H @ step[..., None])[..., 0]).sum(-1))


def _moved(problem: Problem, state: State, step: Float[Tensor, "B 7"]) -> State:
    """The state after a step, the focal length kept within its bounds."""
    low, high = problem.bounds
    return replace(
        state,
        R=roma.rotvec_to_rotmat(step[:, :3]) @ state.R,
        centre=state.centre + step[:, 3:6],
        log_focal=(state.log_focal + step[:, 6]).clamp(low, high),
    )


def refine(
    problem: Problem,
    state: State,
    active: Bool[Tensor, " B"],
    free_focal: bool,
    max_iterations: int,
    tolerance: float,
) -> State:
    """Minimise the cost of the active persons from the given state; the others stay as they are.

    A person has converged when the next step promises to lower its cost by no more than
    `tolerance` of it. A person whose start is infinitely bad stays there, not converged.
    """
    whole = replace(state, converged=state.converged & ~active)
    persons = active.nonzero()[:, 0]
    problem, state = problem.take(persons), whole.take(persons)
    cost = _cost(problem, state)
    active = cost.isfinite()
    damping = torch.full_like(cost, _DAMPING[0])
    growth = torch.full_like(cost, 2.0)
    for _ in range(max_iterations):
        left = int(active.sum())
        if left <= _LEFT * len(active):
            # Whoever has ended leaves, so that the last few do not cost as much as all.
            whole = whole.put(persons, state)
            keep = active.nonzero()[:, 0]
            persons, problem, state = persons[keep], problem.take(keep), state.take(keep)
            cost, damping, growth, active = (x[keep] for x in (cost, damping, growth, active))
        if not left:
            break
        H, g = _hold_focal(problem, state, *_normal_equations(problem, state), free_focal)
        step, promised = _damped_step(H, g, damping)
        trial = _moved(problem, state, step)
        trial_cost = _cost(problem, trial)
        better = active & (trial_cost < cost)  # False for NaN and infinity
        gain = ((cost - trial_cost) / promised.clamp(min=1e-30)).clamp(-1, 1).nan_to_num(-1.0)
        damping = torch.where(
            better, damping * (1 - (2 * gain - 1) ** 3).clamp(min=1 / 3), damping * growth
        ).clamp(*_DAMPING[1:])
        growth = torch.where(better, torch.full_like(growth, 2.0), (2 * growth).clamp(max=1e6))
        done = active & (promised <= tolerance * cost + _GAIN_FLOOR)
        state = replace(
            trial.where(better, state),
            converged=state.converged | done,
            iterations=state.iterations + active,
        )
        cost = torch.where(better, trial_cost, cost)
        active = active & ~done
    return whole.put(persons, state)
