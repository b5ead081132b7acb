"""`chorus refine`: retained persons → pose and camera fitted to their keypoints (method.md 5b)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.retained_persons import detected_person, outcomes, why_not_seen
from chorus.engine.table_stage import run_table_stage
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.files import content_digest
from chorus.geometry import masks
from chorus.pipeline import step
from chorus.records.keys import ShardKey, sample_seed
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import (
    boxes_of,
    keypoints_of,
    only_person,
    person_array,
)
from chorus.records.tables import DONE, read_table
from chorus.refinement.score.settings import ScoreSettings
from chorus.refinement.settings import RefinementSettings
from chorus.settings import (
    BodyOptions,
    DeviceOptions,
    ImageTreeOptions,
    SampleOptions,
    TableOptions,
    resolve_device,
)

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.refinement.map_fit import Refinement
    from chorus.refinement.score.score_fit import ScoreRefiner

_NUMBERS = ("pose", "R", "t", "K")
_AT_ONCE = 32  # persons whose surface points are in memory together


@dataclass(frozen=True)
class Options(DeviceOptions, BodyOptions, TableOptions, ImageTreeOptions, SampleOptions):
    """Move the body of every person that some filter rule retains onto its 2D keypoints.

    The regressed body seldom lies exactly on the person in the image. Its pose is changed a little,
    and a camera is found for it, so that its joints project to the keypoints; a body that then
    still misses keypoints or mask is called doubtful. The presets that estimate by evidence
    (quant:evidence, qual:evidence-demo) count with these bodies and leave the doubtful ones out;
    the paper's presets do not use them.
    """

    refinement: Literal["map", "score", "none"] = "map"
    """`map`: the most probable pose and camera, given the regressor's body and the keypoints;
    `score`: what a prior learned from poses expects then, see `chorus train`; `none`: the
    regressor's pose, placed where the keypoints are."""

    fit: RefinementSettings = field(default_factory=RefinementSettings)

    score: ScoreSettings = field(default_factory=ScoreSettings)

    prior: Path | None = None
    """The learned prior of `score`, a prior.safetensors of `chorus train score`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refinement != "score":
            if self.prior is not None:
                raise BadInput(
                    f"--prior {self.prior} is for --refinement score; give both, or leave it out."
                )
            return
        if self.prior is None:
            raise BadInput(
                "--refinement score needs a learned prior; give --prior FILE, made by "
                "`chorus train score`, or take --refinement map."
            )
        if not self.prior.is_file():
            raise BadInput(
                f"--prior {self.prior} is not a file; make one with `chorus train score`."
            )


class RefinementWorker:
    """Refines all persons of a batch at once."""

    def __init__(self, options: Options):
        from chorus.body.loading import load_body
        from chorus.engine.joint_sources import JointSources
        from chorus.refinement.agreement import body_surface
        from chorus.refinement.map_fit import Refiner

        self._settings = options.fit
        self._steps = 0 if options.refinement == "none" else None
        self._device = resolve_device(options.device)
        body = load_body(options.body, options.imports_dir)
        self._joints = JointSources(options.tree, body, options.imports_dir, self._device)
        self._body = body.to(self._device)
        self._refiner = Refiner(self._body, options.fit)
        self._scorer = _scorer(options, self._body, self._device)
        self._surface = body_surface(self._body)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Refine one batch; a person that cannot be refined is skipped with the reason."""
        return outcomes(samples, list(map(why_not_seen, samples)), self._refine)

    def _refine(self, samples: Sequence[Sample]) -> list[Outcome]:
        import torch

        from chorus.refinement.map_fit import NOT_FINITE, Evidence

        persons = [only_person(sample.inputs["humans"]) for sample in samples]
        images = [sample.inputs["images"] for sample in samples]
        detected = list(map(detected_person, samples))
        boxes = boxes_of(detected)

        def tensor(values: Sequence | np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.array(values, np.float32), device=self._device)

        pose = tensor([person_array(person, "pose") for person in persons])
        upright = pose.clone()
        upright[:, 0] = 0
        with one_torch_thread():
            evidence = Evidence(
                pose=pose,
                joints3d=self._joints.of(samples[0].key.shard).posed_joints(upright),
                joints2d=tensor([person_array(person, "joints") for person in persons]),
                keypoints=tensor(keypoints_of(detected)),
                extent=tensor((boxes[:, 2:] - boxes[:, :2]).max(1)),
                image_size=tensor([[image["width"], image["height"]] for image in images]),
            )
            if self._scorer is None:
                fitted = self._refiner(evidence, self._steps)
            else:
                betas = tensor([person_array(person, "betas") for person in persons])
                seeds = [sample_seed(sample.key, "score") for sample in samples]
                fitted = self._scorer(evidence, betas, seeds).fitted
            agreements = self._agreements(samples, fitted)
        return [
            Outcome(skipped=f"refinement: {failure}")
            if failure == NOT_FINITE
            else Outcome(self._values(fitted, at, agreements[at]))
            for at, failure in enumerate(fitted.failure)
        ]

    def _values(self, fitted: Refinement, at: int, agreement: float) -> dict[str, Any]:
        from chorus.refinement.agreement import doubt

        residual = float(fitted.residual[at])
        return {
            **{name: getattr(fitted, name)[at].flatten().tolist() for name in _NUMBERS},
            "residual_before": float(fitted.residual_before[at]),
            "residual": residual,
            "agreement": agreement,
            "iterations": int(fitted.iterations[at]),
            "converged": bool(fitted.converged[at]),
            "doubt": doubt(residual, agreement, self._settings),
        }

    def _agreements(self, samples: Sequence[Sample], fitted: Refinement) -> list[float]:
        """Of every person with its mask; NaN for a body without triangles."""
        from chorus.refinement.agreement import agreement, surface_pixels

        if self._surface is None:
            return [float("nan")] * len(samples)
        pose = fitted.pose.clone()
        pose[:, 0] = 0
        transforms = self._body.skinning_transforms(pose)
        found: list[float] = []
        for start in range(0, len(samples), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            camera = (getattr(fitted, name)[some] for name in ("R", "t", "K"))
            pixels = surface_pixels(self._surface, transforms[some], *camera).cpu().numpy()
            found += map(agreement, pixels, *zip(*map(_masks, samples[some]), strict=True))
        return found


def _scorer(options: Options, body: BodyModel, device: str) -> ScoreRefiner | None:
    """What refines by the learned prior, if it is asked for."""
    if options.refinement != "score":
        return None
    from chorus.refinement.score.learned import load_learned
    from chorus.refinement.score.score_fit import ScoreRefiner

    network = load_learned(options.prior).to(device)
    return ScoreRefiner(body, network, options.fit, options.score)


def _masks(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Masks (H, W) bool of the verdict's person and of its objects."""
    verdict, image = sample.inputs["filtered"], sample.inputs["segmentations"]
    size = image["height"], image["width"]
    detections = image["detections"]
    person = [detections[verdict["person"]]["mask"]] if verdict["person"] >= 0 else []
    objects = [detections[at]["mask"] for at in verdict["objects"]]
    return masks.union(person, *size), masks.union(objects, *size)


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Refine what is missing; the summary counts the doubts."""
    shards = options.tree.shards(
        "filtered", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        step("refine"),
        settings={
            "body": options.body_name,
            "refinement": options.refinement,
            **options.fit.recorded(),
            **score_settings(options),
        },
        make_worker=functools.partial(RefinementWorker, options),
        columns={
            "filtered": ("verdicts", "person", "objects"),
            "humans": (
                *("persons.box", "persons.pose", "persons.joints"),
                *(("persons.betas",) if options.refinement == "score" else ()),
            ),
            "human_kps": ("persons.box", "persons.keypoints"),
            "segmentations": ("width", "height", "detections.mask"),
            "images": ("width", "height"),
        },
        batch_size=256,
        processes=False,
    )
    result = run_table_stage(stage, options, shards, progress)
    result.line += _doubts(options.tree, options.my_shards(shards))
    return result


def score_settings(options: Options) -> dict[str, Any]:
    """What tables record of the learned prior; nothing where it is not used."""
    if options.refinement != "score":
        return {}
    return {**options.score.recorded(), "prior": content_digest(options.prior)}


def _doubts(tree: ResultsTree, shards: Sequence[ShardKey]) -> str:
    """How many of the refined persons are doubtful, in words."""
    counted: Counter[str] = Counter()
    for path in (tree.table("refined", shard) for shard in shards):
        try:
            rows = read_table(path, "refined", columns=("doubt",)).rows.values()
        except BadInput:  # missing or damaged, which the step has told already
            continue
        counted.update(row["doubt"] for row in rows if row["status"] == DONE)
    said = [f"{number} {doubt}" for doubt, number in sorted(counted.items()) if doubt]
    return f"; doubtful: {', '.join(said)}" if said else ""
