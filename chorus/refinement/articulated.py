"""The least-squares problem of an articulated body before a pinhole camera, for many at once.

Unknowns of a person, one vector of D numbers: for the root and every free joint a rotation vector
phi (its rotation is the regressor's times exp(phi), so that the prior is |phi / sd|^2), the root's
pixel (u, v), q = log(depth / focal length) and log focal length. In these, moving away while
zooming in is a change of the last number alone.

`least_squares.minimise` solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.geometry.rotations import right_jacobian, turn_to_ray

NEAR = 0.05
"""Nearest depth of a keypoint in metres; a step that brings one closer is refused."""


@dataclass(frozen=True)
class Skeleton:
    """A body's joints and the K points on it that keypoints are compared with.

    rest (24, 3): joints of the rest pose, metres; parents; carrier (K,): the joint that each point
    moves with; offset (K, 3): the point in the rest pose, from that joint. For a point that is a
    joint, the offset is zero.
    """

    rest: Float[Tensor, "24 3"]
    parents: tuple[int, ...]
    carrier: Int[Tensor, " K"]
    offset: Float[Tensor, "K 3"]

    def moves(self) -> Bool[Tensor, "K 24"]:
        """Whether the rotation of a joint moves a point."""
        # A point that is a joint itself moves with the joints before it.
        first = [
            joint if offset.any() else self.parents[joint]
            for joint, offset in zip(self.carrier.tolist(), self.offset, strict=True)
        ]
        return moved_by(first, self.parents).to(self.rest.device)

    def free(self) -> tuple[int, ...]:
        """The joints whose rotation moves any point, the root first."""
        return tuple(torch.nonzero(self.moves().any(0))[:, 0].tolist())

    def posed(
        self, rotations: Float[Tensor, "B 24 3 3"]
    ) -> tuple[Float[Tensor, "B 24 3 3"], Float[Tensor, "B 24 3"], Float[Tensor, "B K 3"]]:
        """Orientations and places of the joints and places of the points, from the root's place."""
        turns, places = [rotations[:, 0]], [torch.zeros_like(rotations[:, 0, 0])]
        for joint, parent in enumerate(self.parents[1:], start=1):
            bone = self.rest[joint] - self.rest[parent]
            places.append(places[parent] + turns[parent] @ bone)
            turns.append(turns[parent] @ rotations[:, joint])
        turn, place = torch.stack(turns, 1), torch.stack(places, 1)
        points = place[:, self.carrier] + (turn[:, self.carrier] @ self.offset[..., None])[..., 0]
        return turn, place, points


@dataclass(frozen=True)
class Problem:
    """What is given, for B persons.

    rotations (B, 24, 3, 3): the regressor's, the root's as the crop has it; keypoints (B, K, 2),
    pixels from the principal point; sd (B, K) of them, pixels, infinite where not used; middle
    (B, 2): pixel that the line of sight goes through; width (B,) of the image, pixels; mean and
    prior_sd (B, D) of the unknowns; outlier: see the settings.
    """

    rotations: Float[Tensor, "B 24 3 3"]
    keypoints: Float[Tensor, "B K 2"]
    sd: Float[Tensor, "B K"]
    middle: Float[Tensor, "B 2"]
    width: Float[Tensor, " B"]
    mean: Float[Tensor, "B D"]
    prior_sd: Float[Tensor, "B D"]
    outlier: float

    def take(self, persons: Int[Tensor, " P"]) -> Problem:
        """The same for some of the persons."""
        return replace(self, **{n: v[persons] for n, v in vars(self).items() if n != "outlier"})


@dataclass(frozen=True)
class View:
    """A body where some unknowns put it, in the camera's orientation.

    rotations (B, 24, 3, 3): of the joints, the root's to the camera; turn (B, 24, 3, 3), place
    (B, 24, 3): orientations and places of the joints, from the root's place; points (B, K, 3):
    likewise; root (B, 3): the root in the camera, metres; focal (B,) pixels.
    """

    rotations: Float[Tensor, "B 24 3 3"]
    turn: Float[Tensor, "B 24 3 3"]
    place: Float[Tensor, "B 24 3"]
    points: Float[Tensor, "B K 3"]
    root: Float[Tensor, "B 3"]
    focal: Float[Tensor, " B"]

    @property
    def depth(self) -> Float[Tensor, "B K"]:
        """Depths of the points, metres."""
        return self.points[..., 2] + self.root[:, None, 2]

    def pixels(self) -> Float[Tensor, "B K 2"]:
        """Pixels of the points, from the principal point."""
        across = self.points[..., :2] + self.root[:, None, :2]
        return self.focal[:, None, None] * across / self.depth.clamp(min=NEAR)[..., None]


def moved_by(joints: Sequence[int], parents: Sequence[int]) -> Bool[Tensor, "K J"]:
    """Which joints' rotations move what is fixed to each of some joints (-1: to none): itself and
    those before it in the tree."""
    moved = torch.zeros(len(joints), len(parents), dtype=torch.bool)
    for row, joint in zip(moved, joints, strict=True):
        while joint >= 0:
            row[joint] = True
            joint = parents[joint]
    return moved


