"""Pictures of a shape: its crop, the mesh over it, and the mesh from all sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from chorus.animals.annotations import read_image
from chorus.animals.crops import WHITE, crop_transform, square_of, warp
from chorus.animals.shape.evaluating import Shape
from chorus.files import portable_name, replacing
from chorus.rendering.raycast import RayScene, blend_corners, unit, vertex_normals

_SIDE = 256
_FRAMES, _RATE = 90, 30
_COAT = np.array([0.55, 0.68, 0.85])
_LIGHT = unit(np.array([-0.4, -0.7, -0.6]))  # from where it comes: y is down, z away
_SHARE = 0.75


def write_shape_pictures(
    folder: Path, images: Path, shape: Shape, faces: Int[np.ndarray, "F 3"]
) -> None:
    """Write the crop (`<id>.jpg`), the mesh over it (`<id>_shape.jpg`), and the mesh turning once
    about the image's vertical, 90 frames of 4 degrees (`<id>.gif`)."""
    import imageio.v2 as imageio
    from PIL import Image

    corner, side = square_of(np.asarray(shape.record["img_bbox"], float), padding=0.1)
    crop = warp(read_image(images, shape.record), crop_transform(corner, side, _SIDE), _SIDE, WHITE)
    vertices = shape.vertices * _SIDE / side
    vertices[:, :2] -= corner * _SIDE / side
    name = portable_name(shape.record["img_id"])
    for suffix, picture in (("", crop), ("_shape", draw_shape(vertices, faces, crop))):
        with replacing(folder / f"{name}{suffix}.jpg") as temporary:
            Image.fromarray(picture).save(temporary, quality=92)
    with replacing(folder / f"{name}.gif") as temporary:
        frames = turntable(vertices, faces, _FRAMES)
        imageio.mimsave(temporary, frames, duration=1000 / _RATE, loop=0)


def draw_shape(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    background: UInt8[np.ndarray, "S S 3"],
) -> UInt8[np.ndarray, "S S 3"]:
    """The mesh, whose vertices are pixels and a depth alike, drawn over a picture."""
    size = len(background)
    columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    before = float(vertices[:, 2].min()) - 1.0
    origins = np.stack([columns, rows, np.full_like(rows, before)], -1).reshape(-1, 3)
    hits = RayScene([(vertices, faces)]).first(origins, np.array([0.0, 0.0, 1.0]))
    met = np.flatnonzero(hits.found)
    normals = vertex_normals(np.asarray(vertices, np.float32), faces)[faces[hits.face_id[met]]]
    shading = unit(blend_corners(normals, hits.barycentric[met])) @ _LIGHT
    colour = _COAT * (0.45 + 0.55 * np.clip(shading, 0, 1))[:, None]
    picture = background.reshape(-1, 3).astype(float)
    picture[met] = (1 - _SHARE) * picture[met] + _SHARE * 255 * colour
    return picture.round().astype(np.uint8).reshape(background.shape)


def turntable(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], frames: int
) -> list[UInt8[np.ndarray, "S S 3"]]:
    """The mesh turning once about the vertical, on white."""
    middle = (vertices.min(0) + vertices.max(0)) / 2
    offset = vertices - middle
    scale = 0.47 * _SIDE / np.linalg.norm(offset, axis=1).max()
    white = np.full((_SIDE, _SIDE, 3), WHITE, np.uint8)
    pictures = []
    for angle in np.arange(frames) * 2 * np.pi / frames:
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        pictures.append(draw_shape(scale * offset @ turn.T + _SIDE / 2, faces, white))
    return pictures
