"""A template of a user's own mesh: the mesh, and a JSON file of its parts and keypoints.

    {"parts": {"body": {"parent": null, "line": [[x, y, z], ...], "mirror": "body"},
               "neck": {"parent": "body", "line": [...], "mirror": "neck",
                        "axis": [1, 0, 0], "limits_degrees": [-30, 60]}, ...},
     "keypoints": {"L_eye": [x, y, z], ...},
     "softness": 0.03}

A part turns about the first point of its line; a vertex belongs to the part whose line is nearest,
softly over `softness` times the mesh's longest side.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus.animals.keypoints import KEYPOINTS
from chorus.animals.published_template import mirror_by_distance
from chorus.animals.template import Template
from chorus.errors import BadInput, unknown_name

_SOFTNESS = 0.03


def build_template(mesh: Path, description: Path) -> Template:
    """A template of a mesh file (.obj, .ply, .glb, .stl) and its description (.json).

    BadInput names what is missing or does not fit.
    """
    vertices, faces = _read_mesh(mesh)
    stored = _read_description(description)
    names = tuple(stored["parts"])
    parts = [_part(name, stored["parts"][name], names, description) for name in names]
    longest = float(np.ptp(vertices, axis=0).max())
    softness = _softness(stored, description) * longest
    return Template(
        name=mesh.stem,
        vertices=vertices,
        faces=faces,
        membership=membership_by_lines(vertices, [part["line"] for part in parts], softness),
        parts=names,
        parents=tuple(part["parent"] for part in parts),
        centres=np.stack([part["line"][0] for part in parts]),
        axes=np.stack([part["axis"] for part in parts]),
        limits=np.stack([part["limits"] for part in parts]),
        mirror_vertices=mirror_by_distance(vertices, str(mesh)),
        mirror_parts=tuple(part["mirror"] for part in parts),
        keypoint_vertices=_keypoints(stored["keypoints"], vertices, description),
    )


def membership_by_lines(
    vertices: Float[np.ndarray, "V 3"],
    lines: list[Float[np.ndarray, "L 3"]],
    softness: float,
) -> Float[np.ndarray, "V P"]:
    """How far vertices (V, 3) belong to parts: a soft choice of the nearest line."""
    distances = np.stack([_distance_to(vertices, line) for line in lines], axis=1)
    weights = np.exp((distances.min(1, keepdims=True) - distances) / softness)
    weights[weights < 1e-3] = 0.0
    return weights / weights.sum(1, keepdims=True)


def _distance_to(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (V,) of points from a line through points (L, 3); one point is a line, too."""
    line = np.concatenate([line, line[-1:]])
    start, along = line[:-1], np.diff(line, axis=0)
    offset = points[:, None] - start
    share = np.einsum("vli,li->vl", offset, along) / np.maximum((along**2).sum(1), 1e-12)
    nearest = offset - np.clip(share, 0, 1)[..., None] * along
    return np.linalg.norm(nearest, axis=2).min(1)


def _read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    if not path.is_file():
        raise BadInput(f"there is no mesh {path}; give an .obj, .ply, .glb or .stl file.")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
        vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64)
    except Exception as error:  # trimesh's readers fail in any way
        raise BadInput(f"{path} cannot be read as a mesh: {str(error)[:200]}.") from error
    if not len(vertices) or not len(faces):
        raise BadInput(f"{path} has no faces; a mesh of triangles was expected.")
    return vertices, faces


def _read_description(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON: {str(error)[:200]}.") from error
    for key in ("parts", "keypoints"):
        if not isinstance(stored, dict) or not isinstance(stored.get(key), dict) or not stored[key]:
            raise BadInput(f"{path} needs an entry {key!r} with a name for each of them.")
    return stored


def _part(name: str, stored: Any, names: tuple[str, ...], path: Path) -> dict[str, Any]:
    if not isinstance(stored, dict):
        raise BadInput(f"{path}: the part {name!r} needs parent, line and mirror.")
    parent, mirror = stored.get("parent"), stored.get("mirror")
    if parent is not None and parent not in names:
        raise unknown_name(f"parent of the part {name!r} in {path}:", str(parent), names)
    if mirror not in names:
        raise BadInput(
            f"{path}: the part {name!r} has no mirror; name the part of the other side, or itself."
        )
    axis = _numbers(stored.get("axis", [1.0, 0.0, 0.0]), (3,), f"axis of {name!r}", path)
    length = np.linalg.norm(axis)
    if not length > 0:
        raise BadInput(f"{path}: the axis of {name!r} has no direction.")
    limits = _numbers(stored.get("limits_degrees", [0, 0]), (2,), f"limits of {name!r}", path)
    return {
        "parent": -1 if parent is None else names.index(parent),
        "mirror": names.index(mirror),
        "line": _numbers(stored.get("line"), (-1, 3), f"line of {name!r}", path),
        "axis": axis / length,
        "limits": np.radians(limits),
    }


def _keypoints(stored: dict[str, Any], vertices: np.ndarray, path: Path) -> np.ndarray:
    missing = [name for name in KEYPOINTS if name not in stored]
    if missing:
        raise BadInput(f"{path} lacks the keypoints {', '.join(missing)}.")
    places = [_numbers(stored[name], (3,), f"keypoint {name}", path) for name in KEYPOINTS]
    return np.array([np.linalg.norm(vertices - place, axis=1).argmin() for place in places])


def _softness(stored: dict[str, Any], path: Path) -> float:
    softness = float(_numbers([stored.get("softness", _SOFTNESS)], (1,), "softness", path)[0])
    if not softness > 0:
        raise BadInput(f"{path}: the softness must be above 0, found {softness}.")
    return softness


def _numbers(value: Any, shape: tuple[int, ...], what: str, path: Path) -> np.ndarray:
    try:
        array = np.asarray(value, float).reshape(shape)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path}: the {what} must be numbers of shape {shape}.") from error
    if not array.size or not np.isfinite(array).all():
        raise BadInput(f"{path}: the {what} must be finite numbers of shape {shape}.")
    return array
