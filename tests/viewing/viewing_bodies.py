"""Bodies and distributions that GLB files are made of in the tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import trimesh

from chorus.body.model import BodyModel
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from references.bodies import stick_figure


def limbs() -> BodyModel:
    """The stick figure with an octahedron of triangles at each joint."""
    figure = stick_figure()
    ball = trimesh.creation.icosphere(subdivisions=0, radius=0.05)  # 12 vertices
    joints = figure.rest()[1].numpy()
    vertices = (joints[:, None] + np.array(ball.vertices)).reshape(-1, 3)
    faces = np.concatenate([np.array(ball.faces) + 12 * joint for joint in range(24)])
    return replace(
        figure,
        v_template=torch.tensor(vertices, dtype=torch.float32),
        faces=torch.tensor(faces, dtype=torch.int64),
    )


def ball_at(centre: tuple[float, float, float], **metadata) -> Distribution:
    """Probability that falls from 1 at a place, metres, to 0 at 1 m from it."""
    grid = VoxelGrid(24, 3.0)
    places = np.stack(np.meshgrid(*[(np.arange(24) + 0.5) * 0.125 - 1.5] * 3, indexing="ij"), -1)
    away = np.linalg.norm(places - np.array(centre), axis=-1)
    seen = np.full(grid.shape, 9, np.uint32)
    probability = np.clip(1 - away, 0, 1).astype(np.float32)
    names = {"category": "ball", "prompt": "A person sits", "part": "all"}
    return Distribution(probability, grid, seen, **names, metadata=metadata)
