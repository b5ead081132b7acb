"""The contact sheet of a category: images of every prompt, and what each stage made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.engine.loop import Sample
from chorus.errors import ChorusError
from chorus.filtering.verdicts import RETAINED
from chorus.generation.augprompts import full_text
from chorus.geometry import masks
from chorus.records.image_files import read_what_is_kept
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.tables import DONE, read_table
from chorus.settings import RunOptions
from chorus.stages.filter import retained
from chorus.vocabulary import PERSON

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.viewing.contact_sheet import FittedBody, Tile
    from chorus.viewing.gl import Renderer

COLUMNS = 6
_RETAINED_PER_PROMPT, _DROPPED_PER_PROMPT = 8, 4  # two rows a prompt
_TABLES = ("images", "segmentations", "humans", "filtered_cameras")
SHEET_TABLES = ("filtered", *_TABLES)
"""Where a contact sheet gets what it shows."""


def write_sheet(
    options: RunOptions, category: str, rules: Sequence[int], path: Path, renderer: Renderer = "cpu"
) -> None:
    """Write the contact sheet of a category's images as a PNG."""
    from chorus.body.loading import load_body
    from chorus.viewing.contact_sheet import write_contact_sheet

    body = load_body(options.body, options.imports_dir)
    shards = options.tree.shards("filtered", options.models.model_key, [category], options.prompts)
    tiles = []
    prompts = list(dict.fromkeys(shard.prompt for shard in shards))
    shared = _shared_words(prompts)
    for prompt in prompts:
        samples = [s for shard in shards if shard.prompt == prompt for s in _judged(options, shard)]
        for sample in _completed(options, choose(samples, rules)):
            caption = _caption(sample, shared)
            tiles.append(_tile(options, sample, rules, caption, body))
    write_contact_sheet(
        path,
        tiles,
        title=category,
        subtitle="images and verdicts",
        columns=COLUMNS,
        kind=renderer,
    )


def choose(samples: Sequence[Sample], rules: Sequence[int]) -> list[Sample]:
    """A prompt's samples for the sheet: retained ones and dropped ones of differing reasons.

    Spread evenly over the augprompts, the same on every run.
    """
    kept = [s for s in samples if retained(s.inputs["filtered"], rules)]
    dropped: dict[str, list[Sample]] = {}
    for sample in samples:
        if not retained(sample.inputs["filtered"], rules):
            dropped.setdefault(_verdict(sample, rules), []).append(sample)
    turns = (
        group[at] for at in range(len(samples)) for group in dropped.values() if at < len(group)
    )
    rejected = [sample for sample, _ in zip(turns, range(_DROPPED_PER_PROMPT), strict=False)]
    missing = _DROPPED_PER_PROMPT - len(rejected)
    return [*_spread(kept, _RETAINED_PER_PROMPT + missing), *rejected]


def _spread(samples: Sequence[Sample], count: int) -> Iterable[Sample]:
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[at] for at in dict.fromkeys(places.tolist())]


def _judged(options: RunOptions, shard: ShardKey) -> list[Sample]:
    """Samples of a shard with their verdicts, which is all that choosing among many needs."""
    rows = read_table(options.tree.table("filtered", shard), "filtered", ("verdicts",)).rows
    return [Sample(SampleKey(*shard, index), {"filtered": rows[index]}) for index in sorted(rows)]


def _completed(options: RunOptions, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with their rows in all other tables that have one."""
    completed: dict[SampleKey, Sample] = {}
    for shard in dict.fromkeys(sample.key.shard for sample in samples):
        tables = {
            name: read_table(path, name).rows
            for name in _TABLES
            if (path := options.tree.table(name, shard)).is_file()
        }
        for key, inputs in ((s.key, s.inputs) for s in samples if s.key.shard == shard):
            further = {n: rows[key.index] for n, rows in tables.items() if key.index in rows}
            completed[key] = Sample(key, {**inputs, **further})
    return [completed[sample.key] for sample in samples]


def _shared_words(prompts: Sequence[str]) -> tuple[int, int]:
    """How many words all prompts have in common at their beginning and end."""
    words = [prompt.split() for prompt in prompts]
    if len(words) < 2:
        return 0, 0

    def common(lists: Iterable[Sequence[str]]) -> int:
        return next(
            (at for at, column in enumerate(zip(*lists, strict=False)) if len(set(column)) > 1),
            min(map(len, words)),
        )

    first = common(words)
    last = common([prompt[::-1] for prompt in words])
    return first, min(last, min(map(len, words)) - first)


def _caption(sample: Sample, shared: tuple[int, int]) -> str:
    """The prompt's own words, and the augprompt: `carries, side view`."""
    words = sample.key.prompt.split()
    own = " ".join(words[shared[0] : len(words) - shared[1]])
    return full_text(own or sample.key.prompt, sample.key.augprompt)


def _verdict(sample: Sample, rules: Sequence[int]) -> str:
    row = sample.inputs["filtered"]
    if row["status"] != DONE:
        return row["reason"]
    return RETAINED if retained(row, rules) else row["verdicts"][rules[0] - 1]


def _tile(
    options: RunOptions, sample: Sample, rules: Sequence[int], caption: str, body: BodyModel
) -> Tile:
    from chorus.viewing.contact_sheet import Tile

    try:
        kept = read_what_is_kept(options.tree, sample)  # also raises for an image never made
        image = None if kept is None else kept.pixels
    except ChorusError:
        image = None  # drawn as an unreadable tile; `verify` says what is wrong
    object_mask = person_mask = None
    row = sample.inputs.get("segmentations")
    if row is not None and row["status"] == DONE:
        size = row["height"], row["width"]
        by_kind = {True: [], False: []}
        for detection in row["detections"]:
            by_kind[detection["label"] == PERSON].append(detection["mask"])
        person_mask, object_mask = (masks.union(by_kind[kind], *size) for kind in (True, False))
    return Tile(
        image=image,
        caption=caption,
        verdict=_verdict(sample, rules),
        retained=retained(sample.inputs["filtered"], rules),
        object_mask=object_mask,
        person_mask=person_mask,
        body=_fitted(sample, body),
    )


def _fitted(sample: Sample, body: BodyModel) -> FittedBody | None:
    from chorus.viewing.contact_sheet import FittedBody

    camera = sample.inputs.get("filtered_cameras")
    if camera is None or camera["status"] != DONE:
        return None
    pose = np.array(sample.inputs["humans"]["persons"][0]["pose"], np.float32).reshape(24, 3)
    pose[0] = 0
    return FittedBody(
        body.pose(pose).vertices.numpy(),
        body.faces.numpy(),
        *(np.array(camera[n], np.float64).reshape(s) for n, s in _CAMERA_SHAPES),
    )


_CAMERA_SHAPES = (("R", (3, 3)), ("t", (3,)), ("K", (3, 3)))
