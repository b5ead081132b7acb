"""The interactive page of distributions: one HTML file, opened from disk, offline, to orbit them.

Script, style, body and volumes are all inside the file. A content security policy inside it forbids
every request and every script but its own two, and texts (prompts are user input) reach the page
only as JSON that the script shows as plain text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import logging
import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from chorus.errors import BadInput
from chorus.files import replacing
from chorus.viewing import scene, surfaces
from chorus.viewing.contact_figure import ContactScale
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.figures import EMPTY_NOTE
from chorus.viewing.lettering import printable
from chorus.viewing.packing import data_address, pack_bytes
from chorus.viewing.page_body import PageBody, pack_contact, pack_motion

log = logging.getLogger(__name__)

RAW_LIMIT = 3_000_000
"""Volumes that sum to more bytes than this are compressed; below, older browsers open them too."""
SCRIPTS = tuple(
    f"template/{name}.js"
    for name in ("volumes", "posing", "materials", "solids", "distribution_page")
)
"""The viewer's parts, which become one script."""
LARGE = 6_000_000
"""A page above this many bytes is slow to open; it is written, with a warning."""
THUMBNAIL_WIDTH, SHEET_WIDTH = 900, 1600


@dataclass(frozen=True)
class Gallery:
    """Pictures that belong to a page, each optional; files are linked relative to the page."""

    stills: Sequence[Path | None] = ()
    """One per distribution, in their order."""
    turntables: Sequence[Path | None] = ()
    """One per distribution, in their order."""
    sheets: Sequence[tuple[str, Path]] = ()
    """(caption, picture) of contact sheets."""


def write_page(
    path: str | os.PathLike,
    distributions: Sequence[DisplayedDistribution],
    body: DisplayedBody | None,
    *,
    title: str = "",
    facts: Sequence[tuple[str, str]] = (),
    gallery: Gallery | None = None,
    on_body: PageBody | None = None,
    made_from: str = "",
) -> Path:
    """Write the page of `distributions` around `body` as one HTML file and return its path.

    Where their estimates differ, the page switches between these.
    `facts` are (name, value) pairs shown for every cluster; `made_from` is kept for `remembered`.
    With `on_body` the page poses `body`, which must be its star body, and shows contacts.
    Raises `BadInput` without distributions.
    """
    if not distributions:
        raise BadInput(
            "a page needs at least one distribution, found none; run `chorus aggregate`."
        )
    path = Path(path)
    on_body = None if body is None else on_body
    title = printable(title) or f"Where is the {distributions[0].category}?"
    data = {
        "title": title,
        "facts": _pairs(facts),
        "style": _style(),
        "emptyNote": EMPTY_NOTE,
        "body": None if body is None else pack_body(body),
        "motion": None if on_body is None else pack_motion(on_body),
        "clusters": _clusters(distributions, () if on_body is None else on_body.contacts),
        "pictures": _pictures(distributions, gallery or Gallery(), path.parent),
        **_framing(distributions, body),
    }
    text = fill_template(title, data, made_from)
    size = len(text.encode())
    if size > LARGE:
        log.warning("%s is %.1f MB; fewer clusters a page open quicker.", path, size / 1e6)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
    return path


def fill_template(title: str, data: dict, made_from: str = "") -> str:
    """The page with title and data put in, both escaped for their place."""
    library, script = _asset("vendor/three.min.js"), "".join(map(_asset, SCRIPTS))
    hashes = " ".join(f"'sha256-{_sha256(code)}'" for code in (library, script))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "origin": html.escape(made_from),
        "style": _asset("template/distribution_page.css"),
        "data": embed_json(data),
        "library": library,
        "script": script,
    }
    # one pass: a part that happens to contain a mark is not filled again
    return re.sub(
        r"@@([a-z]+)@@", lambda mark: parts[mark[1]], _asset("template/distribution_page.html")
    )


