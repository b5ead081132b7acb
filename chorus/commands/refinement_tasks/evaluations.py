"""`chorus scorehmr keypoint_fitting`, `multiview` and `video`: ScoreHMR's three evaluations."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.refinement.score.settings import PUBLISHED, GuidanceSettings
from chorus.settings import DeviceOptions, resolve_device

if TYPE_CHECKING:
    import numpy as np

    from chorus.commands.refinement_tasks.data_files import DataSet, Predictions
    from chorus.commands.refinement_tasks.evaluation import Model, Refined

logger = logging.getLogger(__name__)

_FILES = {
    "3DPW-TEST": "3dpw_test.npz",
    "H36M-MULTIVIEW": "h36m_val_multiview.pkl",
    "MANNEQUIN": "mannequin.pkl",
    "3DPW-TEST-VIDEO": "3dpw_test_video.pkl",
}
_CACHES = {"hmr2": "hmr2b", "pare": "pare", "prohmr": "prohmr"}


@dataclass(frozen=True)
class EvaluationOptions(DeviceOptions):
    """What the three evaluations share. Files lie where the release has them below --root, unless
    they are named."""

    name: str = "score_hmr"
    """The training whose checkpoint is evaluated: logs/checkpoints/NAME/model-MILESTONE.pt."""
    milestone: int = 100
    """Which of its checkpoints."""
    use_default_ckpt: bool = False
    """Take the release's checkpoint, data/model_weights/score_hmr/model-100.pt, instead."""
    use_betas: bool = False
    """The checkpoint is one of pose and shape."""
    predictions: Literal["hmr2", "pare", "prohmr"] = "hmr2"
    """Whose cached bodies are refined: the folder below cache/."""
    root: Path = Path(".")
    """Folder of data/, cache/ and logs/."""
    data: Path | None = None
    """The data set's file; data/datasets/... by its name if left out."""
    preds: Path | None = None
    """The cached bodies' file; cache/hmr2b/... (or pare, prohmr) if left out."""
    features: Path | None = None
    """The cached features' file; cache/pare/... (or prohmr) if left out."""
    stats: Path | None = None
    """Mean and deviation of the features; data/stats/pare_feat_stats.npz if left out."""
    shape_range: Path | None = None
    """Least and largest betas; data/stats/betas_stats_eft_fits.npz if left out."""
    body: Path | None = None
    """SMPL's neutral body; data/smpl/SMPL_NEUTRAL.pkl if left out."""
    joints: Path | None = None
    """The matrix of 19 joints of SMPL's mesh; data/SMPL_to_J19.pkl if left out."""
    img_dir: Path | None = None
    """Folder that the data set's image names are relative to; not needed if it has img_size."""
    batch_size: int = 256
    """Persons that are refined together; groups stay whole."""
    log_freq: int = 10
    """Batches between two messages of the means so far."""
    out: Path = Path("results/scorehmr")
    """Folder to write DATASET.json and DATASET.npz into."""

    task: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "log_freq"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name} must be at least 1, found {getattr(self, name)}.")
        if not self.name or Path(self.name).name != self.name:
            raise BadInput(f"--name must be the name of a training, no path: {self.name!r}.")

    @property
    def guidance(self) -> GuidanceSettings:
        """How poses are refined."""
        return PUBLISHED[self.task]

    @property
    def points(self) -> tuple[int, ...]:
        """Which of the 44 points errors are means of."""
        from chorus.refinement.score.published_points import JOINTS_14, JOINTS_17

        return JOINTS_17 if self.dataset == "MANNEQUIN" else JOINTS_14

    @property
    def checkpoint(self) -> Path:
        """The denoiser's file."""
        if self.use_default_ckpt:
            return self.root / "data/model_weights/score_hmr/model-100.pt"
        return self.root / "logs/checkpoints" / self.name / f"model-{self.milestone}.pt"

    def files(self, features: str) -> dict[str, Path]:
        """Every file that is read, by what it is. features: `pare` or `prohmr`."""
        file = _FILES[self.dataset]
        usual = {
            "data": f"data/datasets/{file}",
            "preds": f"cache/{_CACHES[self.predictions]}/{file}",
            "features": f"cache/{features}/{file}",
            "stats": f"data/stats/{features}_feat_stats.npz",
            "body": "data/smpl/SMPL_NEUTRAL.pkl",
            "joints": "data/SMPL_to_J19.pkl",
            "shape_range": "data/stats/betas_stats_eft_fits.npz",
        }
        named = {name: getattr(self, name) or self.root / path for name, path in usual.items()}
        return {"checkpoint": self.checkpoint, **named}

    def run(self, progress: Progress = None) -> CommandResult:
        """Refine every person of the data set; print and write the errors."""
        import numpy as np

        from chorus.commands.refinement_tasks.data_files import (
            read_data_set,
            read_features,
            read_predictions,
        )
        from chorus.commands.refinement_tasks.evaluation import feature_names
        from chorus.commands.training.cached_features import feature_statistics

        started = time.monotonic()
        files = self.files("pare")
        model = self._model(files)
        names = feature_names(model.network.widths, str(self.checkpoint))
        if len(names) == 1 and names[0][0] == "img_feats":
            files = self.files("prohmr")
        if not model.network.widths.shape:
            del files["shape_range"]
        data = read_data_set(files["data"], self.img_dir)
        start = self._start(read_predictions(files["preds"], data, files["data"]), data)
        mean, deviation = feature_statistics(files["stats"], names)
        features = read_features(files["features"], data, files["data"], names)
        condition = ((features - mean) / deviation).astype(np.float32)
        refined = self._refined(model, data, start, condition, progress)
        return self._told(data, refined, files, time.monotonic() - started)

    def _model(self, files: dict[str, Path]) -> Model:
        from chorus.commands.refinement_tasks.evaluation import load_model

        model = load_model(
            self.checkpoint,
            files["body"],
            files["joints"],
            files["shape_range"],
            resolve_device(self.device),
        )
        if self.use_betas != model.network.widths.shape:
            has = "of pose and shape" if model.network.widths.shape else "of the pose alone"
            cure = "leave --use_betas out" if self.use_betas else "say --use_betas"
            raise BadInput(f"{self.checkpoint} is a model {has}; {cure}.")
        return model

    def _start(self, predictions: Predictions, data: DataSet) -> Predictions:
        """The bodies to start from: a person has one shape in all its views or frames."""
        from chorus.commands.refinement_tasks.evaluation import group_means

        betas = group_means(predictions.betas, data.group)
        return replace(predictions, betas=betas)

    def _refined(
        self,
        model: Model,
        data: DataSet,
        start: Predictions,
        condition: np.ndarray,
        progress: Progress,
    ) -> Refined:
        from chorus.commands.refinement_tasks.evaluation import Refined, batches, refine
        from chorus.commands.refinement_tasks.results import summary
        from chorus.engine.torch_threads import one_torch_thread

        parts: list[Refined] = []
        count = len(data.names)
        with progress_bar(progress, count, self.dataset, "person") as advance:
            for number, rows in enumerate(batches(data.group, self.batch_size), start=1):
                with one_torch_thread():  # others cost more than they bring, on busy cores tenfold
                    parts.append(refine(model, data, start, condition, self.guidance, rows))
                advance(rows.stop - rows.start)
                if number % self.log_freq == 0 and rows.stop < count:
                    so_far, truth = Refined.joined(parts), data.truth[: rows.stop, :, :3]
                    said = summary(self._errors(so_far, truth))
                    logger.info("%d / %d samples\n%s", rows.stop, count, said)
        return Refined.joined(parts)

    def _errors(self, refined: Refined, truth: np.ndarray) -> dict[str, np.ndarray]:
        from chorus.commands.refinement_tasks.errors import position_errors

        before = position_errors(refined.start_points, truth, self.points)
        after = position_errors(refined.points, truth, self.points)
        names = ("reg_mpjpe", "reg_re", "opt_mpjpe", "opt_re")
        return dict(zip(names, (*before, *after), strict=True))

    def _by_group(self, data: DataSet, refined: Refined) -> dict[str, dict[int, np.ndarray]]:
        """Errors that no single sample has."""
        return {}

    def _told(
        self, data: DataSet, refined: Refined, files: dict[str, Path], seconds: float
    ) -> CommandResult:
        import numpy as np

        from chorus.commands.refinement_tasks.results import described, save, summary

        errors = self._errors(refined, data.truth[..., :3])
        by_group = self._by_group(data, refined)
        about = {
            "dataset": self.dataset,
            "task": self.task,
            "points": list(self.points),
            **described(self.guidance, files),
        }
        table, arrays = save(self.out, self.dataset, data, refined, errors, by_group, about)
        pooled = {n: np.concatenate(list(groups.values())) for n, groups in by_group.items()}
        shown = {name: each for name, each in {**errors, **pooled}.items() if each.size}
        count = len(data.names)
        return CommandResult(
            f"scorehmr: {count} persons in {seconds:.0f} s → {table}, {arrays}",
            text=f"{count} / {count} samples\n{summary(shown)}",
        )


