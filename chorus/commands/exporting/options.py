"""The options of `chorus export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from chorus.errors import BadInput
from chorus.settings import BodyOptions, ImageTreeOptions, SampleOptions

Format = Literal[
    "coco", "npz", "glb", "animation", "smpl", "smplx", "coco_keypoints", "nrrd", "rerun"
]


@dataclass(frozen=True)
class Options(BodyOptions, ImageTreeOptions, SampleOptions):
    """Write results in forms that other programs read."""

    formats: tuple[Format, ...] = ("coco", "npz", "glb")
    """coco: images, masks, keypoints. npz: human poses and cameras. glb: distributions. animation:
    distributions that move with the body (GLB). smpl, smplx: calibrated persons as .smpl files and
    for SMPL-X's Blender add-on. coco_keypoints: for COCO's keypoint evaluation. nrrd:
    probabilities as volumes. rerun: a recording for Rerun's viewer."""
    out: Path = Path("export")
    """Folder to write into; files of the same names are replaced."""
    threshold: float | None = None
    """Probability at which a distribution's surface lies; 0.66 of its peak if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise BadInput(f"--threshold must be above 0 and at most 1, found {self.threshold}.")
        if self.out.exists() and not self.out.is_dir():
            raise BadInput(f"--out {self.out} is a file; give a folder.")
        if not self.formats:
            raise BadInput(f"give at least one of {', '.join(get_args(Format))} to --formats.")
