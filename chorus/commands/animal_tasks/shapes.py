"""`chorus animals train_shape`, `generate_pl_3d`, `evaluate_shape` and `visualize`: ACSM."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chorus.animals.tree import usual_data_set
from chorus.commands.animal_tasks.options import NamedOptions, labelled_split, training_sets
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.settings import DeviceOptions, resolve_device
from chorus.viewing.text_table import format_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chorus.animals.annotations import Record
    from chorus.animals.shape.evaluating import Shape
    from chorus.animals.shape.training import TrainingSet
    from chorus.animals.template import Template


_CELLS = 40


@dataclass(frozen=True)
class _ShapeOptions(DeviceOptions, NamedOptions):
    """What all tasks of shapes heed."""

    template: Path | None = None
    """A template that `chorus animals template` wrote; the free quadruped if left out."""
    scale_mesh: bool = True
    """Make the template 2 long and centre it."""
    img_size: int = 256
    """Side of a crop, pixels."""
    nz_feat: int = 200
    """Width of the network's hidden layers."""
    num_hypo_cams: int = 1
    """Cameras that are tried."""
    published_angles: bool = False
    """Read the angles of several cameras as the release does, whose layer for them learns
    nothing; its weights need it."""
    order: Literal["root last", "parent last"] = "root last"
    """Order of a chain's turns; `parent last` is the release's, which its weights need."""

    def _template(self) -> Template:
        from chorus.animals.free_quadruped import free_quadruped
        from chorus.animals.template import in_published_axes, load_template

        if self.template is None:
            template = in_published_axes(free_quadruped(self.category, _CELLS))
        else:
            template = load_template(self.template)
        return template.normalised() if self.scale_mesh else template


@dataclass(frozen=True)
class TrainShape(_ShapeOptions):
    """Train the shape network on labels and selected pseudo-labels; goes on where it stopped."""

    use_pascal: bool = False
    """Train on Pascal's labels; the category's usual set if no set is asked for."""
    use_coco: bool = False
    """Train on COCO's labels."""
    use_web_images: bool = False
    """Train on pseudo-labels of web images, too."""
    filter: Literal["all", "kpconf", "cf_mt", "cf_cm", "cf_cm_sq"] = "all"
    """Which web images: all, or those that `select` listed by a criterion."""
    web_images_num: int = 3_000
    """How many web images; the number that `select` was given."""
    pseudo_labels: str = ""
    """Name of the run whose pseudo-labels are used; the category if left out."""
    num_iter: int = 70_000
    """Steps."""
    iter_save: int = 5_000
    """Steps between two saved states."""
    batch_size: int = 12
    """Images a step."""
    learning_rate: float = 1e-4
    """Adam's step size."""
    beta1: float = 0.9
    """Adam's momentum."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    padding_frac: float = 0.05
    """Boxes are widened by this share on each side."""
    jitter_frac: float = 0.05
    """Each side of a box is moved by up to this share."""
    warmup_deform_iter: int = 3_000
    """Steps before parts begin to turn."""
    kp_loss_wt: float = 3.0
    """Weight of the keypoints."""
    limit_loss_wt: float = 1.0
    """Weight of hinges beyond their limits; 0 as in the release."""
    no_trans: bool = True
    """Parts turn and do not shift."""
    flip_train: bool = False
    """Train on every image together with its mirror image."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Train, and write weights and the curve of the loss."""
        from chorus.animals.shape.training import ShapeTraining, train_shape

        started = time.monotonic()
        settings = ShapeTraining(**{f.name: getattr(self, f.name) for f in fields(ShapeTraining)})
        sets, template = self._sets(), self._template()
        folder = self.tree.shape_checkpoints(self.run_name)
        device = resolve_device(self.device)
        with progress_bar(progress, self.num_iter, "train", "step") as advance:
            loss = train_shape(sets, template, settings, folder, device, advance)
        count = sum(len(each.labels.records) for each in sets)
        return CommandResult(
            f"train_shape: {self.num_iter} steps on {count} images, loss {loss:.3f}, in "
            f"{time.monotonic() - started:.0f} s → {folder}"
        )

    def _sets(self) -> list[TrainingSet]:
        from chorus.animals.annotations import read_ids, read_labels
        from chorus.animals.shape.training import TrainingSet

        names = training_sets(self.category, self.use_pascal, self.use_coco)
        splits = [labelled_split(self.tree, name, self.category, "train") for name in names]
        sets = [TrainingSet(split.labels, split.images) for split in splits]
        if self.use_web_images:
            path = self.tree.labels_2d(self.pseudo_labels or self.category)
            labels = read_labels(path)
            if self.filter == "all":
                ids = list(labels.ids[: self.web_images_num])
            else:
                ids = read_ids(self.tree.selected(self.category, self.filter, self.web_images_num))
            sets.append(TrainingSet(labels.chosen(ids, str(path)), self.tree.web / "images"))
        return sets


