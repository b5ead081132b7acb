"""The files of a reconstruction: picture, GLB, npz, JSON (docs/reconstruction.md)."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chorus.body.model import BodyModel
from chorus.commands.reconstructing.cases import Case, SeenPerson
from chorus.commands.reconstructing.pictures import pictured, smooth_surface
from chorus.files import atomic_write, portable_name
from chorus.reconstruction.reconstruct import Reconstruction, posed_body
from chorus.records.rows import Camera
from chorus.viewing.figures import save_png
from chorus.viewing.gltf import surfaces_glb
from chorus.viewing.reconstruction_picture import PicturedReconstruction, reconstruction_picture
from chorus.viewing.scene import BODY_COLOUR
from chorus.viewing.surface_panels import OBJECT_COLOUR


def write_files(
    out: Path,
    category: str,
    case: Case,
    best: Sequence[tuple[int, Reconstruction] | None],
    pairs: np.ndarray,
    body: BodyModel,
) -> None:
    """Write <out>/<name>.json, and for every object that somebody uses .png, .glb and .npz, with
    its number in their names if there are several.

    best: for each object its likeliest person and where it is around that one, None if it is far
    from all; pairs (P, O): probabilities.
    """
    out.mkdir(parents=True, exist_ok=True)
    objects, rows = [], []
    for number, found in enumerate(best):
        share = [round(float(value), 4) for value in pairs[:, number]]
        if found is None:
            objects.append({"person": None, "pair_probabilities": share})
            continue
        person, where = found
        said = described(category, where)
        objects.append({"person": person, "pair_probabilities": share, **said})
        _write_object(_stem(out, case, number), case.persons[person], where, said, body)
        rows.append(_drawn(category, case, number, found, float(pairs[person, number]), body))
    if rows:
        save_png(reconstruction_picture(rows), out / f"{portable_name(case.name)}.png")
    record = {"image": case.name, "category": category, "body": body.fingerprint}
    persons = [_camera(seen.camera) for seen in case.persons]
    text = json.dumps({**record, "persons": persons, "objects": objects}, indent=1) + "\n"
    atomic_write(out / f"{portable_name(case.name)}.json", text.encode())


def _write_object(
    stem: Path, seen: SeenPerson, where: Reconstruction, said: dict[str, Any], body: BodyModel
) -> None:
    """GLB and npz of a person and an object."""
    person = posed_body(body, _pose(seen)).vertices.double().numpy(), body.faces.numpy()
    thing = smooth_surface(where)
    parts = {"body": (*person, BODY_COLOUR), "object": (*thing, OBJECT_COLOUR)}
    atomic_write(stem.with_name(stem.name + ".glb"), surfaces_glb(parts, said))
    atomic_write(stem.with_name(stem.name + ".npz"), _npz(where, person, thing, seen))


def _drawn(
    category: str,
    case: Case,
    number: int,
    found: tuple[int, Reconstruction],
    probability: float,
    body: BodyModel,
) -> PicturedReconstruction:
    """An object's row of the picture."""
    seen, where = case.persons[found[0]], found[1]
    right, down, forward = 100 * where.deviation
    across = np.hypot(right, down) / np.sqrt(2)
    subtitle = f"centroid ± {across:.0f} cm across the view, ± {forward:.0f} cm along it"
    if len(case.persons) > 1:
        subtitle += f"; used by person {found[0]}: {100 * probability:.0f} %"
    return pictured(
        case.pixels(),
        case.objects[number],
        seen.camera,
        body,
        _pose(seen),
        where,
        f"{category}: {case.title}",
        subtitle,
    )


def described(category: str, found: Reconstruction) -> dict[str, Any]:
    """What is said of an object, for JSON: body frame, metres."""
    return {
        "category": category,
        "centroid": _rounded(found.centroid),
        "deviation_right_down_forward": _rounded(found.deviation),
        "axes": _rounded(found.axes),
        "extent": _rounded(found.extent),
        "extent_factor": found.extent_factor,
        "interactions": {name: round(p, 4) for name, p in found.interactions.items()},
        "log_evidence": round(found.log_evidence, 4),
    }


def _stem(out: Path, case: Case, number: int) -> Path:
    several = f".{number}" if len(case.objects) > 1 else ""
    return out / f"{portable_name(case.name)}{several}"


def _pose(seen: SeenPerson) -> torch.Tensor:
    return torch.from_numpy(np.asarray(seen.pose, np.float32))


def _camera(camera: Camera) -> dict[str, Any]:
    """From the person's body frame to the image, which all persons of an image share."""
    return {name: _rounded(getattr(camera, name)) for name in ("R", "t", "K")}


def _npz(found: Reconstruction, body: tuple, thing: tuple, seen: SeenPerson) -> bytes:
    arrays = {
        "mass": found.mass.astype(np.float32),
        "side": np.array(found.grid.side),
        "region": found.region,
        "object_vertices": thing[0].astype(np.float32),
        "object_faces": thing[1].astype(np.int32),
        "body_vertices": body[0].astype(np.float32),
        "body_faces": body[1].astype(np.int32),
        "pose": np.asarray(seen.pose, np.float32),
        "R": seen.camera.R,
        "t": seen.camera.t,
        "K": seen.camera.K,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _rounded(values: Any) -> list:
    return np.round(np.asarray(values, np.float64), 4).tolist()
