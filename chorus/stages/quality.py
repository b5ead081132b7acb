"""`chorus quality`: how far each retained sample can be trusted (method.md 5c)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from chorus.body.skeleton import KINEMATIC
from chorus.engine.command_result import CommandResult
from chorus.engine.image_reader import ImageReader
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.perception import BATCH_PIXELS, PerceptionOptions, run_perception_stage
from chorus.engine.progress import Progress
from chorus.engine.retained_persons import detected_person, outcomes, why_not_seen
from chorus.engine.table_stage import run_table_stage
from chorus.errors import BadInput
from chorus.geometry.image_transforms import about, inverse, move_box, move_image, move_points
from chorus.models.choice import ModelChoice
from chorus.models.registry import MODELS
from chorus.perception.protocols import KeypointDetector
from chorus.pipeline import step
from chorus.records.image_files import check_images_are_kept
from chorus.records.keys import ShardKey
from chorus.records.rows import (
    CAMERA_SHAPES,
    Image,
    boxes_of,
    keypoints_of,
    only_person,
    person_array,
)
from chorus.records.staleness import difference
from chorus.records.tables import read_settings
from chorus.selection.choosing import CRITERIA
from chorus.selection.criteria import (
    detector_agreement,
    mean_confidence,
    reprojection_agreement,
    transform_consistency,
    visible_keypoints,
)
from chorus.settings import BodyOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel

Criterion = Literal["confidence", "consistency", "agreement", "reprojection"]

TRANSFORMS = tuple({"scale": scale} for scale in (1.1, 1.2)) + tuple(
    {"degrees": degrees} for degrees in (-20.0, -10.0, 10.0, 20.0)
)
"""What is done to an image, about the middle of the person's box, to see whether keypoints stay."""

_LOOKING = ("consistency", "agreement")  # the criteria that need the images


@dataclass(frozen=True)
class Options(BodyOptions, PerceptionOptions):
    """Mark, from 0 to 1, how far every sample that some filter rule retains can be trusted.

    Optional: only aggregation presets that select samples by their quality, such as
    quant:evidence-selection, read these marks; no sample is thrown away here.
    """

    criteria: tuple[Criterion, ...] = ("confidence", "reprojection")
    """Which criteria to compute. `confidence`: how sure the keypoint model is. `reprojection`: how
    near keypoints and the body's joints are in the image. `consistency`: how little keypoints move
    when the image is scaled or turned. `agreement`: how near those of a second keypoint model are.
    The first two need tables alone, the others run a keypoint model on the images."""
    keypoint_model: str | None = None
    """NAME or NAME:SOURCE of the model that made the keypoints, for `consistency`; the profile's if
    left out."""
    second_keypoint_model: str | None = None
    """NAME or NAME:SOURCE of another keypoint model, for `agreement`."""
    reprojected: Literal["regressed", "refined"] = "regressed"
    """Whose joints `reprojection` compares with the keypoints: those of the regressed body, or of
    the refined one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise BadInput(
                f"--criteria takes one or more of {', '.join(CRITERIA)}, each once; found "
                f"{' '.join(self.criteria) or 'none'}."
            )
        if "agreement" in self.criteria and not self.second_keypoint_model:
            raise BadInput(
                "the criterion agreement needs another keypoint model; name it with "
                "--second_keypoint_model NAME[:SOURCE] (chorus doctor lists them)."
            )

    @property
    def looks(self) -> bool:
        """Whether images are needed."""
        return any(name in self.criteria for name in _LOOKING)

    @property
    def uses_refined(self) -> bool:
        """Whether the table of refined persons is needed."""
        return "reprojection" in self.criteria and self.reprojected == "refined"

    @property
    def repeats_the_regressor(self) -> bool:
        """Whether a detector depends on the body regressor's errors, and so on its body."""
        synthetic = any(model.is_synthetic for model in self.networks)
        return synthetic and self.errors.shared_error > 0

    @property
    def detectors(self) -> dict[str, ModelChoice]:
        """The keypoint models to run, by the criterion that needs them."""
        named = {
            "consistency": self.model("keypoint_model"),
            "agreement": ModelChoice(
                "keypoint_model", self.second_keypoint_model or "", "second_keypoint_model"
            ),
        }
        return {name: model for name, model in named.items() if name in self.criteria}

    @property
    def networks(self) -> tuple[ModelChoice, ...]:
        """The models that look at images; none for criteria of tables alone."""
        return tuple(self.detectors.values())

    def recorded_keypoints(self) -> dict[str, Any]:
        """What the table of keypoints keeps if the detector of `consistency` made it."""
        model = self.model("keypoint_model")
        repeats = model.is_synthetic and self.errors.shared_error > 0
        body = {"body": self.body_name} if repeats else {}
        return {**self.recorded("keypoint_model"), **body}


