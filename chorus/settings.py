"""What a run may choose: the options all stages share and the profiles that name the models.

The constants of each stage live beside its code as frozen dataclasses (`FilterSettings`,
`CalibrationSettings`, `AggregationSettings`, ...); their values are stored with every table.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, TypeVar

from chorus.errors import BadInput, Unavailable, unknown_name
from chorus.records.keys import GLOBAL_SEED, ShardKey
from chorus.records.results_tree import ResultsTree

Work = TypeVar("Work")
ProfileName = Literal["synthetic", "paper", "modern"]


@dataclass(frozen=True)
class Profile:
    """The models of one profile, by adapter name, and the folder key of its images (SPEC 0)."""

    model_key: str
    prompts: str
    image_model: str
    segmenter: str
    human_model: str
    keypoint_model: str


PROFILES: dict[str, Profile] = {
    "synthetic": Profile(
        model_key="synthetic-v1",
        prompts="synthetic",
        image_model="synthetic",
        segmenter="synthetic",
        human_model="synthetic",
        keypoint_model="synthetic",
    ),
    "paper": Profile(
        model_key="stable-v1-4",
        prompts="openai",
        image_model="stable-diffusion-v1-4",
        segmenter="pointrend-r50",
        human_model="frankmocap-eft",
        keypoint_model="hrnet-w48-dark",
    ),
    "modern": Profile(
        model_key="modern",
        prompts="openai",
        image_model="diffusers",
        segmenter="open-vocabulary",
        human_model="hmr2",
        keypoint_model="vitpose",
    ),
}


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


@dataclass(frozen=True)
class RunOptions:
    """Options that every stage understands."""

    categories: tuple[str, ...] = ()
    """Categories to work on; all that are present if left out."""
    prompts: tuple[str, ...] = ()
    """Prompts to work on, in full; all if left out."""
    profile: ProfileName = field(default_factory=_profile_from_environment)
    """Which models to use; the environment variable CHORUS_PROFILE changes the default."""
    model_key: str | None = None
    """The folder key of the images; the profile's if left out."""
    results_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("CHORUS_RESULTS", "results"))
    )
    """The results tree; the environment variable CHORUS_RESULTS changes the default."""
    image_dir: Path | None = None
    """Folder of the generated images if it is not the results tree's own `images`."""
    imports_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("CHORUS_IMPORTS", "imports"))
    )
    """Bodies, weights and data sets; the variable CHORUS_IMPORTS changes the default."""
    body: Path | None = None
    """An SMPL-family model file (.npz or .pkl); the free body if left out."""
    skip_done: bool = True
    """Skip samples that are done with the same settings. Failed samples are always tried again."""
    overwrite: bool = False
    """Make everything again, whatever is there."""
    workers: int = 0
    """Processes that share the work; 0 takes one per core that this run may use."""
    engine: Literal["local", "ray"] = field(default_factory=_engine_from_environment)
    """Where table-making stages and `aggregate` work: processes here, or a Ray cluster; the
    variable CHORUS_ENGINE changes the default."""
    ray_address: str | None = field(default_factory=lambda: os.environ.get("CHORUS_RAY_ADDRESS"))
    """Address of the Ray cluster, HOST:PORT (CHORUS_RAY_ADDRESS). Left out, that in RAY_ADDRESS,
    else the cluster last started on this machine with `ray start`, else one just for this run."""
    shard: str | None = field(default_factory=lambda: os.environ.get("CHORUS_SHARD"))
    """i/n: only the i-th of n parts of the work, for array jobs: of the shards of a table-making
    stage, the same ones in every stage, or of the categories of `aggregate` (CHORUS_SHARD)."""
    device: str = "auto"
    """Where tensors live: auto, cpu, cuda or cuda:N."""
    seed: int = GLOBAL_SEED
    """The global seed, from which every sample's own seed is derived."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise BadInput(f"--workers must be 0 (one per core) or more, found {self.workers}.")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise BadInput(f"--device must be auto, cpu, cuda or cuda:N, found {self.device!r}.")
        if self.model_key == "":
            raise BadInput("--model_key is empty; give a name such as 'mine', or leave it out.")
        _ = self._part  # a malformed one shall be heard of now
        for option, path in (
            ("--results_dir", self.results_dir),
            ("--imports_dir", self.imports_dir),
        ):
            if path.exists() and not path.is_dir():
                raise BadInput(f"{option} {path} is a file; give a folder.")

        if self.body is not None and not self.body.is_file():
            found = "a folder" if self.body.is_dir() else "not there"
            raise BadInput(
                f"--body {self.body} is {found}; give an SMPL-family model file, .npz or .pkl."
            )

        if self.engine == "ray":  # other machines have other working directories
            for option in fields(self):
                path = getattr(self, option.name)
                if isinstance(path, Path):
                    object.__setattr__(self, option.name, path.absolute())

    def mine(self, work: Sequence[Work]) -> Sequence[Work]:
        """The part of some work that --shard leaves to this run: every n-th of it."""
        part, parts = self._part
        return work[part - 1 :: parts]

    def my_shards(self, shards: Sequence[ShardKey]) -> list[ShardKey]:
        """The shards that --shard leaves to this run, whichever others are there already.

        So a job of an array may go from stage to stage without waiting for the others.
        """
        part, parts = self._part
        return [
            shard
            for shard in shards
            if int(hashlib.sha256("\0".join(shard).encode()).hexdigest(), 16) % parts == part - 1
        ]

    @property
    def _part(self) -> tuple[int, int]:
        if self.shard is None:
            return 1, 1
        asked = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard)
        part, parts = map(int, asked.groups()) if asked else (0, 0)
        if not 1 <= part <= parts:
            raise BadInput(
                f"--shard must be i/n with i from 1 to n, such as 2/8; found {self.shard!r}."
            )
        return part, parts

    @property
    def body_name(self) -> str:
        """What settings call the body: the free body's version, or the digest of the file."""
        if self.body is None:
            from chorus.body.free_body import VERSION

            return f"free body v{VERSION}"
        return hashlib.sha256(self.body.read_bytes()).hexdigest()[:16]

    @property
    def models(self) -> Profile:
        """The models of the chosen profile, and the folder key of the images."""
        profile = PROFILES[self.profile]
        return replace(profile, model_key=self.model_key) if self.model_key else profile

    @property
    def tree(self) -> ResultsTree:
        """The results tree the options name."""
        return ResultsTree(self.results_dir, self.image_dir)

    @property
    def worker_count(self) -> int:
        """The number of processes to use."""
        return self.workers or usable_cores()


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
