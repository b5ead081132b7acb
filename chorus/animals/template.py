"""A template: the mesh of an animal, its parts and hinges, its mirror and its keypoints.

Lengths are in the mesh's own unit (metres for the free quadruped, any for published ones). x is
the animal's left in the free quadruped; every template has its symmetry plane at x = 0.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus.animals.keypoints import KEYPOINTS
from chorus.errors import BadInput
from chorus.files import atomic_write, check_npz

VERSION = 1
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Template:
    """V vertices, F faces and P parts, which are a tree.

    BadInput from the constructor, naming the field, if the parts do not fit together.
    """

    name: str
    """What it shows or where it came from."""
    vertices: Float[np.ndarray, "V 3"]
    """Rest shape, float32."""
    faces: Int[np.ndarray, "F 3"]
    """Triangles, int64, counter-clockwise seen from outside."""
    membership: Float[np.ndarray, "V P"]
    """How far each vertex moves with each part; rows sum to one."""
    parts: tuple[str, ...]
    """Names of the parts."""
    parents: tuple[int, ...]
    """Parent of each part, -1 for the root."""
    centres: Float[np.ndarray, "P 3"]
    """The point that each part turns about, at rest."""
    axes: Float[np.ndarray, "P 3"]
    """Unit axis of each part's hinge, at rest."""
    limits: Float[np.ndarray, "P 2"]
    """Lowest and highest angle of each hinge, radians; the rest pose is angle 0."""
    mirror_vertices: Int[np.ndarray, " V"]
    """The vertex that each becomes under x -> -x."""
    mirror_parts: tuple[int, ...]
    """The part that each becomes under x -> -x."""
    keypoint_vertices: Int[np.ndarray, " K"]
    """The vertex at each of the 16 keypoints."""

    def __post_init__(self) -> None:
        types = {"vertices": np.float32, "membership": np.float32, "centres": np.float32,
                 "axes": np.float32, "limits": np.float32, "faces": np.int64,
                 "mirror_vertices": np.int64, "keypoint_vertices": np.int64}  # fmt: skip
        for name, kind in types.items():
            object.__setattr__(self, name, _array(self.name, name, getattr(self, name), kind))
        _check_shapes(self)
        _check_content(self)

    @property
    def moving(self) -> Bool[np.ndarray, " P"]:
        """(P,): which parts have a hinge that can turn."""
        return self.limits[:, 1] > self.limits[:, 0]

    @property
    def keypoints(self) -> Float[np.ndarray, "K 3"]:
        """(16, 3): the keypoints at rest."""
        return self.vertices[self.keypoint_vertices]

    @property
    def size(self) -> float:
        """The largest distance between two vertices."""
        from scipy.spatial import ConvexHull
        from scipy.spatial.distance import pdist

        outline = self.vertices[ConvexHull(self.vertices.astype(float)).vertices]
        return float(pdist(outline.astype(float)).max())

    def normalised(self) -> Template:
        """The template twice as long as 1 and centred: its largest distance is 2, the mean vertex
        the origin, as ACSM's option scale_mesh has it. Rotation centres move along."""
        scale = 2 / self.size
        middle = scale * self.vertices.mean(0)
        return replace(
            self,
            vertices=scale * self.vertices - middle,
            centres=scale * self.centres - middle,
        )


UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns the free quadruped's axes (y up, z ahead) into those of published templates (z up)."""


def in_published_axes(template: Template) -> Template:
    """A free quadruped turned so that z is up and -y ahead, as published templates stand."""
    return replace(
        template,
        vertices=template.vertices @ UPRIGHT.T,
        centres=template.centres @ UPRIGHT.T,
        axes=template.axes @ UPRIGHT.T,
    )


_ARRAYS = ("vertices", "faces", "membership", "centres", "axes", "limits", "mirror_vertices",
           "keypoint_vertices")  # fmt: skip


def part_order(parents: Sequence[int]) -> tuple[int, ...]:
    """The parts so that each comes after its parent. BadInput if they are no tree of one root."""
    order: list[int] = []
    while len(order) < len(parents):
        further = [
            part
            for part, parent in enumerate(parents)
            if part not in order and (parent in order or parent == -1)
        ]
        if not further:
            break
        order += further
    if len(order) < len(parents) or list(parents).count(-1) != 1:
        raise BadInput(
            f"the parts of a template must be a tree of one root; found {list(parents)}."
        )
    return tuple(order)


