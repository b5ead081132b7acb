"""`chorus testset`: test images of the synthetic world, in the form of extended COCO-EFT.

One table for each category, <results>/test_set/synthetic/<category>/test/original.parquet, the
images in a folder of the same name. Every image shows one person who uses one object, without any
of the deliberate faults. Its seed belongs to the purpose "test", so that training never draws it.
What extended COCO-EFT has from annotations and fits is the exact truth here: the object's visible
pixels, the pose and the camera (`evaluation.known_camera`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chorus.engine.command_result import CommandResult
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.engine.progress import Progress
from chorus.engine.table_stage import run_table_stage
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import shard_of
from chorus.files import atomic_write
from chorus.pipeline import Step
from chorus.records.keys import SampleKey
from chorus.settings import BodyOptions, CategoryOptions, SeedOptions, TableOptions, WorldOptions
from chorus.synthetic.world.scene_settings import WORLDS
from chorus.synthetic.world.test_images import DRAWS, VIEWS, candidate_scenes, faultless
from chorus.vocabulary import strip_demo

if TYPE_CHECKING:
    from chorus.synthetic.look.rendering import Rendering
    from chorus.synthetic.world.scene import Scene

MIN_OVERLAP = 0.5
"""Least intersection of person and object box, over the smaller box (method.md 11)."""
_COARSEST = 32


@dataclass(frozen=True)
class Options(SeedOptions, BodyOptions, WorldOptions, TableOptions, CategoryOptions):
    """Make the synthetic test set: images with exact masks, poses and cameras."""

    num_images: int = 30
    """Test images of each category; more can be added later."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Make the test images that are missing, of all categories the synthetic world has."""
    if options.profile != "synthetic":
        raise BadInput(
            f"only the synthetic world can draw its test images; profile {options.profile!r} is "
            "tested on photographs (coco-eft-val). Run with --profile synthetic."
        )
    if options.num_images < 1:
        raise BadInput(f"a test set needs 1 image or more, not {options.num_images}; the paper's "
                       "least is 30.")  # fmt: skip
    from chorus.synthetic.world.interactions import categories, interactions

    chosen = dict.fromkeys(map(strip_demo, options.categories or categories()))
    for category in chosen:
        interactions(category)  # an unknown one shall be heard of now
    stage = Stage(
        Step("testset", writes=("test_set",)),
        settings={
            "source": "synthetic",
            "seed": options.seed,
            "body": options.body_name,
            "views": list(VIEWS),
            "min_overlap": MIN_OVERLAP,
            "draws": DRAWS,
            **WORLDS[options.world].recorded(),
        },
        make_worker=functools.partial(TestImageWorker, options),
        count=options.num_images,
        batch_size=6,
    )
    shards = [shard_of("synthetic", category) for category in chosen]
    return run_table_stage(stage, options, shards, progress)


class TestImageWorker:
    """Draws scenes until one is a test image, writes its picture and describes it."""

    def __init__(self, options: Options):
        from chorus.body.loading import load_body

        self._tree = options.tree
        self._seed = options.seed
        self._body = load_body(options.body, options.imports_dir)
        self._settings = faultless(WORLDS[options.world])

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """One test image for each sample."""
        return [self._draw(sample.key) for sample in samples]

    def _draw(self, key: SampleKey) -> Outcome:
        """The first of some draws that shows enough; interactions and views take turns."""
        from chorus.synthetic.look.rendering import render

        reason = ""
        for scene in candidate_scenes(key, self._seed, self._body, self._settings):
            rendering = render(scene, self._body)
            row_or_reason = self._described(scene, rendering)
            if isinstance(row_or_reason, dict):
                name = self._write(key, rendering.image)
                return Outcome({**row_or_reason, "image": name, "image_id": key.index})
            reason = row_or_reason
        return Outcome(skipped=f"no draw of {DRAWS} is a test image, the last: {reason}")

    def _described(self, scene: Scene, rendering: Rendering) -> dict | str:
        """The row's values, or why the scene is no test image."""
        from chorus.evaluation.known_camera import body_camera
        from chorus.evaluation.pixel_grid import resize_area, small_shape
        from chorus.geometry import masks
        from chorus.geometry.boxes import intersection_over_smaller

        person, camera = scene.persons[0], scene.camera
        human, mask = rendering.instance == 0, rendering.instance == len(scene.persons)
        if not human.any():
            return "the person cannot be seen"
        if not resize_area(mask, small_shape(*mask.shape, _COARSEST)).any():
            return "the object can hardly be seen"
        boxes = masks.box_of(human), masks.box_of(mask)
        overlap = float(intersection_over_smaller(*boxes))
        if overlap < MIN_OVERLAP:
            return f"the boxes overlap by {overlap:.2f} of the smaller"
        seen = body_camera(
            self._body,
            person.pose,
            person.betas,
            person.translation,
            *(np.asarray(value, float) for value in (camera.R, camera.t, camera.K)),
        )
        numbers = {
            "person_box": boxes[0],
            "object_box": boxes[1],
            "pose": person.pose,
            "betas": person.betas,
            "R": seen.R,
            "t": seen.t,
            "K": camera.K,
        }
        return {
            **{name: np.asarray(value, float).ravel().tolist() for name, value in numbers.items()},
            "width": camera.width,
            "height": camera.height,
            "overlap": overlap,
            "mask": masks.encode(mask),
            "residual": seen.residual,
            "body": self._body.fingerprint,
        }

    def _write(self, key: SampleKey, pixels: np.ndarray) -> str:
        import cv2

        folder = self._tree.table("test_set", key.shard).with_suffix("")
        path = folder / f"{key.index:06d}.jpg"
        _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        atomic_write(path, data.tobytes())
        return path.name
