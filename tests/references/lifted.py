"""Writes a small folder in the schema of Open3DHOI: our own body in some pose, and a box."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image

from chorus.body.loading import load_body
from chorus.rendering.raycast import cast

WIDTH, HEIGHT, FOCAL = 240, 320, 3600.0
TRANSLATION = np.array([-0.02, 0.25, 20.0])
SIZE = 1.1
"""How much larger the lifted person is than the zero-shape body."""
PLACE = np.array([0.01, -0.35, 0.02])
"""Where the lifted person's pelvis lies in the meshes' frame."""


def pose_of() -> np.ndarray:
    """(24, 3): a person who faces the camera, arms and legs bent a little."""
    pose = np.zeros((24, 3))
    pose[0] = [np.pi - 0.1, 0, 0]  # y is down in the camera
    pose[1], pose[2] = [-0.2, 0, 0.1], [-0.2, 0, -0.1]
    pose[16], pose[17] = [0, -0.3, -0.9], [0, 0.3, 0.9]
    return pose


def box_in_camera(centre=(0.25, -0.2, -0.25), size=(0.2, 0.3, 0.2)) -> trimesh.Trimesh:
    """A box beside and before the person, in the meshes' frame."""
    box = trimesh.creation.box(extents=size)
    box.apply_translation(centre)
    return box


def lifted_person() -> trimesh.Trimesh:
    """Our posed body, larger and elsewhere, as another program would lift it."""
    body = load_body()
    posed = body.pose(torch.from_numpy(pose_of()).float())
    vertices = posed.vertices.double().numpy() - posed.joints[0].double().numpy()
    return trimesh.Trimesh(SIZE * vertices + PLACE, body.faces.numpy(), process=False)


def write_sample(folder: Path, thing: trimesh.Trimesh | None = None, **parameters) -> Path:
    """A sample whose masks are the meshes' silhouettes; parameters replace those of SMPL-X."""
    folder.mkdir(parents=True)
    human, thing = lifted_person(), thing or box_in_camera()
    pose = pose_of()
    record = {
        "root_pose": [pose[0].tolist()],
        "body_pose": [pose[1:22].ravel().tolist()],
        "lhand_pose": [[0.1] * 45],
        "rhand_pose": [[0.1] * 45],
        "jaw_pose": [[0.0] * 3],
        "shape": [[0.01] * 10],
        "expr": [[0.2] * 10],
        "cam_trans": TRANSLATION.tolist(),
        "focal": [FOCAL, FOCAL],
        "princpt": [WIDTH / 2, HEIGHT / 2],
        **parameters,
    }
    (folder / "smplx_parameters.json").write_text(json.dumps(record))
    (folder / "h_mesh.obj").write_text(trimesh.exchange.obj.export_obj(human))
    (folder / "object_mesh.obj").write_text(trimesh.exchange.obj.export_obj(thing))
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    meshes = [(mesh.vertices + TRANSLATION, mesh.faces) for mesh in (human, thing)]
    hits = cast(meshes, np.eye(3), np.zeros(3), K, WIDTH, HEIGHT)
    boxes = {}
    for number, (name, key) in enumerate((("person", "human"), ("object", "obj"))):
        mask = hits.mesh_id == number
        Image.fromarray(255 * mask.astype(np.uint8)).save(folder / f"{name}_mask.png")
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes[key] = [int(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]
    (folder / "box_annotation.json").write_text(json.dumps(boxes))
    pixels = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    pixels[hits.mesh_id == 0] = 90, 120, 90
    pixels[hits.mesh_id == 1] = 160, 90, 60
    Image.fromarray(pixels).save(folder / "image.jpg")
    return folder
