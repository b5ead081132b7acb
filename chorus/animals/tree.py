"""Where the files of animals lie below a root folder: the release's own layout.

acsm/acsm/cachedir/data/<pascal|coco|animal_pose>/{images,filelists,annotations}
acsm/acsm/cachedir/3D_models/<category>, …/part_files/<category>.txt, …/checkpoints/<name>
data/yfcc100m/{images,labels_0,labels,filelists,visuals}
pose/results/checkpoints/<name>
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chorus.animals.keypoints import CATEGORIES
from chorus.errors import BadInput, unknown_name

DATA_SETS = ("pascal", "coco", "animal_pose")
"""The labelled sets."""


@dataclass(frozen=True)
class AnimalTree:
    """Paths below a root folder; nothing is made or read."""

    root: Path

    @property
    def web(self) -> Path:
        """The folder of the web images and all that is found on them."""
        return self.root / "data" / "yfcc100m"

    @property
    def cache(self) -> Path:
        """The folder of templates, labelled sets and checkpoints of ACSM."""
        return self.root / "acsm" / "acsm" / "cachedir"

    def labelled(self, data_set: str) -> Path:
        """A labelled set's folder."""
        if data_set not in DATA_SETS:
            raise unknown_name("data set", data_set, DATA_SETS)
        return self.cache / "data" / data_set

    def annotations(self, data_set: str, category: str, split: str) -> Path:
        """The labels of a split. Pascal's training labels have a file of their own."""
        _check(category)
        everything = data_set == "pascal" and split == "train"
        return self.labelled(data_set) / "annotations" / f"{category}{'_all' * everything}.json"

    def split(self, data_set: str, category: str, split: str) -> Path:
        """The list of a split's images."""
        _check(category)
        return self.labelled(data_set) / "filelists" / f"{category}_{split}.txt"

    def boxes(self, category: str) -> Path:
        """The detections in the web images."""
        _check(category)
        return self.web / "labels_0" / f"{category}_bbox.json"

    def labels_2d(self, name: str, aux: bool = False) -> Path:
        """The pseudo-labels of a keypoint network."""
        return self.web / "labels" / f"{name}_pl_2d{'_aux' * aux}.json"

    def labels_3d(self, name: str) -> Path:
        """The keypoints of a fitted shape."""
        return self.web / "labels" / f"{name}_pl_3d.json"

    def transformed(self, name: str) -> Path:
        """The folder of keypoints found in transformed images."""
        return self.web / "labels_0" / name

    def selected(self, category: str, criterion: str, count: int) -> Path:
        """The list of selected web images, best first."""
        return self.web / "filelists" / f"{category}_{criterion}_{count}.txt"

    def all_web(self, category: str) -> Path:
        """The list of all web images."""
        return self.web / "filelists" / f"{category}.txt"

    def truth(self, category: str) -> Path:
        """What is true of a synthetic pasture's web images; not a file of the release."""
        return self.web / "truth" / f"{category}.json"

    def keypoint_checkpoint(self, name: str) -> Path:
        """The best weights of a keypoint network."""
        return self.root / "pose" / "results" / "checkpoints" / name / "best_model.pth"

    def shape_checkpoints(self, name: str) -> Path:
        """The folder of weights of an articulated shape network."""
        return self.cache / "checkpoints" / name


def usual_data_set(category: str) -> str:
    """The labelled set that a category is trained and tested on."""
    _check(category)
    return "coco" if category in ("giraffe", "bear") else "pascal"


def _check(category: str) -> None:
    if category not in CATEGORIES:
        raise unknown_name("animal", category, CATEGORIES)


def check_name(name: str) -> str:
    """A run's name, if it is one folder's name. BadInput otherwise."""
    if not name or name != Path(name).name or name in (".", ".."):
        raise BadInput(f"--name must be the name of one folder, found {name!r}.")
    return name
