"""`chorus hands`: hands of photographs, and of FreiHAND's and HO-3D's evaluation sets.

Of photographs, by MediaPipe's small networks on a CPU (`commands.hand_runs.photographs`):

    chorus hands photo.jpg folder --out seen

Of an evaluation set, by TempCLR's network, as the release's users know it, with an experiment file,
which names folders by the variables INFERENCE, DATASETS and MODELS:

    chorus hands --exp_cfg evaluation_freihand.yaml

or with everything named here:

    chorus hands --dataset ho3d --folder HO3D_v2 --checkpoint HO3D_model/checkpoints \
        --backbone resnet18 --out results/hands

Written are then <out>/pred.json as the servers take it, <out>/parameters.npz with poses, shapes,
cameras and crops, and, if asked for, pictures. docs/hands.md says more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from chorus.commands.hand_runs.evaluation_set import Run, predict_set
from chorus.commands.hand_runs.photographs import perceive_hands
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput
from chorus.hands.backbone_names import Backbone
from chorus.hands.datasets import DatasetName, read_images
from chorus.hands.experiment import read_experiment
from chorus.settings import DeviceOptions, ImportsOptions, resolve_device


@dataclass(frozen=True)
class Options(DeviceOptions, ImportsOptions):
    """Reconstruct the hands of photographs, or of an evaluation set by TempCLR's network."""

    photographs: Positional[tuple[Path, ...]] = ()
    """Image files, or folders of them: their hands by MediaPipe's networks."""
    exp_cfg: tuple[Path, ...] = ()
    """Experiment files of TempCLR's form (evaluation_freihand.yaml); later ones count first."""
    exp_opts: tuple[str, ...] = ()
    """KEY=VALUE that count before the files, such as datasets.hand.batch_size=4."""
    dataset: DatasetName | None = None
    """Without an experiment file: which data set."""
    folder: Path | None = None
    """Where it was unpacked to."""
    checkpoint: Path | None = None
    """A checkpoint of the release, or the folder of its latest_checkpoint."""
    backbone: Backbone = "resnet50"
    """Its backbone: resnet50 of the release's FreiHAND model, resnet18 of that for HO-3D."""
    hand: Path | None = None
    """MANO_RIGHT.pkl: for a checkpoint that holds no hand, and to fit to photographs; the free hand
    is fitted if it is left out."""
    batch_size: int = 16
    """Crops that the network sees at once."""
    out: Path = Path("results/hands")
    """Folder to write into; files of the same names are replaced."""
    save_reproj_images: bool = False
    """Draw every batch into <out>/summary: keypoints, the mesh over the image and from around."""

    def __post_init__(self) -> None:
        super().__post_init__()
        single = {"--dataset": self.dataset, "--folder": self.folder,
                  "--checkpoint": self.checkpoint}  # fmt: skip
        given = [name for name, value in single.items() if value is not None]
        sets = [*given, *(["--exp_cfg"] if self.exp_cfg else [])]
        if self.photographs and sets:
            raise BadInput(f"{', '.join(sets)} is for evaluation sets; give them or photographs.")
        if self.exp_cfg and given:
            raise BadInput(f"--exp_cfg says all that {', '.join(given)} would; give one or other.")
        if not self.photographs and not self.exp_cfg and len(given) < len(single):
            raise BadInput(
                "give photographs (chorus hands photo.jpg), an experiment file (chorus hands "
                "--exp_cfg evaluation_freihand.yaml), or --dataset, --folder and --checkpoint."
            )
        if self.exp_opts and not self.exp_cfg:
            raise BadInput("--exp_opts changes an experiment file; give one with --exp_cfg.")
        if self.batch_size < 1:
            raise BadInput(f"--batch_size must be 1 or more, found {self.batch_size}.")


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Find the hands of photographs, or predict every data set that is asked for."""
    if options.photographs:
        return perceive_hands(
            options.photographs, options.out, options.imports_dir, options.hand, progress
        )
    started = time.monotonic()
    problems: list[str] = []
    count = 0
    for dataset, folder, how in _runs(options):
        hands = read_images(dataset, folder)
        problems += [*hands.remarks, *predict_set(hands, folder, how, progress)]
        count += len(hands.images)
    line = f"hands: {count} images in {time.monotonic() - started:.1f} s → {how.out}/pred.json"
    return CommandResult(line, problems)


def _runs(options: Options) -> list[tuple[DatasetName, Path, Run]]:
    device = resolve_device(options.device)
    if not options.exp_cfg:
        summaries = options.out / "summary" if options.save_reproj_images else None
        how = Run(
            checkpoint=options.checkpoint,
            backbone=options.backbone,
            hand=options.hand,
            batch_size=options.batch_size,
            device=device,
            out=options.out,
            summaries=summaries,
        )
        return [(options.dataset, options.folder, how)]
    experiment = read_experiment(options.exp_cfg, options.exp_opts)
    several = len(experiment.datasets) > 1
    runs = []
    for dataset, folder in experiment.datasets:
        # the release writes one pred.json over the other
        out = experiment.output_folder / dataset if several else experiment.output_folder
        how = Run(
            checkpoint=experiment.checkpoint,
            backbone=experiment.backbone,
            hand=options.hand or experiment.hand,
            batch_size=experiment.batch_size,
            device=device,
            out=out,
            summaries=experiment.summaries,
        )
        runs.append((dataset, folder, how))
    return runs
