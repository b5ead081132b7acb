"""What ablations are measured by: PAP on the test images, and the synthetic world's 3D truth.

Test images are prepared and true occupancies computed once per category, for all ablations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.commands.ablation.definitions import ABLATIONS, FULL
from chorus.commands.ablation.trees import AblationOptions
from chorus.commands.truth import known_scenes
from chorus.engine.progress import Progress, progress_bar
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.evaluation.labelled_sets import table_of, usual_set
from chorus.occupancy.presets import preset
from chorus.records.aggregations import WHOLE, load
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree

if TYPE_CHECKING:
    import numpy as np

    from chorus.evaluation.labelled_images import LabelledImage
    from chorus.evaluation.pap import PreparedImage
    from chorus.evaluation.truth_scores import TrueOccupancy
    from chorus.occupancy.distribution import Distribution

MEASURES = {"3D AP": "soft_ap", "region AP": "region_ap", "IoU": "best_iou"}
"""What is measured against the truth, by the table's word for it: fields of `TruthScores`."""
_FULL_BODY = "fullbody"


class AblationScorer:
    """Scores distributions of one category; the space that truths live in is the full method's."""

    def __init__(
        self,
        options: AblationOptions,
        category: str,
        shards: Sequence[ShardKey],
        progress: Progress,
    ):
        """shards: all of the category. Truths are there for the synthetic world alone."""
        from chorus.body.loading import load_body
        from chorus.evaluation.scoring import read_test_set
        from chorus.occupancy.grid import VoxelGrid

        self._options = options
        self._progress = progress
        self._category = category
        self._body = load_body(options.body, options.imports_dir)
        self._settings = preset(ABLATIONS[FULL].preset)
        self._grid = VoxelGrid(self._settings.resolution, self._settings.side)
        path = table_of(options.tree, usual_set(options.profile), category)
        self._images = read_test_set(path, self._body)
        self._prepared: dict[str, list[PreparedImage]] = {}
        self._truths = self._known(shards) if options.profile == "synthetic" else {}

    def pap(self, folder: Path, metric: str) -> list[list[float | None]]:
        """Every test image's four figures (`pap.VARIANTS`) of a total aggregation, 0 to 1.

        None where an image has no target. Scored is the cluster `chorus evaluate` scores.
        """
        from chorus.evaluation.labelled_images import check_field
        from chorus.evaluation.pap import score
        from chorus.evaluation.pap_settings import PapSettings

        parts = load(folder)
        field = parts.get(_FULL_BODY, parts[WHOLE])
        check_field(field, self._body.fingerprint)
        settings = PapSettings(metric)
        usual = field.grid == self._grid and field.canonical
        ready = self._prepared.get(metric) if usual else None
        if ready is None:
            ready = self._prepare(field, settings)
            if usual:
                self._prepared[metric] = ready
        scores = [score(field.probability, image, settings).pap for image in ready]
        return [
            [None if math.isnan(value) else float(value) for value in figures] for figures in scores
        ]

    def _prepare(self, field: Distribution, settings) -> list[PreparedImage]:
        from chorus.evaluation.pap import prepare

        def prepared(image: LabelledImage) -> PreparedImage:
            ready = prepare(image, self._body, field.grid, settings, canonical=field.canonical)
            advance(1)
            return ready

        label = f"test images of {self._category}, {settings.metric}"
        with (
            progress_bar(self._progress, len(self._images), label, "image") as advance,
            one_torch_thread(),
            ThreadPoolExecutor(self._options.worker_count) as pool,
        ):
            return list(pool.map(prepared, self._images))

    def _known(self, shards: Sequence[ShardKey]) -> dict[str, TrueOccupancy]:
        """The true occupancy of every prompt of the shards."""
        from chorus.evaluation.truth_scores import true_occupancy
        from chorus.occupancy.canonical import canonical_space

        space = canonical_space(
            self._body,
            self._settings,
            cache_dir=self._options.imports_dir / "cache",
            clusters=(),
            threads=self._options.worker_count,
        )
        by_prompt: dict[str, list[ShardKey]] = {}
        for shard in shards:
            by_prompt.setdefault(shard.prompt, []).append(shard)
        return {
            prompt: true_occupancy(space, known_scenes(self._options.tree, group))
            for prompt, group in by_prompt.items()
        }

    def truth(self, tree: ResultsTree, name: str) -> dict[str, dict[str, float]]:
        """How well every prompt's aggregation of that name knows its truth: `MEASURES`, 0 to 1.

        Measured at the full method's resolution. A prompt without an aggregation, because no sample
        of it was retained, counts as knowing nothing.
        """
        import numpy as np

        from chorus.evaluation.truth_scores import truth_scores

        scores = {}
        for prompt, truth in self._truths.items():
            folder = tree.aggregation(self._options.models.model_key, self._category, prompt, name)
            if (folder / f"{WHOLE}.npz").is_file():
                learned = at_resolution(load(folder)[WHOLE].probability, self._grid.resolution)
            else:
                learned = np.zeros(self._grid.shape, np.float32)
            measured = truth_scores(learned, truth)
            scores[prompt] = {field: getattr(measured, field) for field in MEASURES.values()}
        return scores


def at_resolution(volume: np.ndarray, resolution: int) -> np.ndarray:
    """A cubic volume (N, N, N) with `resolution` voxels a side over the same cube.

    A finer voxel takes the value of the one it lies in, a coarser one the mean of those in it.
    BadInput unless one resolution is a multiple of the other.
    """
    side = volume.shape[0]
    if side == resolution:
        return volume
    if resolution % side == 0:
        for axis in range(3):
            volume = volume.repeat(resolution // side, axis=axis)
        return volume
    if side % resolution:
        raise BadInput(f"{side} voxels a side do not divide into {resolution}, or the reverse.")
    step = side // resolution
    blocks = volume.reshape(resolution, step, resolution, step, resolution, step)
    return blocks.mean(axis=(1, 3, 5))
