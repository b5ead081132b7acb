"""The files of placements: picture, GLB, JSON (docs/reconstruction.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.commands.placing.persons import Person
from chorus.files import atomic_write, portable_name
from chorus.reconstruction.reconstruct import posed_body
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.figures import save_png
from chorus.viewing.placement_figure import PlacedObject, placement_figure, placement_glb

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution
    from chorus.reconstruction.placement import Placements


def write_files(
    out: Path,
    name: str,
    found: Placements,
    field: Distribution,
    body: BodyModel,
    person: Person,
) -> Path:
    """Write <out>/<name>.png, .glb and .json; returns the picture's path."""
    vertices = posed_body(body, person.pose).vertices.cpu().numpy()
    shown = DisplayedBody(vertices, body.faces.cpu().numpy())
    thing = found.mesh
    objects = [
        PlacedObject(
            thing.vertices @ mode.matrix[:3, :3].T + mode.matrix[:3, 3],
            thing.faces,
            mode.probability,
            thing.closed,
        )
        for mode in found.modes
    ]
    displayed = DisplayedDistribution.of(field)
    seen = "with the object's mask" if person.view is not None else "without a mask"
    details = f"{thing.size * found.modes[0].scale:.2f} m large  ·  {person.name}  ·  {seen}"
    out.mkdir(parents=True, exist_ok=True)
    stem = out / portable_name(name)
    paths = {suffix: stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "glb", "json")}
    said = {
        "category": field.category,
        "prompt": field.prompt,
        "cluster": field.part,
        "body": body.fingerprint,
        "person": person.name,
        "unit": found.unit,
        "notes": list(found.notes),
    }
    save_png(placement_figure(shown, objects, displayed.title, details), paths["png"])
    atomic_write(paths["glb"], placement_glb(shown, objects, said))
    modes = [
        {
            "matrix": mode.matrix.tolist(),
            "scale": mode.scale,
            "probability": mode.probability,
            "terms": mode.terms,
        }
        for mode in found.modes
    ]
    text = json.dumps({**said, "modes": modes}, indent=1) + "\n"
    atomic_write(paths["json"], text.encode())
    return paths["png"]
