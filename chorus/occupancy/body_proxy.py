"""A coarse stand-in for a body's surface, cheap enough to be drawn for every sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from chorus.body.model import BodyModel
from chorus.errors import BadInput

_CLUSTER = 0.05
"""Edge of the cubes whose vertices become one, metres; an SMPL body keeps 2,000 triangles or so."""


class BodyProxy(NamedTuple):
    """Some of a zero-shape body's vertices, in the rest pose, and the triangles between them.

    vertices (V, 3) float32 metres; weights (V, 24) float32; posedirs (207, V, 3) float32, the pose
    blend shapes, or (0, V, 3) for a body without; faces (F, 3) int32.
    """

    vertices: Float[np.ndarray, "V 3"]
    weights: Float[np.ndarray, "V 24"]
    posedirs: Float[np.ndarray, "shapes V 3"]
    faces: Int[np.ndarray, "F 3"]


def check_faces(body: BodyModel) -> None:
    """BadInput if the body has no triangles."""
    if not len(body.faces):
        raise BadInput(
            f"the body {body.name!r} has no triangles, so what it hides cannot be counted; use a "
            "body file with faces, or aggregate without the setting `hidden`."
        )


def body_proxy(body: BodyModel, cluster: float = _CLUSTER) -> BodyProxy:
    """The body's surface by vertex clustering (Rossignac and Borrel 1993).

    The vertices of one segment that lie in one cube of edge `cluster`, metres, in the rest pose
    become the one of them that is nearest to their mean; triangles that lose a corner vanish. A
    vertex that stays keeps all it had, so the proxy poses as the body does. BadInput if the body
    has no triangles.
    """
    check_faces(body)
    body = body.to("cpu")
    vertices = body.v_template.double().numpy()
    cubes = np.floor(vertices / cluster).astype(np.int64)
    keys = np.column_stack([body.part_of_vertex.numpy(), cubes])
    _, group, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    sums = np.stack([np.bincount(group, axis, len(size)) for axis in vertices.T], axis=1)
    distance = np.linalg.norm(vertices - (sums / size[:, None])[group], axis=1)
    by_group = np.lexsort((distance, group))
    kept = by_group[np.cumsum(size) - size]
    posedirs = np.zeros((0, len(kept), 3), np.float32)
    if body.posedirs is not None:
        posedirs = body.posedirs.float().unflatten(1, (-1, 3)).numpy()[:, kept]
    return BodyProxy(
        body.v_template.float().numpy()[kept],
        body.weights.float().numpy()[kept],
        np.ascontiguousarray(posedirs),
        _distinct(group[body.faces.numpy()]).astype(np.int32),
    )


def _distinct(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """The triangles with three different corners, each set of corners once."""
    corners = np.sort(faces, axis=1)
    proper = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])
    _, first = np.unique(corners[proper], axis=0, return_index=True)
    return faces[proper][first]
