"""The page of an evaluation: PAP tables, precision and recall, and test images, in one HTML file.

Data in, text out: nothing is read or written here. The page needs no script and no network; its
content security policy forbids both. Plots are inline SVG, pictures JPEG data addresses.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from chorus.errors import BadInput
from chorus.viewing.contact_sheet import tinted
from chorus.viewing.lettering import printable
from chorus.viewing.packing import data_address

PICTURE_SIDE = 340
"""Longer side of the test images on the page, pixels, and how they are compressed."""
PLAIN, AWARE = "#7e1fa0", "#0f8f83"
"""Colours of the plain curve and of the human-occlusion-aware one."""
OUTLINE = (0, 225, 255)
"""Of the target; a colour that few objects have."""
_PANEL, _PERSON, _TARGET = 226, 176, 110  # greys where no photograph is at hand
_DIMMED = 0.42
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
_STYLE = """
:root { --ink: #20222a; --faint: #6d717c; --line: #dfdfda; --panel: #f6f6f4; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1480px; padding: 34px 40px 60px; color: var(--ink);
  background: #fff;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 4px; font-size: 30px; line-height: 1.15; }
h2 { margin: 46px 0 2px; font-size: 22px; }
h3 { margin: 30px 0 10px; font-size: 17px; }
p, .about { color: var(--faint); margin: 4px 0 14px; max-width: 75em; overflow-wrap: anywhere; }
nav a { color: #7e1fa0; margin-right: 18px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: 13px; vertical-align: bottom;
  border-bottom: 2px solid var(--ink); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.mean td { font-weight: 700; border-top: 2px solid var(--ink); }
tr.outside td { color: var(--faint); }
td small { color: var(--faint); font-weight: 400; margin-left: 5px; }
td svg { display: block; margin: 1px 0 2px auto; }
.plots { display: grid; gap: 14px 22px;
  grid-template-columns: repeat(auto-fill, minmax(172px, 1fr)); }
.plots figure { margin: 0; } .plots svg { display: block; width: 100%; }
.plots figcaption { font-size: 14px; font-weight: 600; padding-left: 14%; }
.key span { display: inline-block; width: 22px; height: 3px; margin: 0 6px 4px 0; }
.key { margin-right: 22px; color: var(--ink); }
article { margin: 0 0 26px; break-inside: avoid; }
article header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 18px;
  border-top: 1px solid var(--line); padding-top: 10px; margin-bottom: 8px; }
article h4 { margin: 0; font-size: 17px; }
article header span { color: var(--faint); font-size: 14px; }
.scale { display: inline-block; width: 110px; height: 9px; margin: 0 7px; border-radius: 3px; }
.examples { display: grid; gap: 22px; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.examples figure { margin: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
.pair img { display: block; width: 100%; border-radius: 5px; }
.examples figcaption { margin-top: 5px; font-size: 13px; color: var(--faint);
  overflow-wrap: anywhere; }
.examples figcaption b { color: var(--ink); font-size: 14px; margin-right: 8px; }
@media (max-width: 900px) { body { padding: 20px; } .examples { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a table: its first cells, then mean, low and high of every figure, 0..1."""

    cells: Sequence[str]
    figures: Float[np.ndarray, "n 3"]
    """NaN where there is no figure, or a mean without an interval."""
    kind: str = ""
    """`mean` for the last line, `outside` for a category that the mean leaves out."""


@dataclass(frozen=True, eq=False)
class Example:
    """One test image with what a distribution foretells for it."""

    rank: str
    """`best`, `median` or `worst`."""
    name: str
    pap: float
    """The image's PAP, 0..1, in the version of its section."""
    mask: Bool[np.ndarray, "H W"]
    """The target."""
    likelihood: Float[np.ndarray, "h w"]
    """Largest probability per cell, -1 where no voxel lands."""
    human: Bool[np.ndarray, "h w"]
    """Cells that the person covers; drawn where there is no photograph."""
    image: UInt8[np.ndarray, "H W 3"] | None = None
    """The photograph; None if it is not at hand."""


@dataclass(frozen=True, eq=False)
class Category:
    """One category's curves and examples."""

    name: str
    curve: Float[np.ndarray, "p 2"]
    """Recall and precision at rising thresholds, over the cells of all test images."""
    curve_hoa: Float[np.ndarray, "p 2"]
    """The same without the cells that the person covers; empty if that leaves no target."""
    figure: str
    """The category's mPAP in words, with its version."""
    examples: Sequence[Example] = ()
    note: str = ""
    """Why there are no examples."""


@dataclass(frozen=True, eq=False)
class Section:
    """Everything about one aggregation, scored by one version of the metric with one setting."""

    heading: str
    about: str
    """The settings, in words."""
    metric: str
    """The version, which every figure is shown with."""
    header: Sequence[str]
    rows: Sequence[Row]
    categories: Sequence[Category]


def pap_page(title: str, sections: Sequence[Section], made_from: str = "") -> str:
    """The page's HTML. `made_from` is kept in it as `<meta name="made-from">`.

    BadInput without sections.
    """
    if not sections:
        raise BadInput("a page of PAP needs at least one table, found none; run evaluate first.")
    links = "".join(
        f'<a href="#section-{number}">{_text(section.heading)}</a>'
        for number, section in enumerate(sections)
    )
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f'<meta name="made-from" content="{_text(made_from)}">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<nav>{links}</nav>" if len(sections) > 1 else "",
        *(_section(number, section) for number, section in enumerate(sections)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _text(value: str) -> str:
    return html.escape(printable(value))


def _section(number: int, section: Section) -> str:
    plots = "".join(map(_plot, section.categories))
    return "\n".join(
        [
            f'<section id="section-{number}"><h2>{_text(section.heading)}</h2>',
            f'<p class="about">{_text(section.about)}</p>',
            _table(section),
            f"<h3>Precision and recall ({_text(section.metric)})</h3>",
            f'<p><span class="key"><span style="background:{PLAIN}"></span>all cells</span>'
            f'<span class="key"><span style="background:{AWARE}"></span>without cells that the '
            "person covers (hoa)</span>Cells of all test images of a category counted together, "
            "one point for each threshold; up is precision, right is recall, both from 0 to 1.</p>",
            f'<div class="plots">{plots}</div>',
            f"<h3>Best, median and worst test image ({_text(section.metric)})</h3>",
            "<p>Left the test image with its target outlined, right the distribution posed like "
            "the person and projected: the largest probability in each cell that is compared, "
            "smoothed for display, in one colour scale for a category.</p>",
            *(_examples(section.metric, category) for category in section.categories),
            "</section>",
        ]
    )


def _table(section: Section) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in section.header)
    figures = [row.figures.ravel() for row in section.rows]  # a mean may have no interval
    top = float(np.nanmax([0.01, *np.concatenate(figures)])) if figures else 1.0
    lines = []
    for row in section.rows:
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in row.cells)
        figures = "".join(_figure(*map(float, figure), top) for figure in row.figures)
        lines.append(f'<tr class="{_text(row.kind)}">{cells}{figures}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _figure(mean: float, low: float, high: float, top: float) -> str:
    """A cell: the figure in percent, its interval, if any, in words and as a bar up to `top`."""
    if np.isnan(mean):
        return "<td>–</td>"
    x, left, right = (1 + 118 * value / top for value in (mean, low, high))
    words = interval = ""
    if not np.isnan(low):
        words = f"<small>[{100 * low:.1f}, {100 * high:.1f}]</small>"
        interval = (
            f'<path d="M{left:.1f} 4H{right:.1f}" stroke="{PLAIN}" stroke-width="2" opacity=".45"/>'
        )
    bar = (
        '<svg width="120" height="8" viewBox="0 0 120 8"><path d="M0 4H120" stroke="#e6e6e2"/>'
        f'{interval}<circle cx="{x:.1f}" cy="4" r="3" fill="{PLAIN}"/></svg>'
    )
    return f"<td>{100 * mean:.1f}{words}{bar}</td>"


def _plot(category: Category) -> str:
    """One of the small multiples: both curves of a category."""
    left, top, side = 24, 6, 150
    grid = "".join(
        f'<path d="M{left + side * at} {top}v{side}M{left} {top + side * at}h{side}"/>'
        for at in (0, 0.25, 0.5, 0.75, 1)
    )
    labels = "".join(
        f'<text x="{left + side * at}" y="{top + side + 13}" text-anchor="middle">{at:g}</text>'
        f'<text x="{left - 5}" y="{top + side * (1 - at) + 3.5}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    curves = []
    for points, colour in ((category.curve_hoa, AWARE), (category.curve, PLAIN)):
        places = [f"{left + side * r:.1f},{top + side * (1 - p):.1f}" for r, p in points]
        curves.append(
            f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" '
            'stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>'
        )
    name = _text(category.name)
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 182 174" role="img" '
        f'aria-label="precision over recall, {name}"><g stroke="#e6e6e2" fill="none">{grid}</g>'
        f'<g font-size="9.5" fill="#6d717c">{labels}</g>{"".join(curves)}</svg></figure>'
    )


def _examples(metric: str, category: Category) -> str:
    head = f"<h4>{_text(category.name)}</h4><span>{_text(category.figure)}</span>"
    if not category.examples:
        return f"<article><header>{head}<span>{_text(category.note)}</span></header></article>"
    top = max(float(example.likelihood.max()) for example in category.examples)
    top = top if top > 0 else 1.0
    stops = ", ".join(f"rgb{tuple(map(int, colour))}" for colour in _colours(np.linspace(0, 1, 9)))
    scale = (
        "<span>probability 0"
        f'<i class="scale" style="background:linear-gradient(90deg, {stops})"></i>{top:.2f}</span>'
    )
    figures = []
    for example in category.examples:
        pictures = "".join(
            f'<img src="{data_address(Image.fromarray(picture))}" alt="{alt}">'
            for picture, alt in zip(
                example_pictures(example, top),
                ("test image", "projected distribution"),
                strict=True,
            )
        )
        figures.append(
            f'<figure><div class="pair">{pictures}</div><figcaption><b>{_text(example.rank)}</b>'
            f"{_text(example.name)} · PAP {100 * example.pap:.1f} % "
            f"({_text(metric)})</figcaption></figure>"
        )
    return (
        f"<article><header>{head}{scale}</header>"
        f'<div class="examples">{"".join(figures)}</div></article>'
    )


def example_pictures(
    example: Example, top: float
) -> tuple[UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b 3"]]:
    """The test image with its target, and the likelihood over the dimmed image, side by side.

    top: the probability with the brightest colour. Without a photograph person and target are
    drawn in greys. The longer side is PICTURE_SIDE pixels. BadInput if a photograph and its mask
    differ in size.
    """
    mask = np.asarray(example.mask, bool)
    height, width = mask.shape
    if example.image is not None and example.image.shape[:2] != mask.shape:
        raise BadInput(
            f"the test image {example.name} has {example.image.shape[1]} x "
            f"{example.image.shape[0]} pixels, its mask {width} x {height}; build the test set "
            "again from these images."
        )
    shrink = PICTURE_SIDE / max(height, width)
    shape = max(round(height * shrink), 1), max(round(width * shrink), 1)
    mask = _resized(mask.astype(np.float32), shape) > 0.5
    # cells are square; those of the longer side may leave a strip uncovered (`small_shape`)
    cell = min(shape) / min(example.likelihood.shape)
    chance = _spread(np.maximum(example.likelihood, 0) / top, shape, cell, smooth=True)
    if example.image is None:
        person = _spread(example.human.astype(np.float32), shape, cell, smooth=False) > 0.5
        grey = np.where(mask, _TARGET, np.where(person, _PERSON, _PANEL))
        photograph = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    else:
        small = Image.fromarray(example.image).resize(shape[::-1], Image.Resampling.LANCZOS)
        photograph = np.asarray(small)
    dimmed = _DIMMED * photograph.mean(axis=2, keepdims=True)
    alpha = 0.95 * chance[..., None] ** 0.75
    mixed = (dimmed * (1 - alpha) + _colours(chance) * alpha + 0.5).astype(np.uint8)
    return tinted(photograph, mask, OUTLINE, fill=0.08), tinted(mixed, mask, (255,) * 3, fill=0)


def _resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(values)
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR))


def _spread(
    cells: Float[np.ndarray, "h w"], shape: tuple[int, int], cell: float, smooth: bool
) -> Float[np.ndarray, "a b"]:
    """Values per cell on a picture of `shape` whose cells are `cell` pixels wide; 0 elsewhere."""
    size = [min(round(n * cell), most) for n, most in zip(cells.shape, shape, strict=True)]
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    large = Image.fromarray(cells.astype(np.float32)).resize(size[::-1], method)
    spread = np.zeros(shape, np.float32)
    spread[: size[0], : size[1]] = np.clip(np.asarray(large), 0, 1)
    return spread


def _colours(share: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 colours of shares (...) from 0 to 1."""
    from matplotlib import colormaps

    return (255 * colormaps["inferno"](0.15 + 0.83 * np.asarray(share))[..., :3] + 0.5).astype(
        np.uint8
    )