class _Persons(NamedTuple):
    """S samples with what was detected of their only persons: keypoints (S, 17, 3), boxes (S, 4)
    and extents (S,), the boxes' longer sides, pixels; images: the decoded ones, if needed."""

    samples: Sequence[Sample]
    images: Sequence[Image]
    keypoints: np.ndarray
    boxes: np.ndarray
    extent: np.ndarray


class QualityWorker:
    """Computes the criteria that are asked for; the others are NaN."""

    def __init__(self, options: Options):
        self._options = options
        self._images = ImageReader(options.tree) if options.looks else None
        self._body: BodyModel | None = None
        if options.uses_refined or options.repeats_the_regressor:
            from chorus.body.loading import load_body

            self._body = load_body(options.body, options.imports_dir)
        own = {"body": self._body} if options.repeats_the_regressor else {}
        self._detectors: dict[str, KeypointDetector] = {
            name: options.load_choice(model, synthetic=own, others={})
            for name, model in options.detectors.items()
        }
        self._criteria: dict[str, Callable[[_Persons], np.ndarray]] = {
            "confidence": lambda persons: mean_confidence(persons.keypoints),
            "consistency": self._consistency,
            "agreement": self._agreement,
            "reprojection": self._reprojection,
        }

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Begin to decode the images of a batch that will be looked at."""
        if self._images is not None:
            self._images.prefetch([sample for sample in samples if _is_judged(sample)])

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """The qualities of one batch; a sample without a person to judge is skipped."""
        return outcomes(samples, list(map(why_not_seen, samples)), self._qualities)

    def _qualities(self, samples: Sequence[Sample]) -> list[Outcome]:
        detected = list(map(detected_person, samples))
        boxes = boxes_of(detected)
        extent = (boxes[:, 2:] - boxes[:, :2]).max(1)
        images = self._images.read(samples) if self._images is not None else ()
        persons = _Persons(samples, images, keypoints_of(detected), boxes, extent)
        columns = {
            name: self._criteria[name](persons)
            if name in self._options.criteria
            else np.full(len(samples), np.nan)
            for name in CRITERIA
        }
        return [
            Outcome({name: float(values[at]) for name, values in columns.items()})
            for at in range(len(samples))
        ]

    def _consistency(self, persons: _Persons) -> np.ndarray:
        detector = self._detectors["consistency"]
        found = np.stack(
            [
                _found_again(detector, image, box)
                for image, box in zip(persons.images, persons.boxes, strict=True)
            ]
        )
        visible = visible_keypoints(persons.keypoints)
        return transform_consistency(persons.keypoints[..., :2], found, persons.extent, visible)

    def _agreement(self, persons: _Persons) -> np.ndarray:
        found = self._detectors["agreement"].detect(persons.images, list(persons.boxes[:, None]))
        return detector_agreement(
            persons.keypoints, np.stack([each[0] for each in found]), persons.extent
        )

    def _reprojection(self, persons: _Persons) -> np.ndarray:
        from chorus.body.joint_sets import coco_keypoints
        from chorus.engine.joint_sources import joint_set_of

        if self._body is None or not self._options.uses_refined:
            joint_set = joint_set_of(self._options.tree, persons.samples[0].key.shard)
            joints = np.stack(
                [person_array(only_person(s.inputs["humans"]), "joints") for s in persons.samples]
            )
        else:
            joint_set = KINEMATIC
            joints = _refined_joints(self._body, persons.samples)
        numbers = coco_keypoints(joint_set)
        nowhere = np.full(len(joints), np.nan)
        places = [
            np.column_stack([nowhere, nowhere]) if at is None else joints[:, at] for at in numbers
        ]
        return reprojection_agreement(persons.keypoints, np.stack(places, 1), persons.extent)


def _is_judged(sample: Sample) -> bool:
    """Whether nothing is wrong with a sample's rows and it will have a quality."""
    return len(sample.inputs["humans"]["persons"]) == 1 and not why_not_seen(sample)


def _found_again(detector: KeypointDetector, image: Image, box: np.ndarray) -> np.ndarray:
    """Keypoints (T, 17, 2) found in T transformed images, in pixels of the image as it is; NaN
    where a transformed image does not show them."""
    matrices = [about((box[:2] + box[2:]) / 2, **each) for each in TRANSFORMS]
    size = np.array(image.pixels.shape[1::-1])
    moved = [Image(image.key, move_image(image.pixels, matrix), matrix) for matrix in matrices]
    boxes = [np.clip(move_box(box, matrix), 0, [*size, *size])[None] for matrix in matrices]
    answers = detector.detect(moved, [each.astype(np.float32) for each in boxes])
    places = np.stack([answer[0, :, :2] for answer in answers]).astype(float)
    back = np.stack(
        [move_points(each, inverse(matrix)) for each, matrix in zip(places, matrices, strict=True)]
    )
    shown = ((places >= 0) & (places < size)).all(-1)
    return np.where(shown[..., None], back, np.nan)


