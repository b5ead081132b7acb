"""`chorus evaluate --task reconstruction`: where methods put objects, against where they are.

Per category a file <results>/reconstruction/<model>/<category>.json with every image's figures by
every method, and a picture <category>.png of the best, the median and the worst (by the centroid's
error of prior and mask, of the last preset named).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.body.loading import load_body
from chorus.commands.reconstructing.figures import overall_table, per_category_table
from chorus.commands.touching.chosen import aggregated
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import ChorusError
from chorus.evaluation.labelled_sets import SYNTHETIC, table_of
from chorus.evaluation.result_files import digest
from chorus.files import atomic_write, portable_name
from chorus.settings import AggregationOptions, BodyOptions, RedoOptions, ShardOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.commands.reconstructing.methods import Method
    from chorus.commands.reconstructing.true_scenes import TrueScene
    from chorus.evaluation.reconstruction_scores import ReconstructionScores
    from chorus.occupancy.distribution import Distribution

FOLDER, VERSION = "reconstruction", 1


@dataclass(frozen=True)
class Options(ShardOptions, BodyOptions, RedoOptions, AggregationOptions):
    """What `chorus evaluate` hands on."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Score what is missing or was made of other distributions or test images, and tabulate all."""
    started = time.monotonic()
    body = load_body(options.body, options.imports_dir)
    kinds = {kind.preset: aggregated(options, kind) for kind in options.kinds()}
    present = set.intersection(*({each.category for each in found} for found in kinds.values()))
    report, records = CommandResult(""), {}
    for category in options.my_part(list(options.categories) or sorted(present)):
        try:
            records[category] = _category(options, category, kinds, body, progress)
        except ChorusError as error:
            report.problems.append(str(error))
    report.ok = bool(records)
    report.complete = not report.problems
    scores = {category: scores_of(record) for category, record in records.items()}
    if scores:
        report.text = f"{overall_table(scores)}\n\n{per_category_table(scores)}"
    where = options.tree.folder(FOLDER) / options.models.model_key
    seconds = time.monotonic() - started
    report.line = (
        f"evaluate: reconstructions of {len(records)} categories in {seconds:.1f} s → {where}"
    )
    return report


def scores_of(record: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """By method and figure the values (n,) of the images, NaN where there is none."""
    return {
        method: {
            name: np.array([np.nan if value is None else value for value in values], float)
            for name, values in figures.items()
        }
        for method, figures in record["methods"].items()
    }


def _category(
    options: Options, category: str, kinds: Mapping, body: BodyModel, progress: Progress
) -> dict[str, Any]:
    """A category's record, from its file if that is still true."""
    from chorus.commands.reconstructing.fields import fields_of, total_of

    fields = {name: fields_of(found, category) for name, found in kinds.items()}
    total = total_of(list(kinds.values())[-1], category)
    made_from = _made_from(options, category, fields, total, body)
    parts = (portable_name(options.models.model_key), f"{portable_name(category)}.json")
    path = options.tree.folder(FOLDER).joinpath(*parts)
    stored = None if options.fresh else _stored(path)
    if stored is not None and stored["made_from"] == made_from:
        return stored
    record = {"version": VERSION, "category": category, "made_from": made_from}
    picture = path.with_suffix(".png")
    record |= _scored(options, category, fields, total, body, picture, progress)
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with options.tree.lock(path):
        atomic_write(path, text.encode())
    return record


def _made_from(
    options: Options,
    category: str,
    fields: Mapping[str, Sequence[Distribution]],
    total: Sequence[Distribution],
    body: BodyModel,
) -> dict[str, Any]:
    from chorus.reconstruction.placement import PlacementSettings
    from chorus.reconstruction.posterior import PosteriorSettings

    return {
        "test_set": digest(table_of(options.tree, SYNTHETIC, category).read_bytes()),
        "body": body.fingerprint,
        "settings": asdict(PosteriorSettings()),
        "placement": asdict(PlacementSettings()),
        "total": [digest(field.probability.tobytes()) for field in total],
        "distributions": {
            name: {field.prompt: digest(field.probability.tobytes()) for field in of}
            for name, of in fields.items()
        },
    }


def _stored(path: Path) -> dict[str, Any] | None:
    """The record in a file; None if there is none, it is damaged or of another version."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if record["version"] == VERSION and "made_from" in record else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _scored(
    options: Options,
    category: str,
    fields: Mapping[str, Sequence[Distribution]],
    total: Sequence[Distribution],
    body: BodyModel,
    picture: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Every method on every image, and the picture."""
    from chorus.commands.reconstructing.methods import baselines, of_distributions
    from chorus.commands.reconstructing.placements import of_placements
    from chorus.commands.reconstructing.true_scenes import true_scenes
    from chorus.evaluation.reconstruction_scores import (
        ReconstructionScores,
        reconstruction_scores,
    )

    preset, last = list(fields.items())[-1]
    methods: dict[str, Method] = {
        **baselines(body),
        **of_placements([*last, *total], body, preset),
        **of_distributions(fields, body),
    }
    grid = next(iter(fields.values()))[0].grid
    scores: dict[str, list[ReconstructionScores]] = {name: [] for name in methods}
    scenes: list[TrueScene] = []
    with one_torch_thread(), progress_bar(progress, 1, f"evaluate {category}", "category") as step:
        for scene in true_scenes(options.tree, category, body):
            scenes.append(scene)
            for name, method in methods.items():
                scores[name].append(reconstruction_scores(method(scene), scene.thing, grid))
        step(1)
    _draw(options, scenes, [each.centroid for each in scores[name]], last, body, picture)
    return {
        "images": [scene.row["image"] for scene in scenes],
        "prompts": [scene.prompt for scene in scenes],
        "sizes": [scene.thing.size for scene in scenes],
        "methods": {
            name: {
                figure: [_number(getattr(each, figure)) for each in of]
                for figure in ReconstructionScores._fields
            }
            for name, of in scores.items()
        },
    }


def _draw(
    options: Options,
    scenes: Sequence[TrueScene],
    errors: Sequence[float],
    fields: Sequence[Distribution],
    body: BodyModel,
    path: Path,
) -> None:
    """The images of the least, the median and the largest error."""
    import torch

    from chorus.commands.reconstructing.methods import camera_of
    from chorus.commands.reconstructing.pictures import pictured
    from chorus.evaluation.labelled_sets import image_folder, read_photograph
    from chorus.reconstruction.reconstruct import reconstruct
    from chorus.viewing.figures import save_png
    from chorus.viewing.reconstruction_picture import reconstruction_picture

    order = np.argsort(errors)
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    folder = image_folder(
        SYNTHETIC, table_of(options.tree, SYNTHETIC, fields[0].category), options.imports_dir
    )
    rows = []
    for rank, number in chosen.items():
        scene = scenes[number]
        pose, camera = torch.from_numpy(scene.image.pose), camera_of(scene)
        found = reconstruct(fields, body, pose, camera, scene.image.mask)
        photograph = read_photograph(folder / scene.row["image"], scene.image.mask.shape)
        title = f"{rank}: {scene.prompt}"
        subtitle = f"centroid {100 * errors[number]:.0f} cm from the true one"
        truth = scene.thing.placed(scene.thing.vertices), scene.thing.faces
        rows.append(
            pictured(
                photograph, scene.image.mask, camera, body, pose, found, title, subtitle, truth
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(reconstruction_picture(rows), path)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)
