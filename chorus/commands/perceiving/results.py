"""What `chorus perceive` writes: a picture, JSON and arrays for each photograph, and COCO and poses
of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.files import atomic_write, beside, parsed_json, replacing
from chorus.geometry import masks
from chorus.perception.coco_instances import EXPORTED
from chorus.perception.coco_writing import CocoFile
from chorus.perception.perceiving import PerceivedPerson
from chorus.perception.recorded_persons import body_family
from chorus.viewing.persons import DrawnPerson, persons_overlay
from chorus.vocabulary import PERSON

_JPEG_QUALITY = 90
_COCO, _POSES = "instances.json", "poses.npz"


class Results:
    """Writes below a folder; counts what it wrote."""

    def __init__(self, out: Path, body: BodyModel, overlay: str):
        """overlay: how the names of the pictures end, in .jpg or .png. BadInput if the folder has
        annotations of somebody else, which would be replaced."""
        _check_replaceable(out)
        self._out = out
        self._overlay = overlay
        self._body = body
        self._coco = CocoFile()
        self._poses: list[dict[str, Any]] = []
        self._empty: list[str] = []
        self._doubts: list[str] = []
        self.done = self.persons = self.bodies = 0

    def add(
        self,
        name: str,
        pixels: UInt8[np.ndarray, "H W 3"],
        persons: Sequence[PerceivedPerson],
        called: str | None = None,
    ) -> None:
        """Write what was found in the photograph (H, W, 3) of a name, which may have folders.

        called: what its files are called, if other than the photograph.
        """
        height, width = pixels.shape[:2]
        size = {"width": width, "height": height}
        vertices = [self._vertices(person) for person in persons]
        runs = [masks.encode(person.found.mask) for person in persons]
        rows = [_pose(name, person, self._body) for person in persons if person.body is not None]
        place = self._out / (called or name)
        place.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "image": name,
            **size,
            "persons": [_record(*each) for each in zip(persons, runs, strict=True)],
        }
        atomic_write(beside(place, ".json"), json.dumps(record, indent=1).encode())
        _save(beside(place, ".npz"), self._arrays(persons, rows, vertices))
        self._draw(beside(place, self._overlay), pixels, persons, vertices)
        self._coco.add(
            {"file_name": name, **size},
            [_detection(*each) for each in zip(persons, runs, strict=True)],
            [{"keypoints": person.keypoints.ravel().tolist()} for person in persons],
        )
        self._poses += rows
        self._empty += [] if persons else [name]
        self._doubts += [f"{name}: a person without a body: {p.doubt}" for p in persons if p.doubt]
        self.done += 1
        self.persons += len(persons)
        self.bodies += len(rows)

    def finish(self) -> None:
        """Write the files of all photographs."""
        if self.done:
            atomic_write(self._out / _COCO, self._coco.content())
        if self._poses:
            _save(self._out / _POSES, _columns(self._poses, self._body))

    def remarks(self) -> list[str]:
        """Sentences on photographs without a person and on persons without a body."""
        if not self._empty:
            return self._doubts
        names = ", ".join(self._empty)
        return [*self._doubts, f"no person found in {len(self._empty)} photographs: {names:.300}"]

    def _vertices(self, person: PerceivedPerson) -> Float[np.ndarray, "V 3"] | None:
        """The body's mesh in the camera's frame, metres."""
        body = person.body
        if body is None:
            return None
        posed = self._body.pose(body.pose, body.betas)
        return (posed.vertices - posed.joints[0] + body.root).numpy()

    def _arrays(
        self,
        persons: Sequence[PerceivedPerson],
        rows: Sequence[dict[str, Any]],
        vertices: Sequence[np.ndarray | None],
    ) -> dict[str, np.ndarray]:
        """A photograph's arrays: everybody's, and the rows of those with a body, `with_body`."""
        with_body = [at for at, person in enumerate(persons) if person.body is not None]
        meshes = [vertices[at] for at in with_body]
        everybody = {
            "boxes": [person.found.box for person in persons],
            "scores": [person.found.score for person in persons],
            "keypoints": [person.keypoints for person in persons],
            "landmarks": [person.found.landmarks for person in persons],
            "landmarks_metres": [person.found.world for person in persons],
            "with_body": with_body,
            "vertices": meshes,
        }
        arrays = {key: np.array(value, np.float32) for key, value in everybody.items()}
        arrays["with_body"] = np.array(with_body, np.int64)
        arrays["faces"] = self._body.faces.numpy()
        return {**arrays, **_columns(rows, self._body)} if rows else arrays

    def _draw(
        self,
        path: Path,
        pixels: UInt8[np.ndarray, "H W 3"],
        persons: Sequence[PerceivedPerson],
        vertices: Sequence[np.ndarray | None],
    ) -> None:
        import cv2

        drawn = [
            DrawnPerson(
                mask=person.found.mask,
                keypoints=person.keypoints,
                vertices=mesh,
                K=None if person.body is None else person.body.K.numpy(),
            )
            for person, mesh in zip(persons, vertices, strict=True)
        ]
        picture = persons_overlay(pixels, drawn, self._body.faces.numpy())
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else []
        atomic_write(path, cv2.imencode(path.suffix, picture[..., ::-1], quality)[1].tobytes())


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def _detection(person: PerceivedPerson, runs: bytes) -> dict[str, Any]:
    """As the table `segmentations` has it; runs: of the person's mask."""
    found = person.found
    return {"label": PERSON, "score": found.score, "box": found.box.tolist(), "mask": runs}


