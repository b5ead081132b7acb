"""The method on one page: from a category's name to its 3D distribution, step by step.

    prompts      what people do with the object, one sentence an interaction
    images       a text-to-image model shows every interaction, from many sides
    segment      instance masks of the persons and of the object
    humans       the SMPL body of every person, under weak perspective
    keypoints    the 2D keypoints of every person
    filter       which images show one person who uses one object
    refine       pose and camera of every retained person, fitted to its keypoints
    quality      how far every retained sample can be trusted (optional: no usual preset reads it)
    calibrate    a perspective camera in the body frame of every retained person
    aggregate    all views in the body's canonical space: the object's probability per voxel
    view         pictures of it

Prompts are text files and distributions folders; every other arrow between two steps is a table on
disk (docs/results-format.md),

    <results>/<table>/<model key>/<category>/<prompt>/<augprompt>.parquet

so each step can be rerun, resumed, spread over machines or fed with somebody else's data. What the
steps compute is in docs/method.md; `chorus run` takes them in this order. Nothing else in the code
knows the order or the graph of the tables: it asks here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: its module has `Options` and `run(options, progress)`."""

    name: str
    """What is typed: `chorus <name>`."""
    about: str = ""
    """What it does, as `chorus --help` says it."""
    module: str = ""
    reads: tuple[str, ...] = ()
    """Tables it is made from; a sample is worked on if the first of them has it."""
    may_read: tuple[str, ...] = ()
    """Tables that it also needs where its options or settings ask for them, or that it heeds where
    they are there."""
    writes: tuple[str, ...] = ()
    """The table it makes, then those that it makes beside it."""
    script: str = ""
    """The published release's name of it, below scripts/."""
    looks_at_images: bool = False
    """Whether it needs the image files, not their table alone."""


STEPS = (
    Step(
        "prompts",
        "write prompts for categories",
        "chorus.stages.prompts",
        script="generation/generate_prompts.py",
    ),
    Step(
        "images",
        "generate images for every prompt and augprompt",
        "chorus.stages.images",
        writes=("images", "synthetic_truth", "annotations"),
        script="generation/generate_images.py",
    ),
    Step(
        "segment",
        "find persons and objects in the images",
        "chorus.stages.segment",
        reads=("images",),
        may_read=("annotations",),
        writes=("segmentations",),
        script="aggregation/predict_segmentations.py",
        looks_at_images=True,
    ),
    Step(
        "humans",
        "fit a body to every person",
        "chorus.stages.humans",
        reads=("images", "segmentations"),
        writes=("humans",),
        script="aggregation/predict_humans.py",
        looks_at_images=True,
    ),
    Step(
        "keypoints",
        "find the 2D keypoints of every person",
        "chorus.stages.keypoints",
        reads=("images", "segmentations"),
        writes=("human_kps",),
        script="aggregation/predict_keypoints.py",
        looks_at_images=True,
    ),
    Step(
        "filter",
        "judge which images show one person using one object",
        "chorus.stages.filter",
        reads=("segmentations", "human_kps"),
        writes=("filtered",),
        script="aggregation/filter_dataset.py",
    ),
    Step(
        "refine",
        "move every retained body onto the 2D keypoints found of its person",
        "chorus.stages.refine",
        reads=("filtered", "humans", "human_kps", "segmentations", "images"),
        writes=("refined",),
    ),
    Step(
        "quality",
        "mark, from 0 to 1, how far every retained sample can be trusted (optional)",
        "chorus.stages.quality",
        reads=("filtered", "humans", "human_kps"),
        may_read=("refined", "images"),
        writes=("quality",),
    ),
    Step(
        "calibrate",
        "anchor a perspective camera to every retained person",
        "chorus.stages.calibrate",
        reads=("filtered", "humans", "images"),
        writes=("filtered_cameras",),
        script="aggregation/predict_perspective.py",
    ),
    Step(
        "aggregate",
        "accumulate the 3D distributions",
        "chorus.stages.aggregate",
        reads=("filtered", "filtered_cameras", "humans", "segmentations"),
        may_read=("refined", "quality"),
        script="aggregation/aggregate.py",
    ),
    Step(
        "view",
        "make stills, turntables, the interactive page and the contact sheet",
        "chorus.stages.view",
        reads=("filtered", "images", "segmentations", "humans", "filtered_cameras"),
        may_read=("refined",),
    ),
)
"""The steps in order. `aggregate` makes folders (`records.aggregations`), `view` pictures.
`annotations` comes from `chorus import`, which may stand in for `images`."""


def step(name: str) -> Step:
    """The step of that name; KeyError for another."""
    return {each.name: each for each in STEPS}[name]


def tables() -> tuple[str, ...]:
    """All tables of samples, in the order of making."""
    return tuple(table for each in STEPS for table in each.writes)


def maker(table: str) -> Step:
    """The step that makes a table."""
    return next(each for each in STEPS if table in each.writes)


def sources(table: str, among: Collection[str] | None = None) -> tuple[str, ...]:
    """The tables that a table is made from, or those `among` some."""
    return tuple(name for name in maker(table).reads if among is None or name in among)


def ingredients(name: str, among: Collection[str] | None = None) -> tuple[str, ...]:
    """The main tables that a step is made from, directly or through others, in order; `among` are
    the ones it reads where that is not all of `reads`, or some of `may_read` too."""
    one = step(name)
    needed = set(one.reads) if among is None else {*one.reads, *one.may_read}.intersection(among)
    for table in reversed(main_tables()):
        if table in needed:
            needed |= set(sources(table))
    return tuple(table for table in main_tables() if table in needed)


def main_tables() -> tuple[str, ...]:
    """The tables that the next steps are made from: each step's first, in order."""
    return tuple(each.writes[0] for each in STEPS if each.writes)
