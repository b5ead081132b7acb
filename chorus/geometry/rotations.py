"""Rotation forms that roma lacks; for axis-angle, matrices and quaternions use roma itself."""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def six_d_to_matrix(six_d: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices (..., 3, 3) from the continuous 6D form (..., 6) of body regressors.

    The six numbers, read as (3, 2), are two columns; Gram-Schmidt makes them orthonormal and their
    cross product is the third (method.md, appendix).
    """
    return roma.special_gramschmidt(six_d.unflatten(-1, (3, 2)))


def turn_to_ray(ray: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The shortest rotations (..., 3, 3) that take the z axis to rays (..., 3) of positive z.

    A regressor sees a person in the middle of a crop; its rotation R becomes that in the whole
    image's camera by turn_to_ray(line of sight) @ R.
    """
    x, y, z = torch.nn.functional.normalize(ray, dim=-1).unbind(-1)
    part = 1 / (1 + z)
    rows = [1 - x * x * part, -x * y * part, x, -x * y * part, 1 - y * y * part, y, -x, -y, z]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def right_jacobian(turns: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """J of exp(phi + d) = exp(phi) exp(J d), for rotation vectors phi (..., 3)."""
    angle = turns.norm(dim=-1)[..., None, None]
    small = angle < 1e-3
    safe = torch.where(small, torch.ones_like(angle), angle)
    first = torch.where(small, 0.5 - angle**2 / 24, (1 - safe.cos()) / safe**2)
    second = torch.where(small, 1 / 6 - angle**2 / 120, (safe - safe.sin()) / safe**3)
    cross = _cross_matrix(turns)
    return torch.eye(3).to(turns) - first * cross + second * cross @ cross


def _cross_matrix(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """[v]x of vectors (..., 3): [v]x w = v x w."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
