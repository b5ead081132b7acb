"""`chorus scorehmr train`: ScoreHMR's training by its own names, which `chorus train` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.settings import OptionGroup

_PUBLISHED_MIX = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class Train(OptionGroup):
    """Train ScoreHMR's denoiser on cached features, as its train.py: `chorus train score --preset
    paper` with files where the release has them."""

    name: str
    """The training's name: logs/checkpoints/NAME is what it writes, and goes on with."""
    data: tuple[Path, ...] = ()
    """Data sets (.npz); the release's are Human3.6M with MoSh, COCO and MPI-INF-3DHP with EFT, in
    this order."""
    mix: tuple[float, ...] = ()
    """How often each is drawn; 0.5 0.3 0.2 for three if left out, as the release."""
    use_betas: bool = False
    """Train the shape as well."""
    img_feats: Literal["pare", "prohmr"] = "pare"
    """Whose features: cache/pare/ or cache/prohmr/ have a file of each data set's name."""
    root: Path = Path(".")
    """Folder of data/, cache/ and logs/."""
    steps: int | None = None
    """Steps of the optimiser; 1,000,000 if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name or Path(self.name).name != self.name:
            raise BadInput(f"--name must be the name of a training, no path: {self.name!r}.")
        if not self.data:
            raise BadInput(
                "give the data sets to train on with --data, .npz files with body_pose, betas and "
                f"imgname, and cache the images' features below {self.root / 'cache'}: CHORUS has "
                f"no {self.img_feats.upper()} network to make them with."
            )

    def run(self, progress: Progress = None) -> CommandResult:
        """Train to the end, or go on with a training."""
        from chorus.commands.train import Options, run

        features = tuple(self.root / "cache" / self.img_feats / path.name for path in self.data)
        for path in (*self.data, *features):
            if not path.is_file():
                raise BadInput(
                    f"{path} is not there; a data set needs the features cached for its rows in "
                    f"{self.root / 'cache' / self.img_feats} under its own name."
                )
        ranges = self.root / "data/stats/betas_stats_eft_fits.npz"
        mix = self.mix or (_PUBLISHED_MIX if len(self.data) == len(_PUBLISHED_MIX) else ())
        options = Options(
            what="score",
            preset="paper",
            out=self.root / "logs/checkpoints" / self.name,
            data=self.data,
            features=features,
            stats=self.root / f"data/stats/{self.img_feats}_feat_stats.npz",
            mix=mix,
            shape_range=ranges if self.use_betas else None,
            steps=self.steps,
        )
        return run(options, progress)
