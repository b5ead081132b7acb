"""`chorus animals select`: the pseudo-labels to train on, by one of four criteria."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chorus.animals.selecting import Criterion, Measure
from chorus.commands.animal_tasks.options import NamedOptions
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.viewing.text_table import format_table

if TYPE_CHECKING:
    from chorus.animals.selecting import Scored

_WORST = 20


@dataclass(frozen=True)
class Select(NamedOptions):
    """List the best pseudo-labels of the web images, best first."""

    filter: Criterion = "kpconf"
    """kpconf: confidence. cf_mt: consistency under transforms. cf_cm: agreement with a second
    network. cf_cm_sq: agreement with the fitted shape."""
    selection_num: int = 1000
    """How many are selected; fewer if there are not so many."""
    measure: Measure = "published"
    """published: the release's formulas. confirmed: how many visible keypoints are confirmed."""
    against: Literal["truth"] | None = None
    """truth: also compare the selected pseudo-labels of a pasture with what is true."""
    visualize: bool = False
    """Also write pictures of the best, the last selected and the worst."""
    vis_num: int = 50
    """Pictures of the best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection_num < 1 or self.vis_num < 1:
            raise BadInput("--selection_num and --vis_num must be 1 or more.")

    def run(self, progress: Progress = None) -> CommandResult:
        """Write the list, and pictures if they are asked for."""
        from chorus.animals.annotations import write_ids
        from chorus.animals.selecting import score_labels

        del progress
        scored = score_labels(self.tree, self.category, self.run_name, self.filter, self.measure)
        order = scored.order
        ids = [scored.labels.ids[number] for number in order]
        path = self.tree.selected(self.category, self.filter, self.selection_num)
        write_ids(path, ids[: self.selection_num])
        problems = []
        if scored.left_out:
            problems.append(f"{scored.left_out} images that a file lacks were left out")
        if len(ids) < self.selection_num:
            problems.append(f"only {len(ids)} images could be selected")
        if self.visualize:
            problems += self._draw(scored)
        chosen = min(len(ids), self.selection_num)
        line = f"select: {chosen} of {len(ids)} by {self.filter} → {path}"
        return CommandResult(line, problems, text=self._gain(scored) if self.against else "")

    def _gain(self, scored: Scored) -> str:
        """A table of how much better the selected pseudo-labels are than all."""
        from chorus.animals.annotations import read_labels
        from chorus.animals.selecting import selection_gain

        truth = read_labels(self.tree.truth(self.category))
        gain = selection_gain(scored.labels, scored.order, self.selection_num, truth)
        rows = [
            ["PCK@0.1 of the selected, percent", f"{gain.selected:.1f}"],
            ["of all, as of a random selection", f"{gain.everything:.1f}"],
            ["95 % interval of the difference", f"{gain.low:+.1f} to {gain.high:+.1f}"],
        ]
        return format_table(["figure", "value"], rows)

    def _draw(self, scored: Scored) -> list[str]:
        """Write the pictures; what could not be drawn."""
        from chorus.animals.pictures import write_keypoint_pictures

        order = scored.order
        chosen = order[: self.selection_num]
        groups = {
            "best": chosen[: self.vis_num],
            "worst_best": chosen[-_WORST:],
            "worst": order[-_WORST:],
        }
        folder: Path = self.tree.web / "visuals"
        folder /= f"{self.category}_{self.filter}_{self.selection_num}"
        problems = []
        for group, rows in groups.items():
            problems += write_keypoint_pictures(
                folder / group, self.tree.web / "images", scored.labels, rows
            )
        return problems
