"""Options that tasks of `chorus animals` share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.animals.keypoints import CATEGORIES
from chorus.animals.tree import AnimalTree, check_name, usual_data_set
from chorus.errors import unknown_name
from chorus.settings import OptionGroup

if TYPE_CHECKING:
    from chorus.animals.pose.training import Split


@dataclass(frozen=True)
class AnimalOptions(OptionGroup):
    """Where files lie, and which animal."""

    category: str = field(kw_only=True)
    """horse, cow, sheep, giraffe or bear."""
    root: Path = Path("animals")
    """The folder that the release's own layout begins in (docs/animals.md)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.category not in CATEGORIES:
            raise unknown_name("animal", self.category, CATEGORIES)

    @property
    def tree(self) -> AnimalTree:
        """The folder as paths."""
        return AnimalTree(self.root)


@dataclass(frozen=True)
class NamedOptions(AnimalOptions):
    """Which run."""

    name: str = ""
    """The run's name, after which its files are called; the category if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name:
            check_name(self.name)

    @property
    def run_name(self) -> str:
        """The name of the run's files."""
        return self.name or self.category


def labelled_split(tree: AnimalTree, data_set: str, category: str, split: str) -> Split:
    """The labels of a split, in the order of its list, and the folder of their images."""
    from chorus.animals.annotations import check_category, read_ids, read_labels
    from chorus.animals.pose.training import Split

    path = tree.annotations(data_set, category, split)
    ids = read_ids(tree.split(data_set, category, split))
    labels = read_labels(path).chosen(ids, str(path))
    check_category(labels, category, path)
    return Split(labels, tree.labelled(data_set) / "images")


def training_sets(category: str, pascal: bool, coco: bool) -> list[str]:
    """The labelled sets to train on: those that are asked for, else the category's usual one."""
    asked = [name for name, wanted in (("pascal", pascal), ("coco", coco)) if wanted]
    return asked or [usual_data_set(category)]