@dataclass(frozen=True)
class KeypointFitting(EvaluationOptions):
    """Refine single images by their 2D keypoints: ScoreHMR's eval_keypoint_fitting.py."""

    dataset: Literal["3DPW-TEST"] = "3DPW-TEST"
    """Which data set."""

    task: ClassVar[str] = "single"


@dataclass(frozen=True)
class MultiView(EvaluationOptions):
    """Refine several views of a person by their agreement: ScoreHMR's eval_multiview.py."""

    dataset: Literal["H36M-MULTIVIEW", "MANNEQUIN"] = "H36M-MULTIVIEW"
    """Which data set."""
    ddim_step_size: int = 10
    """Levels between two steps."""
    optim_iters: int = 2
    """Rounds of inversion and guided sampling."""
    sample_start: int = 100
    """Noise level that a round rises to."""

    task: ClassVar[str] = "views"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.guidance  # refuses what cannot be

    @property
    def guidance(self) -> GuidanceSettings:
        """How poses are refined."""
        return replace(
            PUBLISHED[self.task],
            step=self.ddim_step_size,
            rounds=self.optim_iters,
            level=self.sample_start,
        )


@dataclass(frozen=True)
class Video(EvaluationOptions):
    """Refine the frames of tracks by keypoints and smoothness: ScoreHMR's eval_video.py."""

    dataset: Literal["3DPW-TEST-VIDEO"] = "3DPW-TEST-VIDEO"
    """Which data set."""

    task: ClassVar[str] = "video"

    def _by_group(self, data: DataSet, refined: Refined) -> dict[str, dict[int, np.ndarray]]:
        from chorus.commands.refinement_tasks.errors import acceleration_errors

        truth = data.truth[..., :3]
        return {
            f"{name}_accel": acceleration_errors(points, truth, self.points, data.group)
            for name, points in (("reg", refined.start_points), ("opt", refined.points))
        }
