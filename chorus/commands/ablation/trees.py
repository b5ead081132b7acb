"""The results tree of an ablation: on top of the main one, with the tables it changes made anew.

<results>/ablations/<name>/ is a tree of its own (`ResultsTree.on`): what the ablation does not
change is read below. Of the tables that are made anew, rows whose inputs are as in the main tree
are taken over from there, since the same stage with the same settings would make them again.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.calibration.settings import CalibrationSettings
from chorus.commands.ablation.definitions import CHANGEABLE, NOISE_OF, Ablation
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput, StaleResults
from chorus.files import content_digest
from chorus.filtering.rules import RULES
from chorus.filtering.verdicts import RETAINED, FilterSettings
from chorus.geometry.boxes import iou
from chorus.pipeline import maker
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import ANY_RULE, boxes_of, retained
from chorus.records.staleness import difference, made_from
from chorus.records.tables import DONE, FAILED, Table, read_settings, read_table, write_table
from chorus.refinement.score.settings import ScoreSettings
from chorus.refinement.settings import RefinementSettings
from chorus.settings import (
    BodyOptions,
    CategoryOptions,
    DeviceOptions,
    EngineOptions,
    ImageTreeOptions,
    OptionGroup,
    RedoOptions,
    SeedOptions,
)
from chorus.synthetic.perceive.noise_settings import NoiseSettings
from chorus.vocabulary import PERSON


@dataclass(frozen=True)
class AblationOptions(
    SeedOptions,
    DeviceOptions,
    BodyOptions,
    EngineOptions,
    RedoOptions,
    ImageTreeOptions,
    CategoryOptions,
):
    """What all ablations share."""

    prior: Path | None = None
    """The learned prior of `chorus refine --refinement score`, if the tree's persons were refined
    by one: the same file."""


def ablation_tree(base: ResultsTree, name: str, ablation: Ablation) -> ResultsTree:
    """The tree of an ablation on the main tree; made where it is missing."""
    # Tables left out are not there at all: the main tree's were made from something else.
    own = (*ablation.makes, *ablation.leaves_out, "aggregations", "quant_results", "truth")
    return ResultsTree.on(base, base.root / "ablations" / name, own)


def settings_of(
    tree: ResultsTree, shards: Iterable[ShardKey], tables: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The settings that each of the tables of the shards was made with, by the table's name.

    BadInput, naming the command, if a table is missing; StaleResults if shards differ.
    """
    by_table: dict[str, dict[str, Any]] = {}
    for shard in shards:
        for name in tables:
            command = maker(name).name
            path = tree.table(name, shard)
            if not path.is_file():
                raise BadInput(f"{shard} has no {name} ({path} is missing); run chorus {command}.")
            settings = read_settings(path)
            changes = difference(by_table.setdefault(name, settings), settings)
            if changes:
                raise StaleResults(
                    f"{path} was made with other settings than {name} of other shards "
                    f"({'; '.join(changes[:3])}), so no ablation would be one change; run chorus "
                    f"{command} --overwrite."
                )
    return by_table


def make_table(
    table: str,
    ablation: Ablation,
    options: AblationOptions,
    settings: dict[str, Any],
    shards: Sequence[ShardKey],
    progress: Progress,
) -> CommandResult:
    """Bring one of an ablation's tables up to date for the options' categories.

    options: those of the ablation's tree. settings: what the main tree's table was made with, of
    which the ablation changes its one thing.
    """
    tree = options.tree
    if not ablation.filtering and table in ("humans", "filtered"):
        for shard in shards:
            _write_if_new(tree, shard, table, _UNFILTERED[table](tree.base, shard))
        return CommandResult("")
    changed = _changed(table, ablation, settings)
    if changed == settings and not options.fresh:
        for shard in shards:
            take_over(tree, shard, table)
    module = importlib.import_module(maker(table).module)
    return module.run(_stage_options(module, table, options, changed), progress)


