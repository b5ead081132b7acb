"""A scene taken apart into painted meshes: dressed bodies, their shoes, and objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from chorus.errors import BadInput
from chorus.rendering.raycast import Hits, blend_corners
from chorus.synthetic.look import footwear, livery
from chorus.synthetic.look.appearance import (
    BodyMap,
    Look,
    Surface,
    body_map,
    draw_look,
    person_surface,
    tailored,
)
from chorus.synthetic.world.scene import Scene


@dataclass(frozen=True)
class Piece:
    """One mesh of a scene. vertices (V, 3) world, faces (F, 3); owner: its number in the instance
    map; creased: whether sharp edges stay sharp in the shading; paint: (hits (P,) on this mesh,
    points (P, 3) world, normals (P, 3), footprint (P,)) -> Surface."""

    vertices: np.ndarray
    faces: np.ndarray
    owner: int
    creased: bool
    paint: Callable[[Hits, np.ndarray, np.ndarray, np.ndarray], Surface]


def stage(scene: Scene, body, wardrobe) -> list[Piece]:
    """All meshes of a scene, persons first. body: see rendering.render; wardrobe: names of
    outfits. Raises BadInput for persons that do not fit the faces or the body model."""
    faces = np.asarray(scene.body_faces)
    people = _map_of(scene, body)
    pieces = []
    for number, person in enumerate(scene.persons):
        vertices = np.asarray(person.vertices)
        if not len(faces) or faces.max() >= len(vertices):
            raise BadInput(
                f"person {number} has {len(vertices)} vertices, which do not fit the scene's "
                f"{len(faces)} body faces; set Scene.body_faces to the faces of the body model."
            )
        look = draw_look(wardrobe, person.look_seed)
        if people is None:
            pieces.append(Piece(vertices, faces, number, False, _plain(look)))
            continue
        dressed = tailored(vertices, people, look, scene.cloth_thickness)
        shoes = footwear.fitted(people.vertices, people.joints) if look.outfit.shoes else ()
        for shoe in shoes:
            dressed = footwear.tucked(dressed, shoe)
            paint = _shod(shoe, look)
            pieces.append(Piece(shoe.posed(vertices), shoe.faces, number, False, paint))
        pieces.append(Piece(dressed, faces, number, False, _dressed(people, look)))
    for number, item in enumerate(scene.objects, start=len(scene.persons)):
        transform = np.asarray(item.transform, float)
        vertices = item.mesh.vertices @ transform[:3, :3].T + transform[:3, 3]
        pieces.append(Piece(vertices, item.mesh.faces, number, True, _painted(item)))
    return pieces


def _plain(look: Look):
    def paint(hits, points, normals, footprint):
        gloss = np.full(len(points), 0.1, np.float32)
        return Surface(np.broadcast_to(look.top, points.shape), gloss)

    return paint


def _dressed(people: BodyMap, look: Look):
    def paint(hits, points, normals, footprint):
        corners = people.vertices[people.faces[hits.face_id]]
        rest = blend_corners(corners, hits.barycentric)
        return person_surface(rest, footprint, people, look)

    return paint


def _shod(shoe: footwear.Shoe, look: Look):
    def paint(hits, points, normals, footprint):
        rest = blend_corners(shoe.rest[shoe.faces[hits.face_id]], hits.barycentric)
        soft = np.maximum(footprint, 0.001)
        albedo = footwear.shoe_albedo(rest, soft, shoe, look.shoe, look.second)
        return Surface(albedo.astype(np.float32), np.full(len(rest), 0.15, np.float32))

    return paint


def _painted(item):
    transform = np.asarray(item.transform, np.float32)

    def paint(hits, points, normals, footprint):
        local = (points - transform[:3, 3]) @ transform[:3, :3]
        facing = normals @ transform[:3, :3]
        return livery.object_surface(item, hits.face_id, local, facing, footprint)

    return paint


def _map_of(scene: Scene, body) -> BodyMap | None:
    if body is None or not scene.persons:
        return None
    vertices = np.asarray(body.v_template, np.float32)
    if len(vertices) != len(scene.persons[0].vertices):
        raise BadInput(
            f"the scene's persons have {len(scene.persons[0].vertices)} vertices, but the body "
            f"model has {len(vertices)}; render with the body the scene was made with."
        )
    joints = np.asarray(body.joint_regressor, np.float32) @ vertices
    faces = np.asarray(scene.body_faces, np.int64)
    return _cached_map(vertices.tobytes(), faces.tobytes(), joints.tobytes())


@lru_cache(maxsize=2)
def _cached_map(vertices: bytes, faces: bytes, joints: bytes) -> BodyMap:
    """The same body serves thousands of pictures, so its topology is worked out once."""
    return body_map(
        np.frombuffer(vertices, np.float32).reshape(-1, 3),
        np.frombuffer(faces, np.int64).reshape(-1, 3),
        np.frombuffer(joints, np.float32).reshape(-1, 3),
    )