def save_template(template: Template, path: Path) -> None:
    """Write a template as .npz: its arrays, and its names and tree as a line of JSON."""
    about = {
        "version": VERSION,
        "name": template.name,
        "parts": template.parts,
        "parents": template.parents,
        "mirror_parts": template.mirror_parts,
        "keypoints": KEYPOINTS,
    }
    content = io.BytesIO()
    arrays = {name: getattr(template, name) for name in _ARRAYS}
    np.savez_compressed(content, about=np.array(json.dumps(about)), **arrays)
    atomic_write(path, content.getvalue())


def load_template(path: Path) -> Template:
    """Read a template that `save_template` wrote. BadInput if the file is not one."""
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            arrays = {name: stored[name] for name in _ARRAYS}
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}.") from error
    except (KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(
            f"{path} is no template of an animal ({str(error)[:200]}); write one with "
            "`chorus animals template`."
        ) from error
    if not isinstance(about, dict) or about.get("version") != VERSION:
        found = about.get("version") if isinstance(about, dict) else about
        raise BadInput(
            f"{path} is a template of version {str(found)[:50]}, expected {VERSION}; write it "
            "again with `chorus animals template`."
        )
    if tuple(_listed(about, "keypoints", path)) != KEYPOINTS:
        raise BadInput(f"{path} has other keypoints than {', '.join(KEYPOINTS)}; write it again.")
    return Template(
        name=str(about.get("name", path.stem)),
        parts=tuple(map(str, _listed(about, "parts", path))),
        parents=tuple(_listed(about, "parents", path)),
        mirror_parts=tuple(_listed(about, "mirror_parts", path)),
        **arrays,
    )


def _listed(about: dict[str, Any], key: str, path: Path) -> Sequence[Any]:
    value = about.get(key)
    if not isinstance(value, list):
        raise BadInput(
            f"{path} has no list of {key}; write it again with `chorus animals template`."
        )
    return value


def _array(owner: str, name: str, value: Any, kind: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
        whole = np.issubdtype(kind, np.integer)
        if whole and array.dtype.kind not in "iu":
            raise ValueError("whole numbers were expected")
        array = array.astype(kind)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput(f"the {name} of template {owner!r} are no numbers: {error}.") from error
    if not np.isfinite(array).all():
        raise BadInput(f"the {name} of template {owner!r} hold NaN or infinity; mend the file.")
    array.flags.writeable = False
    return array


def _check_shapes(template: Template) -> None:
    count, parts = len(template.vertices), len(template.parts)
    expected = {
        "vertices": (count, 3),
        "faces": (len(template.faces), 3),
        "membership": (count, parts),
        "centres": (parts, 3),
        "axes": (parts, 3),
        "limits": (parts, 2),
        "mirror_vertices": (count,),
        "keypoint_vertices": (len(KEYPOINTS),),
    }
    for name, shape in expected.items():
        found = getattr(template, name).shape
        if found != shape:
            raise BadInput(
                f"the {name} of template {template.name!r} have the shape {found}; with {count} "
                f"vertices and {parts} parts {shape} was expected."
            )
    for name in ("parents", "mirror_parts"):
        values = getattr(template, name)
        if len(values) != parts or not all(
            isinstance(value, int) and not isinstance(value, bool) for value in values
        ):
            raise BadInput(
                f"template {template.name!r} has {parts} parts, but its {name} are "
                f"{str(values)[:80]}; one whole number per part was expected."
            )
    if not count or not parts or not len(template.faces):
        raise BadInput(f"template {template.name!r} is empty: it needs vertices, faces and parts.")


def _check_content(template: Template) -> None:
    owner, parts = f"template {template.name!r}", range(len(template.parts))
    for name in ("faces", "mirror_vertices", "keypoint_vertices"):
        values = getattr(template, name)
        if values.min() < 0 or values.max() >= len(template.vertices):
            raise BadInput(
                f"the {name} of {owner} name vertices outside of 0..{len(template.vertices) - 1}."
            )
    part_order(template.parents)
    mirror = template.mirror_parts
    if sorted(mirror) != list(parts) or any(mirror[mirror[part]] != part for part in parts):
        raise BadInput(f"the mirror_parts of {owner} do not pair its parts: {mirror}.")
    if (template.membership < 0).any() or (
        np.abs(template.membership.sum(1) - 1) > _TOLERANCE
    ).any():
        raise BadInput(f"the membership of {owner} must not be negative, and rows must sum to 1.")
    if (np.abs(np.linalg.norm(template.axes, axis=1) - 1) > _TOLERANCE).any():
        raise BadInput(f"the axes of {owner} must be unit vectors.")
    if (template.limits[:, 0] > template.limits[:, 1]).any():
        raise BadInput(f"the limits of {owner} have a lowest angle above the highest.")