def take_over(tree: ResultsTree, shard: ShardKey, table: str) -> None:
    """Begin a table of the tree with the rows of the tree below that have the same inputs.

    The stage must have the same settings there. A table that is there already stays as it is.
    """
    path, below = tree.table(table, shard), read_table(tree.base.table(table, shard), table)
    if path.is_file():
        return
    settings, inputs = dict(below.settings), []
    for name in made_from(table, below.settings):
        if name not in CHANGEABLE:
            continue
        settings[f"from {name}"] = read_settings(tree.table(name, shard))
        both = (read_table(layer.table(name, shard), name).rows for layer in (tree.base, tree))
        inputs.append((_TAKEN.get((table, name), _everything), *both))

    def same(index: int) -> bool:
        return all(taken(old.get(index)) == taken(new.get(index)) for taken, old, new in inputs)

    rows = {i: row for i, row in below.rows.items() if row["status"] != FAILED and same(i)}
    with tree.lock(path):
        write_table(path, table, Table(shard, settings, rows))


def _everything(row: dict | None) -> dict | None:
    return row


def _calibrated(row: dict | None) -> tuple | None:
    """What calibration takes from a verdict: whether any rule retains, and else the reason."""
    if row is None or row["status"] != DONE:
        return row and (row["status"], row["reason"])
    return True if retained(row, ANY_RULE) else (row["verdicts"][ANY_RULE[-1] - 1],)


_TAKEN = {("filtered_cameras", "filtered"): _calibrated}


def _changed(table: str, ablation: Ablation, settings: dict[str, Any]) -> dict[str, Any]:
    """The table's settings with the ablation's one change, if it is a change of this table."""
    disturbed = NOISE_OF.get(ablation.knob)
    # The keypoint detector may also have looked for the table of quality.
    again = (table, disturbed) == ("quality", "human_kps") and "noise" in settings
    if disturbed == table or again:
        if "noise" not in settings:
            raise BadInput(
                f"{table} was not made by the synthetic world, so it has no {ablation.knob} to "
                "change; leave the ablations of noise out."
            )
        value = settings["noise"][ablation.knob] * ablation.factor
        return {**settings, "noise": {**settings["noise"], ablation.knob: value}}
    if table == "filtered_cameras" and ablation.anchoring != "perspective":
        return {**settings, "anchoring": ablation.anchoring}
    return settings


def _stage_options(
    module: Any, table: str, options: AblationOptions, settings: dict[str, Any]
) -> OptionGroup:
    """A step's options from the settings that its table shall have."""
    own = {name: value for name, value in settings.items() if not name.startswith("from ")}
    if own.get("body", options.body_name) != options.body_name:
        raise StaleResults(
            f"{table} of {options.tree.base.root} were made with the body {own['body']!r}, not "
            f"{options.body_name!r}; give its file with --body."
        )
    more: dict[str, Any] = {"shard": None}  # whole categories are compared, whatever CHORUS_SHARD
    if table == "filtered":
        more["thresholds"] = FilterSettings(**own)
    elif table == "filtered_cameras":
        own.pop("body")
        more["calibration"] = CalibrationSettings(**own)
    elif table == "quality":
        more |= _quality_options(own)
    elif table == "refined":
        own.pop("body")
        more |= _refinement_options(own, options)
    else:
        more["noise"] = NoiseSettings(**own["noise"])
        more |= {name: own[name] for name in ("mode", "threshold", "seed") if name in own}
    return options.carried_to(module.Options, **more)


def _refinement_options(settings: dict[str, Any], options: AblationOptions) -> dict[str, Any]:
    """The options of `chorus refine` from the settings that its table shall have.

    StaleResults if they name a learned prior that --prior is not.
    """
    recorded = settings.pop("prior", None)
    refinement = settings.pop("refinement")
    score = {name: value for name, value in settings.items() if name.startswith("score_")}
    fit = {name: value for name, value in settings.items() if name not in score}
    more = {"refinement": refinement, "fit": RefinementSettings(**fit)}
    if refinement != "score":
        return more
    given = options.prior
    found = content_digest(given) if given is not None and given.is_file() else None
    if found != recorded:
        said = "none was given" if given is None else f"{given} is {found or 'not there'}"
        raise StaleResults(
            f"refined of {options.tree.base.root} were made by a learned prior of the digest "
            f"{recorded}, and {said}; give that prior's file with --prior, or run `chorus refine "
            "--refinement map --overwrite` before."
        )
    values = {name.removeprefix("score_"): value for name, value in score.items()}
    return {**more, "prior": given, "score": ScoreSettings(**values)}


