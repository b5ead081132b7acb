"""Examples for our own prior of poses: persons drawn, perceived with errors, and fitted.

They are made in parts, each a file that depends on the settings and its number alone, so that a
training that was killed goes on with the same ones.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chorus.engine.processes import in_processes
from chorus.engine.progress import Progress, progress_bar
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.files import replacing
from chorus.perception.poses_of_npz import NpzArrays
from chorus.synthetic.perceive.noise_settings import ERROR_MODELS, ErrorModelName

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.refinement.score.training import Examples
    from chorus.synthetic.person_sets import PersonSet

_AT_ONCE = 100  # arrangements, or poses, of a part
_NAMES = ("condition", "centre", "truth")
_JOINTS = 24
_AMASS_BODY = 22  # joints of AMASS's poses that are SMPL's; fingers follow
_DOUBTFUL = 0.1  # residual of a fit above which `refine` calls its keypoints not explained


@dataclass(frozen=True)
class Source:
    """Where the persons of a training come from.

    categories of the synthetic world, or pose sets (files); arrangements of persons, cameras before
    each, and how often what they see is perceived; the error model; the seed; body and imports as
    options name them.
    """

    categories: tuple[str, ...]
    poses: tuple[Path, ...]
    arrangements: int
    cameras: int
    perceptions: int
    error_model: ErrorModelName
    seed: int
    body: Path | None
    imports_dir: Path

    @property
    def parts(self) -> int:
        """How many files the examples are made in."""
        return -(-self.arrangements // _AT_ONCE)

    def told(self) -> str:
        """What tells this source's examples from another's."""
        of = ", ".join(path.name for path in self.poses) or ", ".join(self.categories)
        return (
            f"{of}; {self.arrangements} arrangements, {self.cameras} cameras, "
            f"{self.perceptions} perceptions, error model {self.error_model}, seed {self.seed}, "
            f"body {self.body.name if self.body else 'free'}"
        )


def examples(source: Source, folder: Path, workers: int, progress: Progress) -> list[Examples]:
    """All parts' examples, made where they are missing, in order.

    They lie in a folder of their own source below `folder`, so that those of several never mix.
    """
    from chorus.refinement.score.training import Examples

    own = folder / hashlib.sha256(source.told().encode()).hexdigest()[:12]
    files = [own / f"{number:05d}.npz" for number in range(source.parts)]
    missing = [number for number, path in enumerate(files) if not path.exists()]
    with progress_bar(progress, len(missing), "examples", "part") as advance:
        calls = [functools.partial(_write_part, source, at, files[at]) for at in missing]
        for _ in _called(calls, workers):
            advance(1)
    return [_read_part(path, Examples) for path in files]


def _called(calls: Sequence[Callable[[], None]], workers: int) -> Iterator[None]:
    """Make calls, on several processes if there are several workers, as they finish."""
    if min(workers, len(calls)) > 1:
        yield from (None for _ in in_processes(calls, workers, "train"))
        return
    for call in calls:
        yield call()


def _read_part(path: Path, kind: type[Examples]) -> Examples:
    import torch

    stored = NpzArrays(path)
    if not set(_NAMES) <= set(stored):
        raise BadInput(f"{path} lacks {', '.join(_NAMES)}; remove it, it will be made again.")
    return kind(**{name: torch.from_numpy(stored[name]) for name in _NAMES})


def _write_part(source: Source, number: int, path: Path) -> None:
    from chorus.body.loading import load_body

    body = load_body(source.body, source.imports_dir)
    rng = np.random.default_rng([source.seed, number, 1])
    with one_torch_thread():
        persons = _persons(source, body, number)
        made = [_example(body, persons, source, rng) for _ in range(source.perceptions)]
    arrays = {name: np.concatenate([each[name] for each in made]) for name in _NAMES}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def _persons(source: Source, body: BodyModel, number: int) -> PersonSet:
    from chorus.synthetic.person_sets import draw_persons, persons_of_poses

    first = number * _AT_ONCE
    count = min(_AT_ONCE, source.arrangements - first)
    seed = (source.seed << 20) + number
    if not source.poses:
        return draw_persons(body, source.categories, count, source.cameras, seed)
    poses, betas = read_pose_sets(source.poses)
    # the same order for every part, of which each takes its own
    which = np.random.default_rng([source.seed, 2]).permutation(len(poses))
    which = which[np.arange(first, first + count) % len(poses)]
    return persons_of_poses(body, poses[which], betas[which], source.cameras, seed)


def _example(
    body: BodyModel, persons: PersonSet, source: Source, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Arrays of the persons as perceived once; those that are not explained are left out."""
    import roma
    import torch

    from chorus.refinement.map_fit import Evidence, Refiner
    from chorus.refinement.score.condition import CONDITION_NUMBERS, told
    from chorus.refinement.score.denoiser import POSE_NUMBERS, pose_numbers
    from chorus.refinement.settings import RefinementSettings
    from chorus.synthetic.person_sets import perceived

    if not len(persons):
        sizes = (CONDITION_NUMBERS, POSE_NUMBERS, POSE_NUMBERS)
        return {n: np.zeros((0, s), np.float32) for n, s in zip(_NAMES, sizes, strict=True)}
    said = perceived(body, persons, ERROR_MODELS[source.error_model], rng)
    pose = torch.from_numpy(said.pose)
    upright = pose.clone()
    upright[:, 0] = 0
    evidence = Evidence(
        pose=pose,
        joints3d=body.posed_joints(upright),
        joints2d=torch.from_numpy(said.joints),
        keypoints=torch.from_numpy(said.keypoints),
        extent=torch.from_numpy((said.box[:, 2:] - said.box[:, :2]).max(1)),
        image_size=torch.from_numpy(persons.size),
    )
    settings = RefinementSettings()
    fitted = Refiner(body, settings)(evidence)
    known = told(body, evidence, torch.from_numpy(said.betas), fitted, settings.least_confidence)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(persons.pose))
    rotations[:, 0] = torch.from_numpy(persons.R) @ rotations[:, 0]
    good = known.condition.isfinite().all(-1) & (fitted.residual < _DOUBTFUL)
    values = (known.condition, known.centre, pose_numbers(rotations))
    return {name: value[good].numpy() for name, value in zip(_NAMES, values, strict=True)}


