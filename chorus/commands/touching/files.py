"""The files of a contact map: picture, GLB, npz, JSON (docs/reconstruction.md)."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.files import atomic_write, portable_name
from chorus.reconstruction.contact import SMPL_VERTICES, ContactMap
from chorus.viewing.contact_figure import contact_figure, contact_glb
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.figures import save_png

_SUFFIXES = ("png", "glb", "npz", "json")

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution


def check_layout(layout: str, body: BodyModel) -> None:
    """BadInput if the body does not have the vertices that a layout is of."""
    count = len(body.v_template)
    if layout == "damon" and count != SMPL_VERTICES:
        raise BadInput(
            f"DECO's and DAMON's layout has a value for each of SMPL's {SMPL_VERTICES:,} vertices; "
            f"{body.name!r} has {count:,}. Aggregate and ask with --body SMPL_NEUTRAL.npz, or "
            "leave out --layout damon."
        )


def write_files(
    out: Path,
    name: str,
    distribution: Distribution,
    contact: ContactMap,
    body: BodyModel,
    layout: str,
) -> Path:
    """Write <out>/<name>.png, .glb, .npz and .json; returns the picture's path."""
    shown = DisplayedBody.of(body)
    displayed = DisplayedDistribution.of(distribution)
    stem = out / portable_name(name)
    paths = {suffix: stem.with_name(f"{stem.name}.{suffix}") for suffix in _SUFFIXES}
    details = ["contact within 2 cm", displayed.part_label, displayed.samples_label]
    if not displayed.is_total:
        details.insert(0, distribution.category)
    line = "  ·  ".join(filter(None, details))
    out.mkdir(parents=True, exist_ok=True)
    save_png(contact_figure(shown, contact.probability, displayed.title, line), paths["png"])
    said = _said_of(distribution, body)
    atomic_write(paths["glb"], contact_glb(shown, contact.probability, said))
    atomic_write(paths["npz"], _npz(_arrays(layout, name, contact, shown, body)))
    parts = [{**asdict(part), "direction": part.direction.tolist()} for part in contact.parts]
    text = json.dumps({**said, "parts": parts}, indent=1) + "\n"
    atomic_write(paths["json"], text.encode())
    return paths["png"]


def _said_of(distribution: Distribution, body: BodyModel) -> dict[str, Any]:
    return {
        "category": distribution.category,
        "prompt": distribution.prompt,
        "cluster": distribution.part,
        "body": body.fingerprint,
    }


def _arrays(
    layout: str, name: str, contact: ContactMap, shown: DisplayedBody, body: BodyModel
) -> dict[str, np.ndarray]:
    if layout == "damon":  # a row per image there; the one row here is of no image
        return {
            "imgname": np.array([name]),
            "contact_label": contact.touched[None].astype(np.float64),
            "contact_probability": contact.probability[None],
        }
    return {
        "contact_probability": contact.probability,
        "contact_label": contact.touched,
        "vertices": shown.vertices,
        "faces": shown.faces,
        "segment_of_vertex": body.part_of_vertex.cpu().numpy(),
        "segment_names": np.array(SEGMENT_NAMES),
    }


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