def embed_json(data: object) -> str:
    """JSON that can stand in a script element: no character in it ends the element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def _asset(name: str) -> str:
    """Text of a file of this package, with line ends as they are hashed by browsers."""
    place = resources.files("chorus.viewing").joinpath(*name.split("/"))
    return place.read_text(encoding="utf-8").replace("\r\n", "\n")


def _sha256(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _pairs(facts: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [[printable(str(name)), printable(str(value))] for name, value in facts]


def pack_volume(distribution: DisplayedDistribution, compress: bool) -> dict:
    """The grid cropped to what is above zero, in 255 steps up to its peak.

    `start` is the centre of the first kept voxel, metres; `shape` the kept voxels along x, y, z.
    """
    top = distribution.peak
    steps = np.rint(distribution.probability * (255 / top if top > 0 else 0)).astype(np.uint8)
    low, high = np.zeros(3, dtype=int), np.ones(3, dtype=int)
    if not distribution.is_empty:
        for axis in range(3):
            on = np.flatnonzero(steps.any(axis=tuple(a for a in range(3) if a != axis)))
            low[axis], high[axis] = on[0], on[-1] + 1
    kept = steps[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    voxel = distribution.side / steps.shape[0]
    return {
        "shape": list(kept.shape),
        "start": [float(a) for a in (low + 0.5) * voxel - distribution.side / 2],
        "voxel": voxel,
        "top": top,
        **pack_bytes(kept, compress),
    }


def pack_body(body: DisplayedBody) -> dict:
    """The body with vertices in 65,535 steps of its bounding box (a few hundredths of a mm)."""
    low = body.vertices.min(0)
    extent = np.maximum(body.vertices.max(0) - low, 1e-6)
    steps = np.rint((body.vertices - low) / extent * 65535).astype(np.uint16)
    return {
        "low": low.tolist(),
        "extent": extent.tolist(),
        "vertices": pack_bytes(steps, False),
        "faces": pack_bytes(body.faces.astype(np.uint32), False),
        "openness": pack_bytes(np.rint(255 * body.openness).astype(np.uint8), False),
    }


def _clusters(
    distributions: Sequence[DisplayedDistribution], contacts: Sequence[np.ndarray | str]
) -> list[dict]:
    compress = sum(distribution.probability.size for distribution in distributions) > RAW_LIMIT
    several = has_several_estimates(distributions)
    return [
        {
            "id": name,
            "category": printable(distribution.category),
            "prompt": distribution.prompt,
            "part": distribution.part,
            "title": printable(distribution.title),
            "partLabel": printable(distribution.part_label),
            "samples": distribution.samples,
            "weight": distribution.weight,
            "samplesLabel": distribution.samples_label,
            **({"estimate": printable(distribution.estimate)} if several else {}),
            "peak": 0.0 if distribution.is_empty else distribution.peak,
            "top": scene.ColourScale(distribution.peak).top,
            "ticks": scene.ColourScale(distribution.peak).ticks,
            "facts": _pairs(distribution.facts),
            "volume": pack_volume(distribution, compress),
            **({"contact": pack_contact(contacts[number])} if contacts else {}),
        }
        for number, (name, distribution) in enumerate(
            zip(cluster_names(distributions), distributions, strict=True)
        )
    ]


def has_several_estimates(distributions: Sequence[DisplayedDistribution]) -> bool:
    """Whether a page of these has to say which estimate it shows."""
    return len({distribution.estimate for distribution in distributions}) > 1


def cluster_names(distributions: Sequence[DisplayedDistribution]) -> list[str]:
    """A short unique name per distribution for the address: `a-person-carries-a-bag.rightArm`."""
    names: list[str] = []
    for distribution in distributions:
        words = (
            re.sub(r"[^A-Za-z0-9]+", "-", distribution.prompt).strip("-").lower()[:60] or "prompt"
        )
        part = re.sub(r"[^A-Za-z0-9]+", "-", distribution.part) or "all"
        name = f"{words}.{part}"
        taken = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{taken + 1}" if taken else name)
    return names


def _style() -> dict:
    """Numbers of the picture's style, shared with the script."""
    lights = [light / np.linalg.norm(light) for light in (scene.KEY_LIGHT, scene.FILL_LIGHT)]
    # the script's camera looks along -z with y up, ours along z with y down
    key, fill = [[float(x), float(-y), float(-z)] for x, y, z in lights]
    return {
        "key": key,
        "fill": fill,
        "contactTable": _table(ContactScale(1.0)(np.linspace(0, 1, 256))),
        "steps": list(scene.SHELL_STEPS),
        "opacity": list(scene.SHELL_OPACITY),
        "share": scene.THRESHOLD_SHARE,
        "cubic": [float(w) for w in surfaces.CUBIC],
        "table": _table(scene.ColourScale(1.0).table),
    }


