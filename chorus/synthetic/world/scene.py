"""A synthetic scene: who stands where with what, seen by which camera.

World frame: metres, y up, right-handed, the floor (or water) at y = 0. Cameras follow
docs/conventions.md (world to camera, x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import trimesh


@dataclass(frozen=True)
class SceneCamera:
    """A pinhole camera: R (3, 3) and t (3,) map world to camera, K (3, 3) in pixels."""

    R: np.ndarray
    t: np.ndarray
    K: np.ndarray
    width: int = 512
    height: int = 512


@dataclass(frozen=True)
class ScenePerson:
    """One person, posed: SMPL parameters and the resulting geometry in the world frame.

    pose (24, 3) axis-angle with the root orientation first, betas (10,), translation (3,):
    vertices = BodyModel(pose, betas) + translation, (V, 3); joints (24, 3).
    """

    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray
    look_seed: int = 0


@dataclass(frozen=True)
class SceneObject:
    """One object: a mesh in its own frame (metres) and its rigid object-to-world transform (4, 4).

    `kind` and `parameters` rebuild the mesh: `world.objects.build(kind, **parameters)`.
    """

    category: str
    kind: str
    parameters: dict
    mesh: trimesh.Trimesh
    transform: np.ndarray
    look_seed: int = 0


@dataclass(frozen=True)
class Scene:
    """Everything the renderer needs. The person and object at index 0 are the prompt's own,
    unless `has_object` is false or the roles were spoiled on purpose (`fault`)."""

    persons: list[ScenePerson]
    objects: list[SceneObject]
    camera: SceneCamera
    setting: str  # one of chorus.synthetic.look.rendering.SETTINGS ("beach", "sea", "street", ...)
    seed: int
    fault: str = ""  # "" or the name of the deliberate fault ("second person", "no object", ...)
    body_faces: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    cloth_thickness: float = 0.0  # metres, see SceneSettings
