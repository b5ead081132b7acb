"""Exports as the published code writes them, small ones."""

from __future__ import annotations

import numpy as np

from chorus.body.model import star_body

SIZE = 6


def volumes(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 5, (SIZE,) * 3).astype(np.float32)
    return np.minimum(rng.integers(0, 4, image.shape), image).astype(np.float32), image


def export(body=None, **change) -> dict:
    """What the published code exports, without the settings."""
    mask, image = volumes()
    template = np.zeros((7, 3), np.float32) if body is None else star_body(body).vertices.numpy()
    total = {
        "visual_hull": mask,
        "full_image_visual_hull": image,
        "aggr_input_history": {"cam:00000": {"mask": np.ones((4, 5), bool)}, "cam:00001": None},
        "geometries": {
            "grid": {
                **{f"length_{axis}": 2.0 for axis in "xyz"},
                "center": np.zeros(3, np.float32),
            },
            "template": {"verts": template},
        },
        **change,
    }
    return {"aggregations": {}, "full_aggregations": {"SMPL": total}}