def _table(colours: np.ndarray) -> str:
    """Colours (256, 3) in [0, 1] as base64 of their bytes."""
    return base64.b64encode(np.rint(255 * colours).astype(np.uint8).tobytes()).decode()


def _framing(distributions: Sequence[DisplayedDistribution], body: DisplayedBody | None) -> dict:
    """Centre and radius of the picture that holds the body and what every distribution shows."""
    points = [] if body is None else [body.vertices]
    for distribution in distributions:
        if not distribution.is_empty:
            shown = distribution.probability >= scene.default_threshold(distribution.peak)
            n = distribution.probability.shape[0]
            points.append(
                (np.argwhere(shown) + 0.5) * (distribution.side / n) - distribution.side / 2
            )
    cloud = np.concatenate(points) if points else np.array([[-1.0] * 3, [1.0] * 3])
    centre = np.array([0.0, (cloud[:, 1].min() + cloud[:, 1].max()) / 2, 0.0])
    radius = float(np.linalg.norm(cloud - centre, axis=1).max())
    return {"centre": centre.tolist(), "radius": min(radius, 1.35)}


def _pictures(
    distributions: Sequence[DisplayedDistribution], gallery: Gallery, folder: Path
) -> list[dict]:
    """Small copies of the pictures, inside the page, with links to the files beside it.

    Estimates of the same cluster follow one another.
    """
    pictures = []
    for caption, sheet in gallery.sheets:
        links = [["full size", _link(sheet, folder)]]
        source = _thumbnail(sheet, SHEET_WIDTH)
        pictures.append(_picture(source, caption, links, cluster=None, wide=True))
    several = has_several_estimates(distributions)
    clusters = [(distribution.prompt, distribution.part) for distribution in distributions]
    for number in sorted(range(len(clusters)), key=lambda n: clusters.index(clusters[n])):
        distribution = distributions[number]
        still = gallery.stills[number] if number < len(gallery.stills) else None
        video = gallery.turntables[number] if number < len(gallery.turntables) else None
        if still is None:
            continue
        links = [["full size", _link(still, folder)]]
        if video is not None:
            links.append(["turntable", _link(video, folder)])
        source = _thumbnail(still, THUMBNAIL_WIDTH)
        caption = distribution.label
        if several:
            caption += f" · estimate: {distribution.estimate}"
        pictures.append(_picture(source, caption, links, cluster=number, wide=False))
    return [picture for picture in pictures if picture["source"]]


def _picture(source: str, caption: str, links: list, cluster: int | None, wide: bool) -> dict:
    caption = printable(caption)
    return {"source": source, "caption": caption, "links": links, "cluster": cluster, "wide": wide}


def _link(target: Path, folder: Path) -> str:
    """Relative address of a file beside the page, safe in an attribute."""
    relative = Path(os.path.relpath(Path(target).resolve(), folder.resolve())).as_posix()
    return "./" + urllib.parse.quote(relative)


def _thumbnail(path: Path, width: int) -> str:
    """A small JPEG of a picture as a data address; empty, with a warning, if it cannot be read."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError) as fault:
        log.warning("%s is left out of the page: it cannot be read (%s).", path, fault)
        return ""
    if small.width > width:
        height = max(round(small.height * width / small.width), 1)
        small = small.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return data_address(small)
