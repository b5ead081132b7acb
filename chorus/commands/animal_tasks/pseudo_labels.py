"""`chorus animals generate_pl` and `generate_pl_mt`: keypoints of the web images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chorus.commands.animal_tasks.options import NamedOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.settings import DeviceOptions, resolve_device

if TYPE_CHECKING:
    from chorus.animals.pose.finding import Found

_SHOWN = 5


@dataclass(frozen=True)
class _Found(DeviceOptions, NamedOptions):
    """What both tasks heed."""

    model: str = "resnet18"
    """Depth that the network was trained with."""
    batch_size: int = 256
    """Crops at a time."""
    input_res: int = 256
    """Side of a crop that it was trained with."""
    placement: Literal["exact", "published"] = "exact"
    """How heat maps are read."""
    confidence: Literal["bounded", "published"] = "bounded"
    """bounded: a peak's height, 0 to 1. published: its share of the highest of all images."""
    weights: str = ""
    """Name of the training whose weights are used; --name if left out."""

    def _found(self, transform: int, progress: Progress) -> Iterator[Found]:
        from chorus.animals.annotations import read_labels
        from chorus.animals.pose.finding import Reading, find_keypoints
        from chorus.animals.pose.network import load_keypoint_network

        tree = self.tree
        boxes = read_labels(tree.boxes(self.category), with_joints=False)
        path = tree.keypoint_checkpoint(self.weights or self.run_name)
        network = load_keypoint_network(path, self.model).to(resolve_device(self.device))
        reading = Reading(self.placement, False, self.input_res, self.batch_size)
        with progress_bar(progress, len(boxes.records), f"transform {transform}", "box") as advance:
            images = tree.web / "images"
            for each in find_keypoints(network, images, boxes.records, reading, transform):
                yield each
                advance(1)


def _problems(found: list[Found]) -> list[str]:
    """What could not be looked at, the first few of it."""
    problems = [each.problem for each in found if each.problem]
    more = len(problems) - _SHOWN
    return problems[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])


@dataclass(frozen=True)
class GeneratePl(_Found):
    """Find the keypoints of all web images."""

    is_aux: bool = False
    """The network is the second one, which selection compares the first with."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Write the pseudo-labels and the list of all images."""
        from chorus.animals.annotations import write_ids, write_records
        from chorus.animals.pose.pseudo_labels import labelled_records

        found = list(self._found(0, progress))
        records = labelled_records(found, self.confidence)
        path = self.tree.labels_2d(self.run_name, self.is_aux)
        write_records(path, records)
        ids = (each["img_id"] for each in records)
        write_ids(self.tree.all_web(self.category), ids)
        line = f"generate_pl: keypoints of {len(records)} boxes → {path}"
        return CommandResult(line, problems=_problems(found))


@dataclass(frozen=True)
class GeneratePlMt(_Found):
    """Find the keypoints of all web images under seven transforms of each."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Write augm_0.txt to augm_6.txt."""
        from chorus.animals.pose.finding import TRANSFORMS
        from chorus.animals.pose.pseudo_labels import write_transformed

        found = [list(self._found(number, progress)) for number in range(len(TRANSFORMS))]
        folder = self.tree.transformed(self.run_name)
        write_transformed(folder, found, self.confidence)
        count = sum(not each.problem for each in found[0])
        line = f"generate_pl_mt: {count} boxes under {len(found)} transforms → {folder}"
        return CommandResult(line, problems=_problems(found[0]))
