"""Persons and objects lifted to 3D from photographs, as test images and as 3D truth.

The lifted person's surface belongs to another body model than ours. So our zero-shape body takes
the lifted pose, and is laid into that surface by its size and place alone; what is then known of
the object is known in our body's frame, where the truth test wants it (method.md 12).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.evaluation.recorded_views import View
from chorus.evaluation.truth_scores import KnownScene
from chorus.files import check_npz
from chorus.geometry.surfaces import evenly_spread
from chorus.perception.mesh_files import Mesh
from chorus.perception.open3dhoi import LiftedImage
from chorus.rendering.inside import inside
from chorus.rendering.raycast import cast

_POINTS, _ROUNDS, _KEPT = 3000, 40, 0.9
"""Points on each surface; rounds of the fit; part of the pairs, the nearest, that decide."""


class Laid(NamedTuple):
    """Where our zero-shape body lies in a lifted person's frame: vertex = scale (R (x - J) ) +
    pelvis, with R (3, 3) the global rotation and J the body's own pelvis; scale, and pelvis (3,)
    metres. distance: mean distance of the two surfaces, metres."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    own_pelvis: Float[np.ndarray, " 3"]
    pelvis: Float[np.ndarray, " 3"]
    distance: float

    def to_body(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Points (P, 3) of the lifted frame in the zero-shape body's frame, metres."""
        return (points - self.pelvis) @ self.rotation / self.scale + self.own_pelvis


def lay_body(body: BodyModel, pose: Float[np.ndarray, "24 3"], human: Mesh) -> Laid:
    """Our body in this pose, laid into a person's surface by scale and translation.

    The nearest points of each surface on the other, the farthest tenth left out, decide, again and
    again (iterative closest points). pose: axis-angle, global rotation included. BadInput for a
    body without triangles.
    """
    import roma

    if not len(body.faces):
        raise BadInput(f"{body.name} has no triangles, so it cannot be laid into a person's mesh.")
    pose = np.asarray(pose, np.float32)
    posed = body.pose(torch.from_numpy(pose))
    pelvis = posed.joints[0].double().numpy()
    ours = _spread(posed.vertices.double().numpy() - pelvis, body.faces.numpy())
    theirs = _spread(human.vertices, human.faces)
    scale = float(np.sqrt(theirs.var(0).sum() / ours.var(0).sum()))
    place = theirs.mean(0) - scale * ours.mean(0)
    tree, distance = cKDTree(theirs), np.inf
    for _ in range(_ROUNDS):
        moved = scale * ours + place
        near, at = tree.query(moved)
        back, to = cKDTree(moved).query(theirs)
        source = np.concatenate([ours, ours[to]])
        target = np.concatenate([theirs[at], theirs])
        gap = np.concatenate([near, back])
        best = np.argsort(gap, kind="stable")[: int(_KEPT * len(gap))]
        before, distance = distance, float(gap.mean())
        if before - distance < 1e-6:
            break
        a, b = source[best], target[best]
        a0, b0 = a - a.mean(0), b - b.mean(0)
        scale = float((a0 * b0).sum() / (a0**2).sum())
        place = b.mean(0) - scale * a.mean(0)
    rotation = roma.rotvec_to_rotmat(torch.from_numpy(pose[0]).double()).numpy()
    own = body.rest()[1][0].double().numpy()
    return Laid(scale, rotation, own, place, distance)


def _spread(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "P 3"]:
    """Points spread evenly over a surface, the same in every run: vertices crowd at hands and
    face."""
    corners = vertices[faces]
    face, shares = evenly_spread(corners, _POINTS)
    return (shares[..., None] * corners[face]).sum(axis=1)


def lifted_view(laid: Laid, image: LiftedImage) -> View:
    """How the photograph sees the zero-shape body; residual: the surfaces' mean distance, pixels.

    A person of another size looks like the zero-shape body from a distance that is as much smaller
    (`known_camera`).
    """
    where = laid.pelvis + image.translation
    t = where / laid.scale - laid.rotation @ laid.own_pelvis
    return View(laid.rotation, t, image.K, float(laid.distance * image.K[0, 0] / where[2]))


def silhouette_agreement(image: LiftedImage) -> tuple[float, float]:
    """Intersection over union, 0 to 1, of what the photograph should see of the lifted person and
    of the object with their masks; each where the other's mask is not."""
    height, width = image.person_mask.shape
    meshes = [(m.vertices + image.translation, m.faces) for m in (image.human, image.thing)]
    hits = cast(meshes, np.eye(3), np.zeros(3), image.K, width, height)
    masks = image.person_mask, image.object_mask
    return _overlap(hits.mesh_id == 0, masks[0], masks[1]), _overlap(
        hits.mesh_id == 1, *masks[::-1]
    )


def _overlap(
    seen: Bool[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"], other: Bool[np.ndarray, "H W"]
) -> float:
    counted = mask | ~other
    union = ((seen | mask) & counted).sum()
    return float((seen & mask).sum() / union) if union else 0.0


def lean(body: BodyModel, pose: Float[np.ndarray, "24 3"]) -> float:
    """Degrees between a person's line from pelvis to neck and the camera's vertical."""
    joints = body.posed_joints(torch.from_numpy(np.asarray(pose, np.float32))).double().numpy()
    up = joints[12] - joints[0]
    return float(np.degrees(np.arccos(np.clip(-up[1] / np.linalg.norm(up), -1, 1))))


def mesh_file(folder: Path, image: str) -> Path:
    """Where the object's mesh of a test image lies, if it was lifted; image: its file's name."""
    return folder / f"{Path(image).stem}.object.npz"


def object_bytes(laid: Laid, thing: Mesh) -> bytes:
    """A closed object in the zero-shape body's frame, as `mesh_file` holds it: `vertices` (V, 3)
    float32 metres, `faces` (F, 3) int32."""
    content = io.BytesIO()
    vertices = laid.to_body(thing.vertices).astype(np.float32)
    np.savez_compressed(content, vertices=vertices, faces=thing.faces.astype(np.int32))
    return content.getvalue()


def _check_mesh(vertices: object, faces: object) -> None:
    """ValueError unless they are vertices (V, 3), metres, and triangles (F, 3) of these."""
    for name, array, kinds in (("vertices", vertices, "f"), ("faces", faces, "iu")):
        shape = getattr(array, "shape", ())
        if len(shape) != 2 or shape[1] != 3 or not shape[0] or array.dtype.kind not in kinds:
            raise ValueError(f"{name} are no triangle mesh's")
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError("a vertex is not finite, or a triangle's is not there")


def lifted_scenes(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[KnownScene]:
    """The known scenes among done rows of a test set: those whose object was lifted.

    BadInput for a damaged mesh.
    """
    for row in rows:
        path = mesh_file(folder, row["image"])
        if not path.is_file():
            continue
        try:
            check_npz(path)
            with np.load(path, allow_pickle=False) as stored:
                vertices, faces = stored["vertices"], stored["faces"]
            _check_mesh(vertices, faces)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise BadInput(f"{path} is damaged ({error}); import the test set again.") from error
        yield KnownScene(
            pose=np.array(row["pose"]).reshape(24, 3),
            betas=np.zeros(10),
            object_to_body=np.eye(4),
            bounds=np.stack([vertices.min(axis=0), vertices.max(axis=0)]),
            contains=lambda points, mesh=(vertices, faces): inside(*mesh, points),
        )