def _record(person: PerceivedPerson, runs: bytes) -> dict[str, Any]:
    """A person for the photograph's JSON; runs: of its mask."""
    found, body = person.found, person.body
    record = {
        "box": _rounded(found.box),
        "score": round(found.score, 4),
        "mask": {"size": list(found.size), "counts": runs.decode()},
        "keypoints": _rounded(person.keypoints),
        "landmarks": _rounded(found.landmarks),
        "landmarks_metres": _rounded(found.world),
        "body": None,
        "doubt": person.doubt,
    }
    if body is not None:
        record["body"] = {
            "pose": _rounded(body.pose.numpy()),
            "betas": _rounded(body.betas.numpy()),
            "pelvis": _rounded(body.root.numpy()),
            "K": _rounded(body.K.numpy()),
            "keypoint_error": round(body.error, 4),
            "mask_agreement": round(body.agreement, 4),
        }
    return record


def _check_replaceable(out: Path) -> None:
    """BadInput if the files of all photographs are there already and are not of `perceive`."""
    coco, poses = out / _COCO, out / _POSES
    ours = False
    if coco.is_file():
        try:
            content = parsed_json(coco.read_bytes())
            ours = str(content["info"]["description"]).startswith(EXPORTED)
        except (OSError, ValueError, TypeError, KeyError):
            ours = False
    if not ours and (coco.exists() or poses.exists()):
        found = coco if coco.exists() else poses
        raise BadInput(
            f"{found} is not of chorus perceive, which would replace it; give another folder to "
            "--out."
        )


def _pose(name: str, person: PerceivedPerson, body: BodyModel) -> dict[str, Any]:
    """A person's row of poses, as `poses_of_npz.read_npz` takes it."""
    found = person.body
    pelvis = body.posed_joints(found.pose, found.betas)[0]
    return {
        "image": name,
        "pose": found.pose.numpy(),
        "betas": found.betas.numpy(),
        "translation": (found.root - pelvis).numpy(),
        "focal_length": float(found.K[0, 0]),
        "principal_point": found.K[:2, 2].numpy(),
        "box": person.found.box,
    }


def _columns(rows: Sequence[dict[str, Any]], body: BodyModel) -> dict[str, np.ndarray]:
    """Rows of poses as arrays, and whose shapes they are."""
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {**columns, "body": np.array(body_family(body))}


def _rounded(values: np.ndarray) -> list:
    return np.round(np.asarray(values, np.float64), 4).tolist()
