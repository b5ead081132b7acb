"""Lifted objects of samples: the table `lifted` and the meshes beside it (docs/results-format.md).

`chorus import --lifted` writes them, `chorus aggregate --evidence meshes` counts them. A row whose
person was lifted, too, places its objects in the zero-shape body's frame; of any other they lie in
the frame of a camera, and the sample's own person and camera place them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from chorus.errors import BadInput
from chorus.occupancy.archive import read_archive, write_archive
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera
from chorus.records.tables import DONE, read_table

if TYPE_CHECKING:
    from chorus.occupancy.posed_meshes import PosedMeshes

TABLE = "lifted"
_SCHEMA = "chorus.mesh/1"


class Anchored(NamedTuple):
    """A retained sample's person and camera: pose (24, 3), axis-angle; body frame to camera; as how
    many samples it counts."""

    pose: Float[np.ndarray, "24 3"]
    camera: Camera
    level: int


@dataclass(frozen=True, eq=False)
class LiftedSample:
    """A sample with lifted objects."""

    key: SampleKey
    pose: Float[np.ndarray, "24 3"]
    """Axis-angle, radians."""
    objects: tuple[tuple[Path, Float[np.ndarray, "4 4"]], ...]
    """The file of every object's mesh, whose name is its content's digest, and its map to the
    zero-shape body's frame, metres."""
    body: str
    """Fingerprint of the body that this is of; empty: the one that the sample's camera is of."""
    level: int = 1
    """As how many samples it counts."""

    def posed(self) -> PosedMeshes:
        """With its meshes; BadInput if one is missing or damaged."""
        from chorus.occupancy.posed_meshes import PosedMeshes, PosedObject

        things = [PosedObject(*read_mesh(path), to_body) for path, to_body in self.objects]
        return PosedMeshes(self.pose, things, self.level)

    def digest(self) -> bytes:
        """Fingerprint of everything that is counted of it."""
        content = hashlib.sha256("\0".join([*map(str, self.key), self.body]).encode())
        content.update(np.ascontiguousarray(self.pose, np.float64).tobytes())
        for path, to_body in self.objects:
            content.update(path.name.encode() + np.ascontiguousarray(to_body).tobytes())
        content.update(f"level {self.level}".encode())
        return content.digest()


def mesh_folder(tree: ResultsTree, shard: ShardKey) -> Path:
    """Where the meshes of a shard lie."""
    return tree.table(TABLE, shard).with_suffix("")


def store_mesh(
    folder: Path, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> str:
    """Write a mesh under the name that its content has, once; that name."""
    arrays = {"vertices": vertices.astype(np.float32), "faces": faces.astype(np.int32)}
    content = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values()))
    path = folder / f"{content.hexdigest()[:32]}.npz"
    if not path.is_file():
        write_archive(path, _SCHEMA, arrays, {})
    return path.name


@lru_cache(maxsize=8)  # of a video every frame has the same
def read_mesh(path: Path) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Vertices and faces that `store_mesh` wrote; BadInput if they are missing or damaged."""
    try:
        arrays, _ = read_archive(path, _SCHEMA)
        vertices, faces = arrays["vertices"], arrays["faces"]
        sound = vertices.shape[1:] == faces.shape[1:] == (3,) and len(faces)
        if not sound or faces.min() < 0 or faces.max() >= len(vertices):
            raise BadInput(f"{path} has faces that do not fit its vertices")
    except (FileNotFoundError, KeyError, BadInput) as error:
        raise BadInput(
            f"a lifted object's mesh cannot be used: {error!s:.300}; import the lifted objects "
            "again with --overwrite."
        ) from error
    return vertices, faces


def lifted_samples(
    tree: ResultsTree, shards: Sequence[ShardKey], anchors: Mapping[SampleKey, Anchored]
) -> tuple[list[LiftedSample], Counter[str]]:
    """The samples of some shards that have lifted objects, in order; why others are left out.

    anchors: the samples that the filter retains. One that it has judged otherwise is left out; one
    that it has not judged is taken if its person was lifted, too.
    """
    samples, dropped = [], Counter()
    for shard in shards:
        path = tree.table(TABLE, shard)
        if not path.is_file():
            continue
        judged = tree.table("filtered", shard)
        known = read_table(judged, "filtered", columns=()).rows if judged.is_file() else {}
        for index, row in sorted(read_table(path, TABLE).rows.items()):
            key = SampleKey(*shard, index)
            anchor = anchors.get(key)
            if row["status"] != DONE:
                dropped[row["reason"]] += 1
            elif anchor is None and index in known:
                dropped["lifted, but not retained"] += 1
            elif anchor is None and not row["body"]:
                dropped["lifted without its person, and not retained with a camera"] += 1
            else:
                samples.append(_sample(key, row, anchor, mesh_folder(tree, shard)))
    return samples, dropped


def _sample(
    key: SampleKey, row: Mapping[str, Any], anchor: Anchored | None, folder: Path
) -> LiftedSample:
    level = 1 if anchor is None else anchor.level
    transforms = [np.reshape(each["transform"], (4, 4)) for each in row["objects"]]
    if row["body"]:
        pose = np.reshape(row["pose"], (24, 3))
    else:
        pose = anchor.pose
        to_body = camera_to_body(anchor.camera, np.reshape(row["K"], (3, 3)))
        transforms = [to_body @ transform for transform in transforms]
    files = [folder / each["mesh"] for each in row["objects"]]
    return LiftedSample(key, pose, tuple(zip(files, transforms, strict=True)), row["body"], level)


def camera_to_body(camera: Camera, K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4 4"]:
    """From a lifter's camera frame to the body frame of a person whom the sample's camera sees.

    K: the lifter's camera, pixels, zeros if not known. The person then is where that camera sees a
    zero-shape body in the same pixels as large as the sample's own does: at a distance that is as
    much larger as its focal length is.
    """
    R, t, own = (np.asarray(a, np.float64) for a in (camera.R, camera.t, camera.K))
    if K.any():
        depth = t[2] * K[0, 0] / own[0, 0]
        t = depth * np.linalg.solve(K, own @ t / t[2])
    to_body = np.eye(4)
    to_body[:3, :3], to_body[:3, 3] = R.T, -R.T @ t
    return to_body