def _refined_joints(body: BodyModel, samples: Sequence[Sample]) -> np.ndarray:
    """Pixels (S, 24, 2) of the refined persons' joints."""
    import torch

    from chorus.geometry.cameras import project

    rows = [sample.inputs["refined"] for sample in samples]
    pose = torch.tensor([row["pose"] for row in rows]).reshape(-1, 24, 3)
    pose[:, 0] = 0
    camera = (
        torch.tensor([row[name] for row in rows]).reshape(-1, *shape)
        for name, shape in CAMERA_SHAPES.items()
    )
    return project(body.posed_joints(pose), *camera)[0].numpy()


def _check_models(options: Options, shards: Sequence[ShardKey]) -> None:
    """BadInput if `consistency` would run another detector than made the keypoints, or `agreement`
    the same."""
    chosen = {name: model.text for name, model in options.detectors.items()}
    wanted = options.recorded_keypoints() if "consistency" in chosen else {}
    for path in (options.tree.table("human_kps", shard) for shard in shards if chosen):
        made_with = read_settings(path) if path.is_file() else {}
        made_by = made_with.get("keypoint_model")
        if made_by and wanted:
            _check_same_detector(path, made_with, wanted)
        if made_by and chosen.get("agreement") == made_by:
            raise BadInput(
                f"{path} was made by {made_by}, which agrees with itself; give another model with "
                "--second_keypoint_model."
            )


def _check_same_detector(path: Path, made_with: dict[str, Any], wanted: dict[str, Any]) -> None:
    """BadInput if the detector of these settings is not the one that made a table of keypoints."""
    made_by = made_with["keypoint_model"]
    if ModelChoice("keypoint_model", made_by).name not in MODELS["keypoint_model"]:
        raise BadInput(
            f"the keypoints of {path} were taken from files; what would be found in transformed "
            "images cannot be asked: leave consistency out of --criteria."
        )
    if made_by != wanted["keypoint_model"]:
        raise BadInput(
            f"{path} was made by the keypoint model {made_by}; whether keypoints stay where "
            f"they are in transformed images can only be asked of it: --keypoint_model "
            f"{made_by}."
        )
    own = {name: value for name, value in made_with.items() if not name.startswith("from ")}
    changes = difference(own, wanted)
    if changes:
        raise BadInput(
            f"{path} was made by {made_by} with other settings ({'; '.join(changes[:6])}); whether "
            "keypoints stay where they are in transformed images can only be asked of the same "
            "detector: give --error_model (or --noise.…), --seed, weights and --body as for "
            "keypoints."
        )


def _recorded(options: Options) -> dict[str, Any]:
    """What the table keeps of the options."""
    settings: dict[str, Any] = {"criteria": [name for name in CRITERIA if name in options.criteria]}
    if "reprojection" in options.criteria:
        settings["reprojected"] = options.reprojected
    if options.uses_refined or options.repeats_the_regressor:
        settings["body"] = options.body_name
    for name, model in options.detectors.items():
        settings[f"{name} model"] = model.recorded()
    if any(model.is_synthetic for model in options.networks):
        settings |= options.recorded_errors()
    return settings


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Judge what is missing."""
    for model in options.networks:
        model.check(options.imports_dir)
    shards = options.shards_of("filtered")
    _check_models(options, shards)
    usual = step("quality")
    asked = {"refined": options.uses_refined, "images": options.looks}
    more = tuple(name for name in usual.may_read if asked[name])
    stage = Stage(
        replace(usual, reads=(*usual.reads, *more)),
        settings=_recorded(options),
        make_worker=functools.partial(QualityWorker, options),
        columns={
            "filtered": ("verdicts",),
            "humans": ("persons.box", "persons.joints"),
            "human_kps": ("persons.box", "persons.keypoints"),
            "refined": ("pose", *CAMERA_SHAPES),
        },
        batch_size=32 if options.looks else 256,
        batch_pixels=BATCH_PIXELS if options.looks else None,
        processes=options.looks and all(model.is_synthetic for model in options.networks),
        check_overwrite=check_images_are_kept if options.looks else None,
    )
    for model in options.networks:
        if model.is_synthetic:
            return run_perception_stage(stage, options, model, shards, progress)
    return run_table_stage(stage, options, shards, progress)
