"""Results that the published CHORUS code exported, as our `Distribution`s (method.md 8, 9).

Such a file has `aggregations` (per body part), `full_aggregations` (all samples: the total) and
perhaps `core` (the settings and the body). Volumes are counts already weighted by view, indexed
[x, y, z] over a cube centred at the body frame's origin, as ours are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.body.restricted_pickle import array_of
from chorus.errors import BadInput
from chorus.evaluation.release_pickle import load_release_pickle
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.records.keys import TOTAL

if TYPE_CHECKING:
    from chorus.body.model import BodyModel

_WORLD = "SMPL"
_SIDE = 3.0
_SAME_BODY = 1e-3
"""Metres by which the file's template may differ from the body's."""


@dataclass(frozen=True, eq=False)
class PublishedResult:
    """What one exported file holds."""

    total: Distribution
    """The distribution over all samples."""
    parts: dict[str, Distribution]
    """The distribution of every body part's cluster, by the part's name."""


def import_published(
    path: str | Path, category: str, prompt: str = TOTAL, body: BodyModel | None = None
) -> PublishedResult:
    """Read an exported file without executing anything in it.

    category, prompt: what the file is about (its folders say so, it does not). body: the body to be
    used with the result; if the file's template is that body's canonical mesh (within 1 mm), the
    distributions carry its fingerprint, and BadInput tells if it is another. Without a body, or
    without a template in the file, the distributions name no body.

    A weighted count does not tell how many images saw a voxel, so `seen` is 1 where any did.
    BadInput if the file is damaged, asks for anything that could run code, or holds other volumes.
    """
    path = Path(path)
    stored = load_release_pickle(path)
    try:
        return _converted(stored, path, category, prompt, body)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{path} is not laid out as the published CHORUS code does it ({error}); fetch it "
            "again."
        ) from error


def _converted(
    stored: Any, path: Path, category: str, prompt: str, body: BodyModel | None
) -> PublishedResult:
    """`import_published` of what was in the file."""
    total = _world(_entry(stored, "full_aggregations", path), path)
    core = stored.get("core")
    core = core.get(_WORLD) if isinstance(core, dict) else None
    grid = _grid(total, core, path)
    fingerprint = _fingerprint(total, body, path)
    settings = {
        key: core[name]
        for key, name in (("weighting", "camera_sampling"), ("parts", "body_part_define_method"))
        if isinstance(core, dict) and isinstance(core.get(name), str)
    }

    def distribution(volumes: Mapping, images: Any, part: str) -> Distribution:
        probability, seen = _volumes(volumes, grid, f"{part or 'total'} of {path.name}")
        return Distribution(
            probability=probability,
            grid=grid,
            seen=seen,
            category=category,
            prompt=prompt,
            part=part,
            body=fingerprint,
            metadata={
                "source": "published CHORUS code",
                "file": path.name,
                "projection": "release",
                "samples": _samples(images),
                **settings,
            },
        )

    parts = {}
    if stored.get("aggregations"):
        clusters = _world(stored["aggregations"], path)
        for part in _entry(clusters, "visual_hull_per_body_parts", path):
            of_part = {
                key: _world(
                    _entry(_entry(clusters, f"{key}_per_body_parts", path), part, path), path
                )
                for key in ("visual_hull", "full_image_visual_hull")
            }
            history = clusters.get("aggr_input_history_per_body_parts") or {}
            history = (history.get(part) or {}).get(_WORLD)
            parts[str(part)] = distribution(of_part, history, str(part))
    return PublishedResult(distribution(total, total.get("aggr_input_history"), ""), parts)


def _entry(stored: Any, name: str, path: Path) -> Any:
    """stored[name]; BadInput if there is no such thing."""
    if not isinstance(stored, dict) or name not in stored:
        names = ", ".join(sorted(map(str, stored))[:8]) if isinstance(stored, dict) else "no table"
        raise BadInput(
            f"{path} is not a result of the published CHORUS code: expected {name!r}, found "
            f"{names or 'nothing'}."
        )
    return stored[name]


def _world(stored: Any, path: Path) -> Any:
    """What is stored for the body's own space."""
    return _entry(stored, _WORLD, path)


def _grid(total: Mapping, core: Any, path: Path) -> VoxelGrid:
    """The grid of the volumes; BadInput unless it is a cube around the origin."""
    shape = array_of(_entry(total, "visual_hull", path), f"visual_hull of {path}").shape
    geometry = (total.get("geometries") or {}).get("grid") or {}
    described = core if isinstance(core, dict) else geometry
    sides = {float(described.get(f"length_{axis}", _SIDE)) for axis in "xyz"}
    centre = array_of(described.get("center", [0.0, 0.0, 0.0]), f"grid centre of {path}")
    if len(shape) != 3 or len(set(shape)) != 1 or len(sides) != 1 or np.abs(centre).max() > 1e-6:
        raise BadInput(
            f"{path}: expected volumes over a cube around the origin, found shape {shape}, sides "
            f"{sorted(sides)} m, centre {centre.tolist()}."
        )
    return VoxelGrid(shape[0], sides.pop())


def _volumes(volumes: Mapping, grid: VoxelGrid, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(probability float32, seen uint32) of a pair of weighted counts; BadInput for others."""
    mask, image = (
        np.asarray(array_of(volumes[name], f"{name}, {where}"), np.float32)
        for name in ("visual_hull", "full_image_visual_hull")
    )
    for name, volume in (("visual_hull", mask), ("full_image_visual_hull", image)):
        if volume.shape != grid.shape or not (volume >= 0).all() or np.isinf(volume).any():
            raise BadInput(
                f"{name}, {where}: expected {grid.shape} counts of 0 or more, found "
                f"{volume.shape} with {np.count_nonzero(~np.isfinite(volume))} NaN or infinite."
            )
    if (mask > image * (1 + 1e-4)).any():
        raise BadInput(f"{where}: more mask counts than image counts; the file is damaged.")
    probability = np.divide(mask, image, out=np.zeros_like(mask), where=image > 0)
    return np.minimum(probability, 1), (image > 0).astype(np.uint32)


def _samples(history: Any) -> int:
    """How many samples a history lists (the published code keeps only the first few cameras)."""
    return len(history) if isinstance(history, dict) else 0


def _fingerprint(total: Mapping, body: BodyModel | None, path: Path) -> str:
    """The body's fingerprint if the file's template is its canonical mesh, "" if unknown."""
    template = ((total.get("geometries") or {}).get("template") or {}).get("verts")
    if body is None or template is None:
        return ""
    from chorus.body.model import star_body

    vertices = array_of(template, f"template of {path}")
    expected = star_body(body).vertices.cpu().numpy()
    if vertices.shape == expected.shape and np.abs(vertices - expected).max() < _SAME_BODY:
        return body.fingerprint
    raise BadInput(
        f"{path} was made on another body model than {body.name!r}: its template has "
        f"{vertices.shape[0]} vertices and is not that body's canonical mesh; the published "
        "results belong to SMPL's neutral body, which --body names."
    )
