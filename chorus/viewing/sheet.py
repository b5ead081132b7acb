"""The contact sheet of a category: images of every prompt, and what each stage made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.generation.augprompts import full_text
from chorus.occupancy.presets import Anchor
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera, masks_of, retained, verdict
from chorus.records.tables import DONE
from chorus.viewing.judged import (
    BODY_TABLES,
    JudgedSample,
    camera_row,
    completed,
    judged,
    pixels_of,
    pose_of,
    spread,
)

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.viewing.contact_sheet import FittedBody, Tile
    from chorus.viewing.gl import Renderer

COLUMNS = 6
BODIES: dict[Anchor, str] = {"calibrated": "regressed body", "refined": "refined body"}
"""What the bodies that are drawn are called."""
_RETAINED_PER_PROMPT, _DROPPED_PER_PROMPT = 8, 4  # two rows a prompt


@dataclass(frozen=True)
class SheetSettings:
    """What a contact sheet is made of."""

    tree: ResultsTree
    model: str
    prompts: tuple[str, ...]
    """Prompts to show; all if empty."""
    rules: Sequence[int]
    """Filter rules by which images count as retained."""
    anchor: Anchor = "calibrated"
    """Whose poses and cameras the aggregation took, which are drawn."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Where the sheet gets what it shows, verdicts first."""
        return ("filtered", "images", "segmentations", *BODY_TABLES[self.anchor])


def write_sheet(
    about: SheetSettings, category: str, body: BodyModel, path: Path, renderer: Renderer = "cpu"
) -> None:
    """Write the contact sheet of a category's images as a PNG."""
    from chorus.viewing.contact_sheet import write_contact_sheet

    shards = about.tree.shards("filtered", about.model, [category], about.prompts)
    tiles = []
    prompts = list(dict.fromkeys(shard.prompt for shard in shards))
    shared = _shared_words(prompts)
    for prompt in prompts:
        mine = [shard for shard in shards if shard.prompt == prompt]
        samples = [sample for shard in mine for sample in judged(about.tree, shard)]
        for sample in completed(about.tree, choose(samples, about.rules), about.tables[1:]):
            tiles.append(_tile(about, sample, caption(sample.key, shared), body))
    write_contact_sheet(
        path,
        tiles,
        title=category,
        subtitle="images and verdicts" if len(prompts) > 1 else prompts[0],
        body=BODIES[about.anchor],
        columns=COLUMNS,
        kind=renderer,
    )


def choose(samples: Sequence[JudgedSample], rules: Sequence[int]) -> list[JudgedSample]:
    """A prompt's samples for the sheet: retained ones and dropped ones of differing reasons.

    Spread evenly over the augprompts, the same on every run.
    """
    kept = [s for s in samples if retained(s.rows["filtered"], rules)]
    dropped: dict[str, list[JudgedSample]] = {}
    for sample in samples:
        if not retained(sample.rows["filtered"], rules):
            dropped.setdefault(verdict(sample.rows["filtered"], rules), []).append(sample)
    turns = (
        group[at] for at in range(len(samples)) for group in dropped.values() if at < len(group)
    )
    rejected = [sample for sample, _ in zip(turns, range(_DROPPED_PER_PROMPT), strict=False)]
    missing = _DROPPED_PER_PROMPT - len(rejected)
    return [*spread(kept, _RETAINED_PER_PROMPT + missing), *rejected]


def _shared_words(prompts: Sequence[str]) -> tuple[int, int]:
    """How many words all prompts have in common at their beginning and end; all of a single one."""
    words = [prompt.split() for prompt in prompts]

    def common(lists: Iterable[Sequence[str]]) -> int:
        return next(
            (at for at, column in enumerate(zip(*lists, strict=False)) if len(set(column)) > 1),
            min(map(len, words)),
        )

    first = common(words)
    last = common([prompt[::-1] for prompt in words])
    return first, min(last, min(map(len, words)) - first)


def caption(key: SampleKey, shared: tuple[int, int]) -> str:
    """The prompt's own words and the augprompt, `carries, side view`; the augprompt alone where
    other prompts, if there are any, have all its words too."""
    words = key.prompt.split()
    own = " ".join(words[shared[0] : len(words) - shared[1]])
    return full_text(own, key.augprompt).lstrip(", ") or key.augprompt


def _tile(about: SheetSettings, sample: JudgedSample, text: str, body: BodyModel) -> Tile:
    from chorus.viewing.contact_sheet import Tile

    person_mask = object_mask = None
    segmentation = sample.rows.get("segmentations")
    if segmentation is not None and segmentation["status"] == DONE:
        person_mask, object_mask = masks_of(segmentation)
    row = sample.rows["filtered"]
    said = verdict(row, about.rules)
    doubt = (sample.rows.get("refined") or {}).get("doubt")
    return Tile(
        image=pixels_of(about.tree, sample),
        caption=text,
        verdict=f"{said}, but {doubt}" if doubt else said,
        retained=retained(row, about.rules),
        object_mask=object_mask,
        person_mask=person_mask,
        body=_fitted(sample, body, about.anchor),
    )


def _fitted(sample: JudgedSample, body: BodyModel, anchor: Anchor) -> FittedBody | None:
    """The body that an aggregation of this anchor takes, None for a sample without one."""
    from chorus.viewing.contact_sheet import FittedBody

    row, pose = camera_row(sample.rows, anchor), pose_of(sample.rows, anchor)
    if row is None or pose is None:
        return None
    camera = Camera.of_row(row)
    numbers = (np.asarray(each, np.float64) for each in (camera.R, camera.t, camera.K))
    return FittedBody(body.pose(pose).vertices.numpy(), body.faces.numpy(), *numbers)