class ArticulatedFit:
    """The fit of one skeleton to the keypoints of any number of persons."""

    def __init__(self, skeleton: Skeleton):
        self._skeleton = skeleton
        self.free = skeleton.free()
        self._joints = torch.tensor(self.free, device=skeleton.rest.device)
        self._moves = skeleton.moves()[:, self._joints]

    def view(self, problem: Problem, x: Float[Tensor, "B D"]) -> View:
        """The body where the unknowns put it."""
        turns, (u, v, q, log_focal) = x[:, :-4].unflatten(1, (-1, 3)), x[:, -4:].unbind(-1)
        focal = log_focal.exp() * problem.width
        ray = torch.cat([problem.middle / focal[:, None], torch.ones_like(focal[:, None])], -1)
        given = problem.rotations
        given = torch.cat([turn_to_ray(ray)[:, None] @ given[:, :1], given[:, 1:]], 1)
        every = torch.zeros_like(given[..., 0]).index_copy(1, self._joints, turns)
        rotations = given @ roma.rotvec_to_rotmat(every)
        root = torch.stack([u, v, focal], -1) * q.exp()[:, None]
        return View(rotations, *self._skeleton.posed(rotations), root, focal)

    def _data_cost(self, problem: Problem, view: View) -> Float[Tensor, " B"]:
        """Robust cost (B,) of the keypoints; infinite if one that is used lies nearer than NEAR."""
        squared = ((view.pixels() - problem.keypoints) / problem.sd[..., None]).square().sum(-1)
        bend = problem.outlier**2
        too_near = ((view.depth < NEAR) & problem.sd.isfinite()).any(-1)
        return (bend * torch.log1p(squared / bend)).sum(-1).masked_fill(too_near, torch.inf)

    def cost(self, problem: Problem, x: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Minus twice the log posterior (B,), up to a constant."""
        away = ((x - problem.mean) / problem.prior_sd).square().sum(-1)
        return self._data_cost(problem, self.view(problem, x)) + away

    def _jacobian(self, problem: Problem, x: Tensor, view: View) -> Float[Tensor, "B K 2 D"]:
        """Derivatives of the points' pixels by the unknowns."""
        pixels, depth = view.pixels(), view.depth.clamp(min=NEAR)
        # Of a pixel by the point: focal / depth * (1, 0, -x / depth) and (0, 1, -y / depth).
        per_metre = (view.focal[:, None] / depth)[..., None, None]
        flat = torch.eye(2, 3).to(x).expand(*pixels.shape, 3).clone()
        flat[..., 2] = -pixels / view.focal[:, None, None]
        by_point = per_metre * flat
        # A turn w about a joint moves a point at lever r by w x r, and p . (w x r) = w . (r x p).
        lever = view.points[:, :, None] - view.place[:, None, self._joints]
        lever = lever * self._moves[None, :, :, None]
        by_turn = torch.linalg.cross(lever[:, :, None], by_point[:, :, :, None], dim=-1)
        axes = view.turn[:, self._joints] @ right_jacobian(x[:, :-4].unflatten(1, (-1, 3)))
        by_joint = torch.einsum("bkcji,bjid->bkcjd", by_turn, axes).flatten(-2)
        g = x[:, -2].exp()[:, None, None]
        near = view.root[:, None, :2] / view.root[:, None, 2:] * view.focal[:, None, None]
        by_place = per_metre * torch.eye(2).to(x) * g[..., None]
        share = (view.root[:, None, 2] / depth)[..., None]
        by_size = (near - pixels) * share
        # Zooming in turns the line of sight, and the body with it, towards the middle.
        focal, middle = view.focal, problem.middle
        spin = middle / (focal + middle.square().sum(-1) / focal)[:, None]
        spin = torch.stack([spin[:, 1], -spin[:, 0], torch.zeros_like(focal)], -1)
        by_zoom = pixels * (1 - share)
        by_zoom = by_zoom + (by_turn[:, :, :, 0] * spin[:, None, None]).sum(-1)
        return torch.cat([by_joint, by_place, by_size[..., None], by_zoom[..., None]], -1)

    def normal_equations(
        self, problem: Problem, x: Tensor
    ) -> tuple[Float[Tensor, "B D D"], Float[Tensor, "B D"]]:
        """J^T W J (B, D, D) and J^T W e (B, D) of the cost; W are Cauchy's weights."""
        view = self.view(problem, x)
        error = (view.pixels() - problem.keypoints) / problem.sd[..., None]
        root = (1 + error.square().sum(-1) / problem.outlier**2).rsqrt()
        J = self._jacobian(problem, x, view) * (root / problem.sd)[..., None, None]
        J, error = J.flatten(1, 2), (error * root[..., None]).flatten(1)
        H, g = J.mT @ J, (J.mT @ error[..., None])[..., 0]
        information = problem.prior_sd.square().reciprocal()
        return H + torch.diag_embed(information), g + information * (x - problem.mean)