def read_pose_sets(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Poses (N, 24, 3), y up, and shapes (N, 10) of pose sets in AMASS's form.

    A file has `poses` (N, 66 or more), axis-angle, SMPL's or SMPL-H's joints in order and z up, and
    `betas` (S,) or (N, S), S of at least 10. Hands are left as they are at rest. BadInput names the
    file and what is wrong with it.
    """
    poses, betas = zip(*map(_read_pose_set, paths), strict=True)
    return np.concatenate(poses), np.concatenate(betas)


def _read_pose_set(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial.transform import Rotation

    stored = NpzArrays(path)
    for name in ("poses", "betas"):
        if name not in stored:
            raise BadInput(
                f"{path} has no {name!r}, found {', '.join(stored) or 'nothing'}; expected a pose "
                "set in AMASS's form: poses (N, 66 or more), betas (S,) or (N, S)."
            )
    found, shape = stored["poses"], stored["betas"]
    shape = np.broadcast_to(shape, (len(found), shape.shape[-1])) if shape.ndim == 1 else shape
    numbers = 3 * _AMASS_BODY
    good = found.ndim == 2 and found.shape[1] >= numbers and len(found)
    if not good or shape.ndim != 2 or len(shape) != len(found) or shape.shape[1] < 10:
        raise BadInput(
            f"{path} has poses of the shape {found.shape} and betas of {stored['betas'].shape}; "
            f"expected (N, {numbers} or more) and (S,) or (N, S) with S of at least 10."
        )
    pose = np.zeros((len(found), _JOINTS, 3))
    pose[:, :_AMASS_BODY] = found[:, :numbers].reshape(-1, _AMASS_BODY, 3)
    shape = np.asarray(shape[:, :10], float)
    bad = np.flatnonzero(~(np.isfinite(pose).all((1, 2)) & np.isfinite(shape).all(1)))
    if len(bad):
        raise BadInput(f"{path}: pose {bad[0]} is not finite; leave it out.")
    upright = Rotation.from_euler("x", -90, degrees=True)
    pose[:, 0] = (upright * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return pose.astype(np.float32), shape.astype(np.float32)
