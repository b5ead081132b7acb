"""`chorus calibrate`: retained persons → pinhole cameras in their body frame (method.md 6)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from chorus.calibration.settings import CalibrationSettings
from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.retained_persons import outcomes, why_not_retained
from chorus.engine.table_stage import run_table_stage
from chorus.engine.torch_threads import one_torch_thread
from chorus.pipeline import step
from chorus.records.rows import only_person, person_array
from chorus.settings import (
    BodyOptions,
    DeviceOptions,
    ImageTreeOptions,
    SampleOptions,
    TableOptions,
    resolve_device,
)


@dataclass(frozen=True)
class Options(DeviceOptions, BodyOptions, TableOptions, ImageTreeOptions, SampleOptions):
    """Anchor a perspective camera to every person that some filter rule retains."""

    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)


class CalibrationWorker:
    """Calibrates all persons of a batch at once."""

    def __init__(self, options: Options):
        from chorus.body.loading import load_body
        from chorus.engine.joint_sources import JointSources

        self._settings = options.calibration
        self._device = resolve_device(options.device)
        body = load_body(options.body, options.imports_dir)
        self._joints = JointSources(options.tree, body, options.imports_dir, self._device)

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Calibrate one batch; a person that cannot be calibrated is skipped with the reason."""
        return outcomes(samples, list(map(why_not_retained, samples)), self._calibrate)

    def _calibrate(self, samples: Sequence[Sample]) -> list[Outcome]:
        import roma
        import torch

        from chorus.calibration.weak_to_perspective import NOT_CONVERGED, calibrate

        persons = [only_person(sample.inputs["humans"]) for sample in samples]
        images = [sample.inputs["images"] for sample in samples]
        source = self._joints.of(samples[0].key.shard)

        def tensor(values: Sequence) -> torch.Tensor:
            return torch.as_tensor(np.array(values, np.float32), device=self._device)

        pose = tensor([person_array(person, "pose") for person in persons])
        rotation = roma.rotvec_to_rotmat(pose[:, 0])
        pose[:, 0] = 0
        with one_torch_thread():
            solved = calibrate(
                source.posed_joints(pose),
                tensor([person_array(person, "joints") for person in persons]),
                rotation,
                tensor([[image["width"], image["height"]] for image in images]),
                settings=self._settings,
            )
        numbers = {n: getattr(solved, n).cpu().numpy() for n in ("R", "t", "K", "residual")}
        return [
            Outcome(skipped=f"camera: {failure}")
            if failure and failure != NOT_CONVERGED
            else Outcome(
                {
                    **{name: numbers[name][at].ravel().tolist() for name in ("R", "t", "K")},
                    "residual": float(numbers["residual"][at]),
                    "converged": bool(solved.converged[at]),
                    "iterations": int(solved.iterations[at]),
                }
            )
            for at, failure in enumerate(solved.failure)
        ]


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Calibrate what is missing."""
    shards = options.tree.shards(
        "filtered", options.models.model_key, options.categories, options.prompts
    )
    stage = Stage(
        step("calibrate"),
        settings={"body": options.body_name, **options.calibration.recorded()},
        make_worker=functools.partial(CalibrationWorker, options),
        columns={
            "filtered": ("verdicts",),
            "humans": ("persons.pose", "persons.joints"),
            "images": ("width", "height"),
        },
        batch_size=256,
        processes=False,
    )
    return run_table_stage(stage, options, shards, progress)