@dataclass(frozen=True)
class _Trained(_ShapeOptions):
    """What tasks heed that use a trained network."""

    weights: Path | None = None
    """File of weights; the newest of --name if left out."""
    batch_size: int = 16
    """Crops at a time."""

    def _shapes(self, images: Path, records: Sequence[Record], progress: Progress) -> list[Shape]:
        from chorus.animals.shape.evaluating import find_shapes
        from chorus.animals.shape.network import ShapeForm, load_shape_network
        from chorus.animals.shape.projecting import PosedTemplate

        template, device = self._template(), resolve_device(self.device)
        form = ShapeForm(
            len(template.parts),
            len(template.vertices),
            self.num_hypo_cams,
            self.nz_feat,
            self.img_size,
            self.published_angles,
        )
        network = load_shape_network(self.weights or self._newest(), form).to(device)
        posed = PosedTemplate.of(template, self.order, device)
        shapes = []
        with progress_bar(progress, len(records), "shape", "image") as advance:
            for shape in find_shapes(network, posed, images, records, self.batch_size):
                shapes.append(shape)
                advance(1)
        return shapes

    def _newest(self) -> Path:
        folder = self.tree.shape_checkpoints(self.run_name)
        made = [path for path in folder.glob("*.pth") if path.name != "last.pth"]
        if not made:
            raise BadInput(f"there are no weights in {folder}; run `chorus animals train_shape`.")
        return max(made, key=lambda path: (path.stat().st_mtime_ns, path.name))


@dataclass(frozen=True)
class GeneratePl3d(_Trained):
    """Find the keypoints of all web images by their shapes."""

    def run(self, progress: Progress = None) -> CommandResult:
        """Write <name>_pl_3d.json."""
        from chorus.animals.annotations import read_labels, write_records
        from chorus.animals.shape.evaluating import label_records

        boxes = read_labels(self.tree.boxes(self.category), with_joints=False)
        shapes = self._shapes(self.tree.web / "images", boxes.records, progress)
        records = label_records(shapes)
        path = self.tree.labels_3d(self.run_name)
        write_records(path, records)
        problems = [shape.problem for shape in shapes if shape.problem]
        line = f"generate_pl_3d: keypoints of {len(records)} boxes → {path}"
        return CommandResult(line, problems=problems)


@dataclass(frozen=True)
class EvaluateShape(_Trained):
    """AUC, camera error and IoU of a shape network on labelled images."""

    dataset: str = ""
    """pascal, coco or animal_pose; the category's usual set if left out."""

    def run(self, progress: Progress = None) -> CommandResult:
        """A table of the figures."""
        from chorus.animals.shape.evaluating import score_shapes

        name = self.dataset or usual_data_set(self.category)
        split = labelled_split(self.tree, name, self.category, "val")
        shapes = self._shapes(split.images, split.labels.records, progress)
        scores = score_shapes(split.labels, shapes, self._template().faces)
        rows = [
            ["AUC (PCK .06 to .10), percent", f"{scores.area:.1f}"],
            ["camera error, degrees", f"{scores.camera:.1f}"],
            ["IoU, percent", f"{scores.overlap:.1f}"],
        ]
        return CommandResult(
            f"evaluate_shape: {self.run_name} on {scores.images} images of {name}",
            text=format_table(["figure", "value"], rows),
        )


@dataclass(frozen=True)
class Visualize(_Trained):
    """Draw the shapes of labelled images over them, and the template's turntable."""

    dataset: str = ""
    """pascal, coco or animal_pose; the category's usual set if left out."""
    vis_num: int = 10
    """Images, the first ones of the list."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vis_num < 1:
            raise BadInput(f"--vis_num must be 1 or more, found {self.vis_num}.")

    def run(self, progress: Progress = None) -> CommandResult:
        """Write <id>.jpg, <id>_shape.jpg and <id>.gif per image."""
        from chorus.animals.shape.pictures import write_shape_pictures

        name = self.dataset or usual_data_set(self.category)
        split = labelled_split(self.tree, name, self.category, "val")
        shapes = self._shapes(split.images, split.labels.records[: self.vis_num], progress)
        folder = self.root / "demo" / f"{name}_{self.run_name}"
        faces = self._template().faces
        problems = []
        for shape in shapes:
            if shape.problem:
                problems.append(shape.problem)
            else:
                write_shape_pictures(folder, split.images, shape, faces)
        drawn = len(shapes) - len(problems)
        return CommandResult(f"visualize: {drawn} images → {folder}", problems=problems)
