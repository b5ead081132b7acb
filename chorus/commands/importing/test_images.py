"""`chorus import --as test_set`: annotated and posed photographs → test images of PAP.

The persons, objects and poses are those that an import without --as would write, matched by the
same rules; an image enters if it shows exactly one person, who has a pose, and the object.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.commands.importing.sources import PoseIndex, Shard
from chorus.commands.importing.workers import NO_POSE, NOT_THERE, InstanceWorker, photograph_of
from chorus.engine.loop import Outcome, Stage
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import shard_of
from chorus.files import atomic_write, portable_name
from chorus.geometry import masks
from chorus.geometry.boxes import intersection_over_smaller
from chorus.perception.clean_up import ALWAYS_KEEP, MIN_OVERLAP
from chorus.pipeline import Step
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, read_table
from chorus.vocabulary import PERSON, strip_demo

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.coco_images import AnnotatedImage
    from chorus.perception.coco_instances import Annotations
    from chorus.perception.recorded_poses import RecordedPose
    from chorus.records.rows import Detection

STEP = Step("import test set", writes=("test_set",))
_SHOWN = 3


def test_shards(name: str, shards: Sequence[Shard]) -> list[Shard]:
    """One shard for every category, of the images of all its interactions."""
    images: dict[str, list[AnnotatedImage]] = defaultdict(list)
    for shard in shards:
        images[strip_demo(shard.key.category)] += shard.images
    return [Shard(shard_of(name, category), tuple(of)) for category, of in images.items()]


@dataclass(frozen=True, eq=False)
class Photographs:
    """What test images are made from."""

    tree: ResultsTree
    """Where they go."""
    folder: Path
    """The photographs."""
    annotations: Annotations
    """Of persons and objects."""
    threshold: float
    """Annotations with a score below this are dropped."""
    index: PoseIndex
    """The persons' poses."""
    body: BodyModel
    """Whose poses they are."""
    made_of: Mapping[str, str]
    """Digests of the annotations, the poses and the body."""

    def stage(self, shard: Shard) -> Stage:
        """What makes the test images of one category."""
        return Stage(
            STEP,
            settings={
                "source": "photographs",
                "files": shard.digest(self.folder),
                **self.made_of,
                "threshold": self.threshold,
                "min_overlap": MIN_OVERLAP,
                "always_keep": ALWAYS_KEEP,
            },
            make_worker=functools.partial(TestPhotographWorker, self, shard),
            count=len(shard.images),
        )


def import_photographs(
    source: Photographs, shards: Sequence[Shard], run: Callable[[Stage, ShardKey], None]
) -> tuple[list[str], int]:
    """Make the test images that are missing, stage by stage.

    What is told of single images, and how many are test images.
    """
    problems, count = [], 0
    for shard in shards:
        run(source.stage(shard), shard.key)
        rows = rows_of(source.tree, shard.key)
        category = shard.key.category
        problems += left_out(category, [(shard.images[at].name, row) for at, row in rows.items()])
        worker = TestPhotographWorker(source, shard)
        used = {at: row for at, row in rows.items() if row["status"] == DONE}
        problems += disagreements(
            [shard.images[at].name for at in used],
            list(used.values()),
            [worker.person_mask(at) for at in used],
            source.body,
        )
        count += len(used)
    return problems, count


