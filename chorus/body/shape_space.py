"""Shape blend shapes and joint regressors out of drawn bodies or hands; pure functions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_DRAWN = 40  # shapes that a regressor is fitted to


def principal_shapes(
    vertices: Float[np.ndarray, "S V 3"], components: int
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3 C"]]:
    """The mean of shapes (S, V, 3), and their first principal components (V, 3, C), strongest
    first, scaled by their standard deviations, so that coefficients are N(0, 1); signs are
    arbitrary."""
    template = vertices.mean(axis=0)
    offsets = (vertices - template).reshape(len(vertices), -1)
    spread, modes = np.linalg.eigh(offsets @ offsets.T / len(offsets))
    strongest = np.argsort(spread)[::-1][:components]
    shapes = offsets.T @ modes[:, strongest] / np.sqrt(len(offsets))
    return template, shapes.reshape(*template.shape, components)


def convex_regressor(
    vertices: Float[np.ndarray, "S V 3"], joints: Float[np.ndarray, "S J 3"], near: int
) -> Float[np.ndarray, "J V"]:
    """Combinations (J, V) of the `near` vertices nearest to each joint that give the joints of all
    shapes, of least squared error, with coefficients that are not negative and sum nearly to 1."""
    from scipy.optimize import nnls

    picked = np.linspace(0, len(vertices) - 1, _DRAWN).astype(int)
    mean_vertices, mean_joints = vertices.mean(axis=0), joints.mean(axis=0)
    regressor = np.zeros((joints.shape[1], vertices.shape[1]))
    for joint in range(len(regressor)):
        distance = np.linalg.norm(mean_vertices - mean_joints[joint], axis=1)
        nearest = np.argsort(distance, kind="stable")[:near]
        left = vertices[picked][:, nearest].transpose(0, 2, 1).reshape(-1, len(nearest))
        # the mean shape and the sum of one count more than any drawn shape
        system = np.vstack([left, 10 * mean_vertices[nearest].T, np.full((1, len(nearest)), 10.0)])
        right = np.concatenate([joints[picked, joint].ravel(), 10 * mean_joints[joint], [10.0]])
        regressor[joint, nearest] = nnls(system, right)[0]
    return regressor
