"""`chorus evaluate`: the total distributions of categories → PAP on a test set (method.md 12).

Scored is, per category, the total over all prompts: of the presets `quant:…` the cluster
`fullbody` (samples whose object touches the body), of others `all` (every retained sample). Each
result is a file <results>/quant_results/<model>/<category>/<aggregation>/<metric>.json (of a test
set of one's own <metric>@<name>.json) that holds every image's figures, the pooled curves, the
settings and what it was made from. A file made of the same distribution and test set is kept.

`--task hands PRED_JSON FOLDER` scores reconstructed hands instead (`commands/hand_runs/scores`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from tyro.conf import Positional

from chorus.body.loading import body_fingerprint, load_body
from chorus.commands.hand_runs.scores import evaluate_hands
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput, ChorusError, StaleResults, unknown_name
from chorus.evaluation.labelled_images import (
    LabelledImage,
    check_field,
    check_one_body,
    labelled_image,
    warn_of_unknown_body,
)
from chorus.evaluation.labelled_sets import (
    SYNTHETIC,
    check_known,
    image_folder,
    table_of,
    usual_set,
)
from chorus.evaluation.pap_settings import THRESHOLDS, VARIANTS, PapSettings
from chorus.evaluation.result_files import RESULTS, VERSION, digest, file_name, read_scores
from chorus.files import atomic_write, display_name, portable_name
from chorus.hands.scoring import Preset
from chorus.occupancy.distribution import Distribution
from chorus.records.aggregations import WHOLE, read_record
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference
from chorus.records.tables import DONE, read_table
from chorus.settings import (
    AggregationOptions,
    BodyOptions,
    ImageTreeOptions,
    RedoOptions,
    ShardOptions,
    WorkerOptions,
)

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.evaluation.pap import ImageScore
    from chorus.evaluation.truth_scores import TrueOccupancy
    from chorus.occupancy.grid import VoxelGrid

_FULL_BODY = "fullbody"
Task = Literal["pap", "reconstruction", "hands"]


@dataclass(frozen=True)
class Options(
    ShardOptions, WorkerOptions, BodyOptions, RedoOptions, AggregationOptions, ImageTreeOptions
):
    """Score total distributions on test images (PAP), or what another task makes."""

    task: Task = "pap"
    """pap: how well distributions foretell masks. reconstruction: where `chorus reconstruct` puts
    the synthetic test set's objects, against where they are. hands: a pred.json of FreiHAND or
    HO-3D against the ground truth."""
    paths: Positional[tuple[Path, ...]] = ()
    """Of task hands: pred.json and the folder of its ground truth."""
    hand_preset: Preset = "corrected"
    """Of task hands: official, as the servers' scripts, which let a mirrored hand score 0; or
    corrected, without reflections and with errors relative to the wrist."""
    metric: str = "pap/v2"
    """Version of the metric: pap/v1 is the paper's, pap/v2 closes its curve, pap/v2-relative
    divides every field by its highest value."""
    test_set: str | None = None
    """Test images: synthetic, coco-eft-val, or the name that `import --as test_set` gave to your
    own; the synthetic world's for profile synthetic, else extended COCO-EFT (coco-eft-val)."""
    downscale_length: int = 32
    """Shorter side of the pixel grid that is compared."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Probabilities from which a voxel counts as occupied; 0.01, 0.02, ... 0.99 if left out."""
    num_multiview_thres: int = 30
    """A category with fewer test images is left out of the mean."""

    @property
    def tested_on(self) -> str:
        """The test set's name."""
        return self.test_set or usual_set(self.profile)