class TestPhotographWorker(InstanceWorker):
    """Describes photographs as test images, and copies those that are, beside their table."""

    __test__ = False  # no test of pytest's

    def __init__(self, source: Photographs, shard: Shard):
        super().__init__(source.threshold, shard, source.annotations)
        self._folder = source.folder
        self._images = source.tree.table("test_set", shard.key).with_suffix("")
        self._index = source.index
        self._body = source.body

    def _convert(self, image: AnnotatedImage) -> Outcome:
        from chorus.evaluation.recorded_views import recorded_view
        from chorus.perception.recorded_persons import betas_for

        photograph = photograph_of(self._folder, image)
        seen = self.kept(image)
        persons = [each.detection for each in seen if each.detection.label == PERSON]
        things = [each.detection for each in seen if each.detection.label != PERSON]
        if len(persons) != 1 or not things:
            return Outcome(skipped=_not_one(persons, things))
        size = image.width, image.height
        found = self._pose(image.name, persons[0], size)
        if found is None:
            return Outcome(skipped=NO_POSE)
        pose, joints = found
        try:
            view = recorded_view(pose, joints, size, self._body)
        except BadInput as error:
            return Outcome(skipped=str(error))
        mask = masks.union([thing.mask for thing in things], image.height, image.width)
        if not mask.any():
            return Outcome(skipped="the object's mask is empty")
        boxes = persons[0].box, masks.box_of(mask)
        name = portable_name(image.name)
        if not name.lower().endswith((photograph.suffix, ".jpeg")):
            name += photograph.suffix
        atomic_write(self._images / name, photograph.content)
        values = {
            "person_box": boxes[0],
            "object_box": boxes[1],
            "pose": pose.pose,
            "betas": betas_for(pose, self._body),
            **view._asdict(),
        }
        return Outcome(
            {
                **{key: np.asarray(value, float).ravel().tolist() for key, value in values.items()},
                "residual": view.residual,
                "overlap": float(intersection_over_smaller(*boxes)),
                "mask": masks.encode(mask),
                "image": name,
                "image_id": image.number,
                "width": image.width,
                "height": image.height,
                "body": self._body.fingerprint,
            }
        )

    def _pose(
        self, name: str, person: Detection, size: tuple[int, int]
    ) -> tuple[RecordedPose, np.ndarray] | None:
        """The person's own pose and the pixels (24, 2) of its joints; None without one."""
        from chorus.perception.recorded_persons import image_joints, pairs_of, posed_joints

        poses = self._index.of(name)
        if not poses:
            return None
        points = posed_joints(poses, self._body)
        joints = [
            image_joints(pose, of, size, self._body) for pose, of in zip(poses, points, strict=True)
        ]
        (at,) = pairs_of(poses, joints, person.box)
        return None if at is None else (poses[at], joints[at])

    def person_mask(self, index: int) -> np.ndarray:
        """(H, W) bool: the one person of a test image."""
        image = self._shard.images[index]
        (person,) = (each.detection for each in self.kept(image) if each.detection.label == PERSON)
        return masks.decode(person.mask, image.height, image.width)


def _not_one(persons: Sequence[Detection], things: Sequence[Detection]) -> str:
    """Why an image does not show one person and the object."""
    if len(persons) > 1:
        return f"several persons: {len(persons)}"
    return "no object" if persons else "no person"


def rows_of(tree: ResultsTree, shard: ShardKey) -> dict[int, dict[str, Any]]:
    """The rows of a category's table, whatever became of them; none without a table."""
    path = tree.table("test_set", shard)
    return read_table(path, "test_set").rows if path.is_file() else {}


def left_out(category: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """A line for every reason that left images out of a test set; rows: names with their rows."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, row in rows:
        if row["status"] != DONE and row["reason"] != NOT_THERE:  # those are told of already
            by_reason[row["reason"]].append(name)
    return [
        f"{category}: left out of the test set, {reason}: {len(names)} "
        f"({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for reason, names in by_reason.items()
    ]


def disagreements(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    person_masks: Sequence[np.ndarray],
    body: BodyModel,
) -> list[str]:
    """A line for every test image whose posed body and person's mask disagree: pose, camera or mask
    may be wrong."""
    from chorus.evaluation.plausibility import LEAST_AGREEMENT, body_agreement

    return [
        f"{name}: the posed body and the person's mask disagree (intersection over union "
        f"{share:.2f}); look whether pose, camera and mask are right."
        for name, share in zip(names, body_agreement(rows, person_masks, body), strict=True)
        if share < LEAST_AGREEMENT
    ]
