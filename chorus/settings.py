"""The options of commands, in small groups: a command inherits those that it heeds, no others.

The constants of each step live beside its code as frozen dataclasses (`FilterSettings`,
`CalibrationSettings`, `AggregationSettings`, ...); their values are stored with every table. Which
models there are, and the profiles that name them, is in `models.registry`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from chorus.errors import BadInput, Unavailable, unknown_name
from chorus.models.choice import ModelChoice
from chorus.models.registry import PROFILES, SYNTHETIC, Kind, Profile
from chorus.records.aggregations import AggregationKind, chosen_kinds
from chorus.records.keys import GLOBAL_SEED, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.synthetic.perceive.noise_settings import ErrorModelName
from chorus.synthetic.world.scene_settings import WorldName

Work = TypeVar("Work")
Group = TypeVar("Group", bound="OptionGroup")
ProfileName = Literal["synthetic", "paper", "modern", "pocket"]


def _profile_from_environment() -> str:
    name = os.environ.get("CHORUS_PROFILE", "synthetic")
    if name not in PROFILES:
        raise unknown_name("profile in CHORUS_PROFILE:", name, PROFILES)
    return name


def _engine_from_environment() -> str:
    name = os.environ.get("CHORUS_ENGINE", "local")
    if name not in ("local", "ray"):
        raise unknown_name("engine in CHORUS_ENGINE:", name, ("local", "ray"))
    return name


def _require_folder(option: str, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise BadInput(f"{option} {path} is a file; give a folder.")


@dataclass(frozen=True)
class OptionGroup:
    """Base of all groups; each checks its own options once it is made."""

    def __post_init__(self) -> None:
        """Raise BadInput for values that cannot be."""

    def carried_to(self, group: type[Group], **more: Any) -> Group:
        """Another command's options: those that both have, and `more`."""
        shared = {f.name for f in fields(self)} & {f.name for f in fields(group)}
        return group(**{**{name: getattr(self, name) for name in shared}, **more})


@dataclass(frozen=True)
class CategoryOptions(OptionGroup):
    """Which categories."""

    categories: tuple[str, ...] = ()
    """Categories to work on; all that are present if left out."""


@dataclass(frozen=True)
class PromptOptions(OptionGroup):
    """Which prompts."""

    prompts: tuple[str, ...] = ()
    """Prompts to work on, in full; all if left out."""


@dataclass(frozen=True)
class ProfileOptions(OptionGroup):
    """Which models."""

    profile: ProfileName = field(default_factory=_profile_from_environment)
    """Which models to use; the environment variable CHORUS_PROFILE changes the default."""

    @property
    def models(self) -> Profile:
        """The models of the chosen profile, and the folder key of the images."""
        return PROFILES[self.profile]

    @property
    def network_profile(self) -> str:
        """The profile to advise for images that the synthetic world did not draw: the chosen one if
        it has networks, else modern."""
        return "modern" if self.models.segmenter == SYNTHETIC else self.profile

    def model(self, kind: Kind) -> ModelChoice:
        """The model of a kind: the command's own option of that name, else the profile's.

        BadInput if the profile has none, as some have no image model.
        """
        if not self.has_model(kind):
            raise BadInput(
                f"profile {self.profile} makes no images: import your photographs (chorus import "
                "--images FOLDER, see docs/bring-your-own.md), or name an image model (chorus "
                "images --image_model NAME; chorus doctor lists them)."
            )
        return ModelChoice(kind, self._name_of(kind))

    def has_model(self, kind: Kind) -> bool:
        """Whether an option or the profile names a model of a kind."""
        return bool(self._name_of(kind))

    def _name_of(self, kind: Kind) -> str:
        return getattr(self, kind, None) or getattr(self.models, kind)


