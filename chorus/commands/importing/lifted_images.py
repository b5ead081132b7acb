"""`chorus import --as test_set NAME --open3dhoi FOLDER`: test images and their 3D truth.

Beside a category's table lie, for every sample, its photograph, its object's mesh in our body's
frame (the 3D truth, `evaluation.lifted`), and a picture that shows whether the lifting is right.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chorus.commands.importing.test_images import STEP
from chorus.engine.loop import Outcome, Sample, Stage
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import shard_of
from chorus.files import atomic_write, content_digest, portable_name
from chorus.geometry import masks
from chorus.geometry.boxes import intersection_over_smaller
from chorus.perception.open3dhoi import FILES, OBJECT, object_file, read_sample, sample_folders
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.evaluation.lifted import Laid
    from chorus.evaluation.recorded_views import View
    from chorus.perception.open3dhoi import LiftedImage

_LEAST_OVERLAP = 0.5
"""Intersection over union of a lifted mesh's silhouette and its mask below which it is doubted."""
_FARTHEST = 0.05
"""Mean distance of our body and the lifted person, metres, above which the pose is doubted."""


@dataclass(frozen=True)
class LiftedShard:
    """The samples of one category; a sample's index is its folder's place."""

    key: ShardKey
    folders: tuple[Path, ...]

    def digest(self) -> str:
        """Fingerprint of all files of all samples."""
        content = hashlib.sha256()
        for folder in self.folders:
            for path in (*(folder / name for name in FILES if name != OBJECT), object_file(folder)):
                found = content_digest(path) if path.is_file() else "missing"
                content.update(f"{folder.name}\0{path.name}\0{found}\n".encode())
        return content.hexdigest()[:16]


def lifted_shards(name: str, root: Path, categories: Sequence[str]) -> list[LiftedShard]:
    """The samples by category, of some categories (all if empty).

    A category is what the folder above a sample is called, or, of one sample's folder, the one
    category that is asked for. BadInput for a category without any.
    """
    folders = sample_folders(root)
    by_category: dict[str, list[Path]] = defaultdict(list)
    alone = folders == [root.resolve()] and len(categories) == 1
    for folder in folders:
        by_category[categories[0] if alone else folder.parent.name].append(folder)
    for category in categories:
        if category not in by_category:
            raise BadInput(
                f"{root} holds no samples of {category!r}; it has {', '.join(by_category)}."
            )
    return [
        LiftedShard(shard_of(name, category), tuple(of))
        for category, of in by_category.items()
        if not categories or category in categories
    ]


@dataclass
class Doubts:
    """What speaks against single samples, in words; filled by the worker."""

    found: list[str] = field(default_factory=list)


def lifted_stage(
    tree: ResultsTree, shard: LiftedShard, body: BodyModel, body_name: str, doubts: Doubts
) -> Stage:
    """What makes the test images of one category."""
    return Stage(
        STEP,
        settings={"source": "open3dhoi", "files": shard.digest(), "body": body_name},
        make_worker=functools.partial(LiftedWorker, tree, shard, body, doubts),
        count=len(shard.folders),
        batch_size=4,
        processes=False,
    )


class LiftedWorker:
    """Describes lifted photographs as test images, and writes what lies beside the table."""

    def __init__(self, tree: ResultsTree, shard: LiftedShard, body: BodyModel, doubts: Doubts):
        self._folder = tree.table("test_set", shard.key).with_suffix("")
        self._shard = shard
        self._body = body
        self._doubts = doubts

    def process(self, samples: Sequence[Sample]) -> list[Outcome]:
        """One test image for each sample."""
        return [self._describe(sample.key.index) for sample in samples]

    def _describe(self, index: int) -> Outcome:
        from chorus.evaluation.lifted import lay_body, lifted_view, mesh_file, object_bytes

        source = self._shard.folders[index]
        image = read_sample(source)
        laid = lay_body(self._body, image.pose, image.human)
        view = lifted_view(laid, image)
        name = portable_name(source.name) + image.photograph.suffix
        atomic_write(self._folder / name, image.photograph.content)
        mesh = mesh_file(self._folder, name)
        mesh.unlink(missing_ok=True)  # of an earlier import
        if image.thing.closed:
            atomic_write(mesh, object_bytes(laid, image.thing))
        self._show(source.name, image, laid, view)
        return Outcome({"image": name, "image_id": index, **self._values(image, view)})

    def _values(self, image: LiftedImage, view: View) -> dict[str, Any]:
        """The columns of a test image but its name."""
        numbers = {
            "person_box": image.person_box,
            "object_box": image.object_box,
            "pose": image.pose,
            "betas": np.zeros(10),
            "R": view.R,
            "t": view.t,
            "K": view.K,
        }
        return {
            **{name: np.asarray(value, float).ravel().tolist() for name, value in numbers.items()},
            "overlap": float(intersection_over_smaller(image.person_box, image.object_box)),
            "mask": masks.encode(image.object_mask),
            "residual": view.residual,
            "width": image.photograph.width,
            "height": image.photograph.height,
            "body": self._body.fingerprint,
        }

    def _show(self, name: str, image: LiftedImage, laid: Laid, view: View) -> None:
        """Draw the sample, and note what speaks against it."""
        import cv2
        import torch

        from chorus.evaluation.lifted import lean, silhouette_agreement
        from chorus.viewing.figures import save_png
        from chorus.viewing.lifted_picture import Lifted, lifted_picture

        person, thing = silhouette_agreement(image)
        pixels = cv2.imdecode(np.frombuffer(image.photograph.content, np.uint8), cv2.IMREAD_COLOR)
        pose = torch.from_numpy(image.pose).float()
        pose[0] = 0  # the view is that of the body's own frame
        vertices = self._body.pose(pose).vertices.double().numpy()
        seen = laid.scale * (vertices @ view.R.T + view.t)
        lifted = Lifted(
            cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB),
            image.person_mask,
            image.object_mask,
            image.K,
            (image.human.vertices + image.translation, image.human.faces),
            (image.thing.vertices + image.translation, image.thing.faces),
            (seen, self._body.faces.numpy()),
        )
        words = (
            f"silhouette and mask, intersection over union: person {person:.2f}, object "
            f"{thing:.2f}; our body lies {100 * laid.distance:.1f} cm from the lifted person; "
            f"torso {lean(self._body, image.pose):.0f} degrees from upright"
        )
        title = f"{self._shard.key.category}: {name}"
        path = self._folder / f"{portable_name(name)}.lifted.png"
        save_png(lifted_picture(lifted, title, words), path)
        self._doubts.found += [
            f"{title}: {doubt}; look at {path}."
            for doubt, wrong in (
                (f"lifted person and mask disagree ({person:.2f})", person < _LEAST_OVERLAP),
                (f"lifted object and mask disagree ({thing:.2f})", thing < _LEAST_OVERLAP),
                (
                    f"our body lies {100 * laid.distance:.1f} cm from the lifted person",
                    laid.distance > _FARTHEST,
                ),
                (
                    "its object's mesh is not closed, so it counts for PAP and not for 3D AP",
                    not image.thing.closed,
                ),
            )
            if wrong
        ]
