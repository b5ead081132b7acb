"""Rotation forms that roma lacks; for axis-angle, matrices and quaternions use roma itself."""

from __future__ import annotations

import roma
from jaxtyping import Float
from torch import Tensor


def six_d_to_matrix(six_d: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices (..., 3, 3) from the continuous 6D form (..., 6) of body regressors.

    The six numbers, read as (3, 2), are two columns; Gram-Schmidt makes them orthonormal and their
    cross product is the third (SPEC appendix).
    """
    return roma.special_gramschmidt(six_d.unflatten(-1, (3, 2)))