@dataclass(frozen=True)
class TreeOptions(ProfileOptions):
    """Which results."""

    model_key: str | None = None
    """The folder key of the images; the profile's if left out."""
    results_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("CHORUS_RESULTS", "results"))
    )
    """The results tree; the environment variable CHORUS_RESULTS changes the default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model_key == "":
            raise BadInput("--model_key is empty; give a name such as 'mine', or leave it out.")
        _require_folder("--results_dir", self.results_dir)

    @property
    def models(self) -> Profile:
        """The models of the chosen profile, and the folder key of the images."""
        profile = PROFILES[self.profile]
        return replace(profile, model_key=self.model_key) if self.model_key else profile

    @property
    def tree(self) -> ResultsTree:
        """The results tree the options name."""
        return ResultsTree(self.results_dir)


@dataclass(frozen=True)
class ImageTreeOptions(TreeOptions):
    """Which results, of commands that read or write the table of images."""

    image_dir: Path | None = None
    """Folder of the generated images if it is not the results tree's own `images`."""

    @property
    def tree(self) -> ResultsTree:
        """The results tree the options name."""
        return ResultsTree(self.results_dir, self.image_dir)


@dataclass(frozen=True)
class ImportsOptions(OptionGroup):
    """Where what others publish lies."""

    imports_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("CHORUS_IMPORTS", "imports"))
    )
    """Bodies, weights and data sets; the variable CHORUS_IMPORTS changes the default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_folder("--imports_dir", self.imports_dir)


@dataclass(frozen=True)
class BodyOptions(ImportsOptions):
    """Which body."""

    body: Path | None = None
    """An SMPL-family model file (.npz or .pkl); the free body if left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body is not None and not self.body.is_file():
            state = "a folder" if self.body.is_dir() else "not there"
            raise BadInput(
                f"--body {self.body} is {state}; give an SMPL-family model file, .npz or .pkl."
            )

    @property
    def body_name(self) -> str:
        """What settings call the body: the free body's version, or the digest of the file."""
        if self.body is None:
            from chorus.body.free_body import VERSION

            return f"free body v{VERSION}"
        return hashlib.sha256(self.body.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True)
class RedoOptions(OptionGroup):
    """What to do with what is there already."""

    skip_done: bool = True
    """Skip what is done with the same settings. Failed samples are always tried again."""
    overwrite: bool = False
    """Make everything again, whatever is there; the same as --no_skip_done."""

    @property
    def fresh(self) -> bool:
        """Whether everything is made again."""
        return self.overwrite or not self.skip_done


@dataclass(frozen=True)
class WorkerOptions(OptionGroup):
    """How many cores."""

    workers: int = 0
    """Processes or threads that share the work; 0 takes one per core that this run may use."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 0:
            raise BadInput(f"--workers must be 0 (one per core) or more, found {self.workers}.")

    @property
    def worker_count(self) -> int:
        """The number of processes to use."""
        return self.workers or usable_cores()


@dataclass(frozen=True)
class EngineOptions(WorkerOptions):
    """Where the work is done."""

    engine: Literal["local", "ray"] = field(default_factory=_engine_from_environment)
    """Processes on this machine, or a Ray cluster; the variable CHORUS_ENGINE changes the
    default."""
    ray_address: str | None = field(default_factory=lambda: os.environ.get("CHORUS_RAY_ADDRESS"))
    """Address of the Ray cluster, HOST:PORT (CHORUS_RAY_ADDRESS). Left out, that in RAY_ADDRESS,
    else the cluster last started on this machine with `ray start`, else one just for this run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine == "ray":  # other machines have other working directories
            for option in fields(self):
                path = getattr(self, option.name)
                if isinstance(path, Path):
                    object.__setattr__(self, option.name, path.absolute())