def _quality_options(settings: dict[str, Any]) -> dict[str, Any]:
    """The options of `chorus quality` from the settings that its table shall have."""
    models = (("keypoint_model", "consistency"), ("second_keypoint_model", "agreement"))
    return {
        "criteria": tuple(settings["criteria"]),
        **{name: settings[name] for name in ("reprojected", "seed") if name in settings},
        **{
            option: settings[f"{criterion} model"]["keypoint_model"]
            for option, criterion in models
            if criterion in settings["criteria"]
        },
        **({"noise": NoiseSettings(**settings["noise"])} if "noise" in settings else {}),
    }


def _unfiltered_humans(base: ResultsTree, shard: ShardKey) -> Table:
    """The humans of a shard less all but the best-scored person of every image.

    Persons find their detection by its box: those that were too small to regress are missing.
    """
    humans = read_table(base.table("humans", shard), "humans")
    columns = ("detections.label", "detections.score", "detections.box")
    images = read_table(base.table("segmentations", shard), "segmentations", columns).rows
    rows = dict(humans.rows)
    for index, row in rows.items():
        if row["status"] == DONE and row["persons"]:
            scores = _person_scores(row["persons"], _detections(images.get(index)))
            best = max(range(len(scores)), key=scores.__getitem__)
            rows[index] = {**row, "persons": [row["persons"][best]]}
    return Table(shard, {**humans.settings, "persons": "best-scored"}, rows)


def _person_scores(persons: Sequence[dict], detections: Sequence[dict]) -> list[float]:
    """The score of each person's detection, the one of the nearest box; each has its own."""
    detected = [detection for detection in detections if detection["label"] == PERSON]
    if len(persons) > len(detected):
        raise StaleResults(
            f"humans has {len(persons)} persons where segmentations has {len(detected)}; run "
            "chorus humans --overwrite."
        )
    overlap = iou(boxes_of(persons)[:, None], boxes_of(detected)[None])
    scores, free = [], list(range(len(detected)))
    for at in range(len(persons)):
        nearest = max(free, key=overlap[at].__getitem__)
        free.remove(nearest)
        scores.append(detected[nearest]["score"])
    return scores


def _detections(row: dict | None) -> list[dict]:
    return row["detections"] if row is not None and row["status"] == DONE else []


def _unfiltered_verdicts(base: ResultsTree, shard: ShardKey) -> Table:
    """The verdicts of a shard, all retained where a person and an object were detected."""
    verdicts = read_table(base.table("filtered", shard), "filtered")
    images = read_table(base.table("segmentations", shard), "segmentations").rows
    rows = dict(verdicts.rows)
    for index, row in rows.items():
        if row["status"] != DONE:
            continue
        detections = images[index]["detections"]
        persons = [at for at, d in enumerate(detections) if d["label"] == PERSON]
        if persons and row["objects"]:
            best = max(persons, key=lambda at: detections[at]["score"])
            rows[index] = {**row, "verdicts": [RETAINED] * len(RULES), "person": best}
    return Table(shard, {**verdicts.settings, "retained": "person and object"}, rows)


_UNFILTERED: dict[str, Callable[[ResultsTree, ShardKey], Table]] = {
    "humans": _unfiltered_humans,
    "filtered": _unfiltered_verdicts,
}


def _write_if_new(tree: ResultsTree, shard: ShardKey, name: str, table: Table) -> None:
    path = tree.table(name, shard)
    with tree.lock(path):
        if path.is_file():
            stored = read_table(path, name)
            if (stored.settings, stored.rows) == (table.settings, table.rows):
                return
        write_table(path, name, table)