class Job(NamedTuple):
    """One distribution to score, and the file that its result goes to."""

    path: Path
    record: dict[str, Any]
    field: Distribution


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Score what is missing or was made of other distributions or test images."""
    if options.task == "hands":
        return evaluate_hands(options.paths, options.hand_preset)
    if options.paths:
        raise BadInput(
            f"{options.paths[0]}: task {options.task} takes no files; pred.json is for --task "
            "hands."
        )
    if options.task == "reconstruction":
        return _reconstruction(options, progress)
    started = time.monotonic()
    settings = PapSettings(options.metric, options.downscale_length, options.thresholds)
    check_known(options.tree, options.tested_on)
    names = [kind.name for kind in options.kinds()]
    evaluator = _Evaluator(options, settings, progress)
    report = CommandResult("")
    done = kept = left_out = 0
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    categories = options.my_part(_categories(options, names))
    for category in categories:
        try:
            scored, present = evaluator.category(category, names, report.problems)
            for name in names:
                found[name][category] = evaluator.stored(category, name)
            done, kept = done + scored, kept + present
        except StaleResults:
            raise
        except ChorusError as error:
            report.problems.append(str(error))
            left_out += 1
    report.ok = done + kept > 0 or not categories
    report.complete = not left_out
    where = options.tree.folder(RESULTS) / options.models.model_key
    already = f", {kept} already there" if kept else ""
    many = "distribution" if done == 1 else "distributions"
    report.line = (
        f"evaluate: {done} {many} scored{already} on {options.tested_on} by "
        f"{options.metric} in {time.monotonic() - started:.1f} s → {where}"
    )
    report.line += f"{_means(found, settings)}; all figures: chorus report"
    return report


def _reconstruction(options: Options, progress: Progress) -> CommandResult:
    """The other task; BadInput for a test set whose objects nobody knows."""
    from chorus.commands.reconstructing import evaluation

    if options.tested_on != SYNTHETIC:
        raise BadInput(
            f"only the synthetic test set knows where its objects are; {options.tested_on!r} does "
            "not. Leave out --test_set, with --profile synthetic."
        )
    return evaluation.run(options.carried_to(evaluation.Options), progress)


def _means(found: Mapping[str, Mapping[str, np.ndarray]], settings: PapSettings) -> str:
    """Of each aggregation the mean PAP over the categories found, as the end of a sentence.

    found: by aggregation and category, the PAP (n,) of its test images, NaN without a target.
    """
    texts = []
    for name, categories in found.items():
        means = [np.nanmean(pap) for pap in categories.values() if not np.isnan(pap).all()]
        if means:
            many = f"{len(means)} categories" if len(means) > 1 else "1 category"
            texts.append(f"{100 * np.mean(means):.1f} % of {many} by {name}")
    return f"; m{VARIANTS[0]} ({settings.metric}): {', '.join(texts)}" if texts else ""


def _categories(options: Options, names: Sequence[str]) -> list[str]:
    """The categories asked for, else those that have one of the aggregations."""
    root = options.tree.folder("aggregations") / portable_name(options.models.model_key)
    present = {
        display_name(path.parts[-4]) or path.parts[-4]
        for name in names
        for path in root.glob(f"*/{portable_name(TOTAL)}/{_escaped(name)}/aggregation.json")
    }
    if not present:
        raise BadInput(
            f"{root} holds no total aggregation {' or '.join(names)}; run aggregate first."
        )
    for category in options.categories:
        if category not in present:
            raise unknown_name(f"category with a total aggregation in {root}:", category, present)
    return list(options.categories) or sorted(present)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in portable_name(name))


class _Evaluator:
    """Scores categories; body and settings are shared."""

    def __init__(self, options: Options, settings: PapSettings, progress: Progress):
        self._options = options
        self._settings = settings
        self._progress = progress
        self._fingerprint = body_fingerprint(options.body, options.imports_dir)

    @cached_property
    def _body(self) -> BodyModel:
        return load_body(self._options.body, self._options.imports_dir)

    def category(self, category: str, names: Sequence[str], problems: list[str]) -> tuple[int, int]:
        """Score a category's aggregations; how many were scored, how many were there."""
        options, tested_on = self._options, self._options.tested_on
        table = table_of(options.tree, tested_on, category)
        rows = [row for row in read_table(table, "test_set").rows.values() if row["status"] == DONE]
        check_one_body(rows, self._fingerprint)
        if not rows:
            raise BadInput(f"{category}: none of the candidates in {table} is a test image.")
        if len(rows) < options.num_multiview_thres:
            problems.append(
                f"{category}: {len(rows)} test images, fewer than {options.num_multiview_thres}: "
                "scored, but left out of the mean over categories."
            )
        jobs = [self._job(category, name, table) for name in names]
        pending = [job for job in jobs if not self._is_done(job)]
        if pending:
            images = [labelled_image(row) for row in rows]
            fields = [job.field for job in pending]
            truths = {grid: self._truth(table, rows, grid) for grid in {f.grid for f in fields}}
            for job, scores in zip(pending, self._score(category, fields, images), strict=True):
                self._write(job, rows, scores, truths[job.field.grid])
        return len(pending), len(jobs) - len(pending)

    def stored(self, category: str, name: str) -> Float[np.ndarray, " n"]:
        """The PAP (n,) of a category's test images, from the result's file."""
        scores = read_scores(self._path(category, name))["images"]
        return np.array([image[VARIANTS[0]] for image in scores], float)

    def _path(self, category: str, name: str) -> Path:
        options = self._options
        parts = map(portable_name, (options.models.model_key, category, name))
        file = file_name(self._settings.metric, options.tested_on)
        return options.tree.folder(RESULTS).joinpath(*parts) / file

    def _job(self, category: str, name: str, table: Path) -> Job:
        tree, model = self._options.tree, self._options.models.model_key
        folder = tree.aggregation(model, category, TOTAL, name)
        aggregated = read_record(folder)
        part = _FULL_BODY if _FULL_BODY in aggregated["parts"] else WHOLE
        scored = Distribution.load(folder / f"{part}.npz")
        check_field(scored, self._fingerprint)
        warn_of_unknown_body(scored)
        settings = self._settings
        record = {
            "version": VERSION,
            "metric": settings.metric,
            "category": category,
            "aggregation": name,
            "part": part,
            "settings": {
                "test_set": self._options.tested_on,
                "downscale_length": settings.downscale_length,
                "thresholds": list(settings.thresholds),
                "body": self._fingerprint,
            },
            "made_from": {
                "distribution": digest(scored.probability.tobytes()),
                "canonical": scored.canonical,
                "test_set": digest(table.read_bytes()),
            },
            "generated": _generated(tree, model, category),
            "retained": int(aggregated["samples"]),
        }
        return Job(self._path(category, name), record, scored)

    def _is_done(self, job: Job) -> bool:
        """True if the file holds this result; StaleResults if it has other settings."""
        if self._options.fresh or not job.path.is_file():
            return False
        stored = read_scores(job.path)
        changes = difference(stored["settings"], job.record["settings"])
        if changes:
            raise StaleResults(
                f"{job.path} was scored with other settings ({'; '.join(changes[:3])[:300]}). Run "
                "again with --overwrite to replace it, or give another --results_dir."
            )
        return all(stored.get(name) == value for name, value in job.record.items())

    def _score(
        self, category: str, fields: Sequence[Distribution], images: Sequence[LabelledImage]
    ) -> list[list[ImageScore]]:
        """Scores (fields, images); an image is prepared once for all fields of one grid."""
        from chorus.evaluation.pap import prepare, score

        body = self._body

        def scored(image: LabelledImage) -> list[ImageScore]:
            ready, scores = {}, []
            for field in fields:
                kind = field.grid, field.canonical
                if kind not in ready:
                    ready[kind] = prepare(
                        image, body, field.grid, self._settings, canonical=kind[1]
                    )
                scores.append(score(field.probability, ready[kind], self._settings))
            advance(1)
            return scores

        with (
            progress_bar(self._progress, len(images), f"evaluate {category}", "image") as advance,
            one_torch_thread(),
            ThreadPoolExecutor(self._options.worker_count) as pool,
        ):
            by_image = list(pool.map(scored, images))
        return [list(scores) for scores in zip(*by_image, strict=True)]

    def _truth(self, table: Path, rows: Sequence[dict], grid: VoxelGrid) -> TrueOccupancy | None:
        """The canonical occupancy of the test images' lifted objects; None without any."""
        options = self._options
        folder = image_folder(options.tested_on, table, options.imports_dir)
        if not any(folder.glob("*.object.npz")):
            return None
        from chorus.evaluation.lifted import lifted_scenes
        from chorus.evaluation.truth_scores import true_occupancy
        from chorus.occupancy.canonical import canonical_space
        from chorus.occupancy.presets import AggregationSettings

        scenes = list(lifted_scenes(folder, rows))
        if not scenes:
            return None
        space = canonical_space(
            self._body,
            AggregationSettings(resolution=grid.resolution, side=grid.side),
            cache_dir=options.imports_dir / "cache",
            clusters=(),
            threads=options.worker_count,
        )
        return true_occupancy(space, scenes)

    def _write(
        self,
        job: Job,
        rows: Sequence[dict],
        scores: Sequence[ImageScore],
        truth: TrueOccupancy | None,
    ) -> None:
        from chorus.evaluation.curves import pooled

        record = dict(job.record)
        if truth is not None:
            from chorus.evaluation.truth_scores import truth_scores

            found = asdict(truth_scores(job.field.probability, truth))
            figures = {name: _number(value) for name, value in found.items()}
            record["truth"] = {"scenes": truth.scenes, **figures}
        for name in ("curve", "curve_hoa"):
            curve = pooled([getattr(score, name) for score in scores])
            record[name] = {
                "predicted": curve.predicted.tolist(),
                "hits": curve.hits.tolist(),
                "target": curve.target,
            }
        record["images"] = [
            {
                "image": row["image"],
                "index": row["index"],
                **dict(zip(VARIANTS, map(_number, score.pap), strict=True)),
            }
            for row, score in zip(rows, scores, strict=True)
        ]
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        with self._options.tree.lock(job.path):
            atomic_write(job.path, text.encode())


def _generated(tree: ResultsTree, model: str, category: str) -> int | None:
    """How many images the category has, None if they are not in this tree."""
    root = tree.folder("images").joinpath(*map(portable_name, (model, category)))
    tables = [path for path in sorted(root.glob("*/*.parquet")) if not path.name.startswith(".")]
    if not tables:
        return None
    read = (read_table(path, "images", columns=()) for path in tables)
    return sum(row["status"] == DONE for table in read for row in table.rows.values())


def _number(value: float) -> float | None:
    """JSON has no NaN; an image without a target has no figure."""
    return None if math.isnan(value) else float(value)
