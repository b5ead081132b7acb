"""`chorus animals train_keypoints` and `evaluate_keypoints`: the keypoint network."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Literal

from chorus.animals.tree import usual_data_set
from chorus.commands.animal_tasks.options import NamedOptions, labelled_split, training_sets
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.settings import DeviceOptions, resolve_device
from chorus.viewing.text_table import format_table


@dataclass(frozen=True)
class TrainKeypoints(DeviceOptions, NamedOptions):
    """Train the keypoint network on labelled images; goes on where it was stopped."""

    use_pascal: bool = False
    """Train on Pascal's labels; the category's usual set if neither is asked for."""
    use_coco: bool = False
    """Train on COCO's labels."""
    model: str = "resnet18"
    """resnet18, 34, 50, 101 or 152."""
    iter: int = 50_000
    """Steps."""
    val_freq: int = 500
    """Steps between two validations; the best weights are kept."""
    batch_size: int = 32
    """Crops a step."""
    lr: float = 1e-4
    """Adam's step size."""
    thres: float = 0.3
    """Confidence from which a label is trained on."""
    thres_use: float = 0.04
    """Share of the box at which the PCK decides which weights are best."""
    input_res: int = 256
    """Side of a crop, pixels."""
    output_res: int = 64
    """Side of a heat map, cells: a quarter of --input_res."""
    seed: int = 14
    """Seed of weights, order and augmentation."""
    placement: Literal["exact", "published"] = "exact"
    """Where peaks lie: exact, or on whole cells as published, read 2 to 3 pixels off."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Train, validating on the category's usual set."""
        from chorus.animals.pose.training import PoseTraining, train_keypoints

        started = time.monotonic()
        settings = PoseTraining(
            **{f.name: getattr(self, f.name) for f in fields(PoseTraining) if hasattr(self, f.name)}
        )
        sets = training_sets(self.category, self.use_pascal, self.use_coco)
        training = [labelled_split(self.tree, s, self.category, "train") for s in sets]
        usual = usual_data_set(self.category)
        validation = labelled_split(self.tree, usual, self.category, "val")
        folder = self.tree.keypoint_checkpoint(self.run_name).parent
        device = resolve_device(self.device)
        with progress_bar(progress, self.iter, "train", "step") as advance:
            best = train_keypoints(training, validation, settings, folder, device, advance)
        count = sum(len(each.labels.records) for each in training)
        return CommandResult(
            f"train_keypoints: {self.iter} steps on {count} images, PCK@{self.thres_use:g} "
            f"{best:.1f} %, in {time.monotonic() - started:.0f} s → {folder}"
        )


@dataclass(frozen=True)
class EvaluateKeypoints(DeviceOptions, NamedOptions):
    """PCK of a keypoint network on labelled images."""

    dataset: str = ""
    """pascal, coco or animal_pose; the category's usual set if left out."""
    model: str = "resnet18"
    """Depth that the network was trained with."""
    batch_size: int = 256
    """Crops at a time."""
    input_res: int = 256
    """Side of a crop that it was trained with."""
    placement: Literal["exact", "published"] = "exact"
    """How heat maps are read."""
    flip_test: bool = False
    """Look at the mirror image as well."""

    def run(self, progress: Progress = None) -> CommandResult:
        """A table of the PCK by threshold."""
        from chorus.animals.accuracy import POSE_THRESHOLDS
        from chorus.animals.pose.finding import Reading
        from chorus.animals.pose.network import load_keypoint_network
        from chorus.animals.pose.training import evaluate_keypoints

        del progress
        reading = Reading(self.placement, self.flip_test, self.input_res, self.batch_size)
        split = labelled_split(
            self.tree, self.dataset or usual_data_set(self.category), self.category, "val"
        )
        path = self.tree.keypoint_checkpoint(self.run_name)
        network = load_keypoint_network(path, self.model).to(resolve_device(self.device))
        scores = evaluate_keypoints(network, split, reading, POSE_THRESHOLDS)
        rows = [[f"{each:.2f}", f"{value:.1f}"] for each, value in scores.items()]
        return CommandResult(
            f"evaluate_keypoints: {path.parent.name} on {len(split.labels.records)} images",
            text=format_table(["share of the box", "PCK, percent"], rows),
        )