@dataclass(frozen=True)
class ShardOptions(OptionGroup):
    """Which part of an array job."""

    shard: str | None = field(default_factory=lambda: os.environ.get("CHORUS_SHARD"))
    """i/n: only the i-th of n parts of the work, for array jobs (CHORUS_SHARD): of the shards of a
    table-making step, the same ones in every step, or of the categories where a command works on
    whole ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._part  # a malformed one shall be heard of now

    def my_part(self, work: Sequence[Work]) -> Sequence[Work]:
        """The part of some work that --shard leaves to this run: every n-th of it."""
        part, parts = self._part
        return work[part - 1 :: parts]

    def my_shards(self, shards: Sequence[ShardKey]) -> list[ShardKey]:
        """The shards that --shard leaves to this run, whichever others are there already.

        So a job of an array may go from step to step without waiting for the others.
        """
        part, parts = self._part
        return [
            shard
            for shard in shards
            if int(hashlib.sha256("\0".join(shard).encode()).hexdigest(), 16) % parts == part - 1
        ]

    @property
    def part_count(self) -> int:
        """The number of parts, 1 without --shard."""
        return self._part[1]

    @property
    def _part(self) -> tuple[int, int]:
        if self.shard is None:
            return 1, 1
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard)
        part, parts = map(int, match.groups()) if match else (0, 0)
        if not 1 <= part <= parts:
            raise BadInput(
                f"--shard must be i/n with i from 1 to n, such as 2/8; found {self.shard!r}."
            )
        return part, parts


@dataclass(frozen=True)
class DeviceOptions(OptionGroup):
    """Which device."""

    device: str = "auto"
    """Where tensors live: auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise BadInput(f"--device must be auto, cpu, cuda or cuda:N, found {self.device!r}.")


@dataclass(frozen=True)
class SeedOptions(OptionGroup):
    """Which random numbers."""

    seed: int = GLOBAL_SEED
    """The global seed, from which every sample's own seed is derived."""


@dataclass(frozen=True)
class WorldOptions(OptionGroup):
    """Which synthetic world."""

    world: WorldName = "default"
    """What the synthetic world draws: harsh has lenses from 25 to 75 degrees, small and large
    people, and wide clothes. Other image models have no world."""


@dataclass(frozen=True)
class ErrorModelOptions(OptionGroup):
    """Which errors."""

    error_model: ErrorModelName = "default"
    """How far the synthetic world's networks are off, all knobs at once; --noise.… changes single
    ones of the default. Other networks have no error model."""


def check_has_errors(option: str, models: Sequence[ModelChoice]) -> None:
    """BadInput if an option of the synthetic world's errors is given to other networks alone."""
    if models and not any(model.is_synthetic for model in models):
        raise BadInput(
            f"{option} is for the synthetic world's networks only, not for "
            f"{', '.join(model.text for model in models)}; leave it out, or take --profile "
            "synthetic."
        )


@dataclass(frozen=True)
class AggregationOptions(CategoryOptions, TreeOptions):
    """Which aggregations."""

    aggr_setting_names: tuple[str, ...] = ()
    """Aggregation presets; if left out, what has been aggregated, if that is of one kind (if there
    is nothing, `aggregate` makes the profile's usual one)."""
    filter_setting_nums: tuple[str, ...] = ()
    """Filter rules, one aggregation each, such as 3; "7,8" is what rule 7 or rule 8 retains. If
    left out those of what has been aggregated; if presets are named, rule 3, or 15 for presets
    with a least quality of samples (quant:evidence-selection)."""

    def kinds(self, usual: AggregationKind | None = None) -> list[AggregationKind]:
        """The kinds of aggregation that are meant (`records.aggregations.chosen_kinds`)."""
        return chosen_kinds(
            self.tree,
            self.models.model_key,
            self.categories,
            self.aggr_setting_names,
            self.filter_setting_nums,
            usual,
        )


@dataclass(frozen=True)
class SampleOptions(PromptOptions, CategoryOptions):
    """Which samples."""


@dataclass(frozen=True)
class TableOptions(ShardOptions, EngineOptions, RedoOptions, TreeOptions):
    """What every step that makes tables heeds (`engine.command_result.run_table_stage`)."""


def usable_cores() -> int:
    """Cores that this process may use, which on a cluster can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_device(name: str) -> str:
    """The device to use: "auto" is CUDA where torch finds one, else the CPU.

    Raises Unavailable for a CUDA device that is not there.
    """
    if name == "cpu":
        return name
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if int(name.partition(":")[2] or 0) >= count:
        raise Unavailable(
            f"--device {name}: torch finds {count} CUDA devices here (see INSTALL.md, 'Without a "
            "GPU', for builds of torch); use --device cpu."
        )
    return name
