"""`chorus animals save_boxes`: detections of any detector as the boxes of web images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from chorus.commands.animal_tasks.options import AnimalOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput


@dataclass(frozen=True)
class SaveBoxes(AnimalOptions):
    """Write the boxes of a COCO file, such as `chorus export` writes, as those of web images."""

    detections: Path = field(kw_only=True)
    """COCO JSON: images, categories, annotations with bbox and, if it is known, score."""
    confidence_threshold: float = 0.95
    """Lowest score of a box; a box without a score counts as sure."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.confidence_threshold <= 1:
            raise BadInput(
                f"--confidence_threshold must lie in 0 ... 1, found {self.confidence_threshold}."
            )

    def run(self, progress: Progress = None) -> CommandResult:
        """Write <category>_bbox.json and the list of its images."""
        from chorus.animals.annotations import write_ids, write_records
        from chorus.animals.detections import boxes_of_coco

        del progress
        records = boxes_of_coco(self.detections, self.category, self.confidence_threshold)
        path = self.tree.boxes(self.category)
        write_records(path, records)
        names = list(dict.fromkeys(record["img_path"] for record in records))
        write_ids(path.with_name(f"{self.category}.txt"), names)
        return CommandResult(f"save_boxes: {len(records)} boxes in {len(names)} images → {path}")
