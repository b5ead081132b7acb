"""The options of `chorus import`, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from chorus.commands.importing.tables import Kind
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import MADE_BY
from chorus.records.keys import TOTAL
from chorus.settings import BodyOptions, ImageTreeOptions, RedoOptions, SampleOptions
from chorus.vocabulary import resolve_category


@dataclass(frozen=True)
class Options(BodyOptions, RedoOptions, ImageTreeOptions, SampleOptions):
    """Take images, masks, keypoints and poses from files instead of our own perception."""

    images: Path | None = None
    """Folder of the images."""
    annotations: Path | None = None
    """Instances of these images: COCO's .json (persons may have keypoints), the folder of labelme's
    files, or YOLO's labels: their folder, or the data.yaml that names their classes."""
    masks: Path | None = None
    """Folder of PNG masks of the objects in these images, in place of --annotations: a.png is the
    mask of a.jpg."""
    person_masks: Path | None = None
    """Folder of PNG masks of the persons."""
    max_megapixels: float = 16.0
    """Images without annotations or masks that are larger are scaled down to this."""
    poses: Path | None = None
    """Human poses: .npz, or what 4D-Humans, TokenHMR, GVHMR, GEM, WHAM, TRAM, PromptHMR, SMPLer-X
    or SAM 3D Body wrote; a file, or a folder of these (docs/bring-your-own.md)."""
    correspondence: Path | None = None
    """Where the body's vertices lie on SAM 3D Body's meshes (.npz: faces, weights): the body is
    then fitted to these, not to their keypoints."""
    lifted: Path | None = None
    """Objects lifted to 3D, evidence for `aggregate --evidence meshes`: our own .json or .npz, or
    what SAM 3D Objects or CARI4D wrote; a file, or a folder of these (docs/bring-your-own.md)."""
    lifted_mesh: Path | None = None
    """The object's mesh, for lifted objects whose files hold none (CARI4D)."""
    prompt: str | None = None
    """The interaction the images show; 'imported' if left out and not in the annotations."""
    threshold: float | None = None
    """Annotations with a score below this are dropped; 0.8 if left out, none of those that `chorus
    export` or `chorus perceive` wrote."""
    take_crowds: bool = False
    """Take each annotation of a crowd (iscrowd 1) as one instance; CVAT writes masks of the brush
    so."""
    dry_run: bool = False
    """Say what would be taken, matched and dropped, and why, and write nothing."""
    without_keypoints: bool = False
    """Write keypoints of confidence 0; aggregate then with --aggr_setting_names quant:full
    --filter_setting_nums 15, a preset and a filter rule that need none."""
    as_: Annotated[tuple[Literal["test_set"], str] | None, tyro.conf.arg(name="as")] = None
    """`test_set NAME`: make test images for `evaluate --test_set NAME` instead of training ones."""
    open3dhoi: Path | None = None
    """Folder of Open3DHOI, of one of its categories or samples: test images with 3D truth."""

    @property
    def test_set(self) -> str:
        """The name of the test set to be made; empty if none is."""
        return self.as_[1] if self.as_ else ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.as_:
            self._check_test_set()
        if self.open3dhoi is not None and not self.as_:
            raise BadInput("--open3dhoi makes test images; give them a name, --as test_set NAME.")
        given = (self.images, self.poses, self.open3dhoi, self.lifted)
        if all(path is None for path in given):
            raise BadInput("give --images or --poses, or both, or --lifted.")
        for category in self.categories:
            resolve_category(category, "open")
        self._check_lifted()
        self._check_masks()
        if self.images is not None and not self.images.is_dir():
            raise BadInput(f"--images {self.images} is not a folder; give the folder of images.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie between 0 and 1, found {self.threshold}.")
        if self.prompt is not None and (not self.prompt.strip() or self.prompt == TOTAL):
            raise BadInput(f"--prompt {self.prompt!r} cannot be an interaction's name.")

    def _check_masks(self) -> None:
        """BadInput for annotations and masks that do not belong together."""
        if self.images is None and (self.annotations or self.mask_folders):
            raise BadInput("annotations and masks belong to images; give their folder, --images.")
        if self.correspondence is not None and self.poses is None:
            raise BadInput("--correspondence belongs to poses; give these, --poses.")
        if self.annotations and self.mask_folders:
            raise BadInput("--annotations holds masks itself; give either it or masks.")
        if self.images and not self.annotations and len(self.categories) != 1:
            raise BadInput(
                "without --annotations, name the one category that the images show: --categories "
                f"bicycle; found {' '.join(self.categories) or 'none'}."
            )
        for name in ("without_keypoints", "take_crowds"):
            if getattr(self, name) and not self.annotations:
                raise BadInput(f"--{name} belongs to --annotations; give these.")
        if self.masks and self.person_masks and self.masks.resolve() == self.person_masks.resolve():
            raise BadInput(
                f"--masks and --person_masks are both {self.masks}; give persons a folder of their "
                "own."
            )
        for path in self.mask_folders.values():
            if not path.is_dir():
                raise BadInput(f"{path} is not a folder; give the folder of the PNG masks.")
        if not self.max_megapixels > 0:
            raise BadInput(f"--max_megapixels must be above 0, found {self.max_megapixels}.")

    def _check_lifted(self) -> None:
        """BadInput for lifted objects that are not told what they are of."""
        if self.lifted_mesh is not None and self.lifted is None:
            raise BadInput("--lifted_mesh belongs to --lifted; give the lifted objects.")
        if self.lifted is not None and len(self.categories) != 1:
            raise BadInput(
                "--lifted does not say what its objects are; name their one category: --categories "
                f"bicycle; found {' '.join(self.categories) or 'none'}."
            )

    def _check_test_set(self) -> None:
        """BadInput for a name or inputs of which no test set can be made."""
        if not self.test_set.strip() or self.test_set in MADE_BY:
            made = "".join(f", {name} is made by chorus {by}" for name, by in MADE_BY.items())
            raise BadInput(
                f"--as test_set {self.test_set!r}: a test set of your own needs a name of its "
                f"own{made}."
            )
        if self.lifted is not None:
            raise BadInput("--lifted objects are evidence, no test images; leave out --as.")
        if self.open3dhoi is not None:
            if self.images is not None or self.poses is not None or self.prompts:
                raise BadInput(
                    "--open3dhoi has images, masks and poses of its own, and no prompts; leave out "
                    "--images, --annotations, --poses and --prompts."
                )
        elif self.images is None or self.annotations is None or self.poses is None:
            raise BadInput(
                "--as test_set needs what PAP needs of every image: give --images, --annotations "
                "and --poses, or --open3dhoi."
            )
        if self.prompt is not None or self.without_keypoints:
            raise BadInput(
                "--prompt and --without_keypoints say nothing of test images; leave them out with "
                "--as test_set."
            )

    @property
    def mask_folders(self) -> dict[Kind, Path]:
        """The folders of masks, by what they are masks of."""
        folders: dict[Kind, Path | None] = {"objects": self.masks, "persons": self.person_masks}
        return {kind: path for kind, path in folders.items() if path is not None}
