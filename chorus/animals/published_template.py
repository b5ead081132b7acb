"""Templates as ACSM and animals3d publish them: a folder per category, read without running it.

    <category>/mean_shape.mat            verts (V, 3), faces (F, 3) counted from 0
    <category>/kp2vertex.txt             `name vertex` per keypoint
    <category>/parts.pkl                 alpha (V, P); nodes: name, id, children, rc (3,)
    <category>/mirror_transforms.txt     `part mirrored_part` per part
    part_files/<category>.txt            `part True|False ax ay az`: which parts turn

The symmetry plane is x = 0. Nothing says how far a part may turn, so all may by 180 degrees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from chorus.animals.keypoints import KEYPOINTS
from chorus.animals.template import Template
from chorus.body.restricted_pickle import array_of, load_restricted
from chorus.errors import BadInput

_UNSYMMETRIC = 0.05
"""Mean distance of mirrored vertices, as a share of the size, from which a mesh has no mirror."""


def read_published_template(folder: Path, part_file: Path) -> Template:
    """The template of a category's folder. BadInput names the file that is missing or damaged."""
    vertices, faces = _read_shape(folder / "mean_shape.mat")
    names, parents, centres, membership = _read_parts(folder / "parts.pkl", len(vertices))
    turning = _read_turning(part_file, names)
    return Template(
        name=folder.name,
        vertices=vertices,
        faces=faces,
        membership=membership,
        parts=names,
        parents=parents,
        centres=centres,
        axes=np.tile([1.0, 0.0, 0.0], (len(names), 1)),  # the file's axes are not used
        limits=np.pi * np.outer(turning, [-1.0, 1.0]),
        mirror_vertices=mirror_by_distance(vertices, str(folder)),
        mirror_parts=_read_mirror(folder / "mirror_transforms.txt", names),
        keypoint_vertices=_read_keypoints(folder / "kp2vertex.txt"),
    )


def mirror_by_distance(vertices: Float[np.ndarray, "V 3"], owner: str) -> Int[np.ndarray, " V"]:
    """The vertex nearest to each under x -> -x. BadInput if the mesh is far from symmetric."""
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(vertices).query(vertices * [-1.0, 1.0, 1.0])
    size = np.linalg.norm(np.ptp(vertices, axis=0))
    if distance.mean() > _UNSYMMETRIC * size:
        raise BadInput(
            f"the mesh of {owner} is not symmetric about x = 0 (mirrored vertices are "
            f"{100 * distance.mean() / size:.0f} % of its size off); turn and move it so that x "
            "is across the animal and 0 in its middle."
        )
    return nearest.astype(np.int64)


def _read_shape(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from scipy.io import loadmat

    try:
        stored = loadmat(str(path), variable_names=["verts", "faces"])
        vertices, faces = np.asarray(stored["verts"], float), np.asarray(stored["faces"], float)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged file can fail in any way; none of them is ours
        raise BadInput(
            f"{path} is no mean_shape.mat ({type(error).__name__}: {str(error)[:100]}); it needs "
            "verts (V, 3) and faces (F, 3)."
        ) from error
    if vertices.ndim != 2 or faces.ndim != 2 or not np.isfinite(faces).all():
        raise BadInput(f"{path} needs verts (V, 3) and faces (F, 3) of finite numbers.")
    return vertices, faces.astype(np.int64)


def _read_parts(
    path: Path, count: int
) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray, np.ndarray]:
    stored = load_restricted(path)
    if not isinstance(stored, dict) or not {"alpha", "nodes"} <= stored.keys():
        raise BadInput(f"{path} needs the entries alpha and nodes.")
    membership = np.asarray(array_of(stored["alpha"], "alpha"), float)
    nodes = _nodes(stored["nodes"], path)
    if membership.shape != (count, len(nodes)):
        raise BadInput(
            f"alpha in {path} has the shape {membership.shape}; the mesh and the nodes need "
            f"{(count, len(nodes))}."
        )
    parents = [-1] * len(nodes)
    for node in nodes:
        for child in node["children"]:
            if not 0 <= child < len(nodes):
                raise BadInput(f"{path}: {node['name']} has a child {child} that is no node.")
            parents[child] = node["id"]
    # the code that the weights were trained with turns the root about the origin
    centres = [[0.0] * 3 if parents[n["id"]] < 0 else n["rc"] for n in nodes]
    return tuple(node["name"] for node in nodes), tuple(parents), np.array(centres), membership


def _nodes(stored: Any, path: Path) -> list[dict[str, Any]]:
    """The nodes in the order of their numbers."""
    nodes = []
    try:
        for node in list(stored):
            centre = np.asarray(array_of(node["rc"], "rc"), float).reshape(3)
            children = [int(child) for child in np.ravel(array_of(node["children"], "children"))]
            nodes.append(
                {"name": str(node["name"]), "id": int(node["id"]), "children": children}
                | {"rc": centre.tolist()}
            )
    except (LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path}: every node needs name, id, children and rc ({type(error).__name__}: "
            f"{str(error)[:100]})."
        ) from error
    nodes.sort(key=lambda node: node["id"])
    if [node["id"] for node in nodes] != list(range(len(nodes))) or not nodes:
        raise BadInput(f"{path}: the nodes' ids must be 0 to {len(nodes) - 1}, each once.")
    return nodes


def _lines(path: Path) -> list[list[str]]:
    """The words of each line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file.") from error
    return [line.split() for line in text.splitlines() if line.strip()]


def _read_keypoints(path: Path) -> Int[np.ndarray, " K"]:
    try:
        stored = {name: int(vertex) for name, vertex in _lines(path)}
    except ValueError as error:
        raise BadInput(f"{path}: every line must be `name vertex`.") from error
    missing = [name for name in KEYPOINTS if name not in stored]
    if missing:
        raise BadInput(f"{path} lacks the keypoints {', '.join(missing)}.")
    return np.array([stored[name] for name in KEYPOINTS], np.int64)


def _read_mirror(path: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    lines = _lines(path)
    if any(len(line) != 2 for line in lines):
        raise BadInput(f"{path}: every line must be `part mirrored_part`.")
    pairs = dict(lines)
    wrong = [name for name in names if pairs.get(name) not in names]
    if wrong:
        raise BadInput(f"{path} does not say which part mirrors {', '.join(wrong)}.")
    return tuple(names.index(pairs[name]) for name in names)


def _read_turning(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """(P,) 1 for parts that turn, 0 for others."""
    lines = _lines(path)
    if any(len(line) < 2 or line[1] not in ("True", "False") for line in lines):
        raise BadInput(f"{path}: every line must be `part True|False ax ay az`.")
    stored = {line[0]: line[1] == "True" for line in lines}
    missing = [name for name in names if name not in stored]
    if missing:
        raise BadInput(f"{path} lacks the parts {', '.join(missing)}.")
    return np.array([stored[name] for name in names], float)
