"""`chorus download`: fetch the networks that are not ours to ship; they are listed in `weights`."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput, ChorusError, Unavailable
from chorus.files import DiskFull
from chorus.models import hub, hub_cache, registry, weights
from chorus.models.registry import WEIGHTS
from chorus.models.weights import Weight
from chorus.settings import ImportsOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options(ImportsOptions):
    """Fetch weights, models' weights, or all of a profile; without names, list what there is.

    Files go to the imports folder, repositories of the Hugging Face hub to its own cache (HF_HOME).
    """

    names: Positional[tuple[str, ...]] = ()
    """Names of weights or models, or a profile: paper, modern, pocket."""


@dataclass
class _Task:
    name: str
    weight: Weight
    needed: int | None
    """Bytes still to come, None if unknown."""
    done: bool = False


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Say sizes and licences, then fetch one after the other; failures do not stop the others."""
    if not options.names:
        return CommandResult(
            "give names of weights or models, or a profile: chorus download paper", text=listing()
        )
    started = time.monotonic()
    names = registry.named_weights(options.names)
    report = CommandResult("")
    tasks = []
    for name in names:
        if not WEIGHTS[name].can_be_fetched:
            report.problems.append(f"{name}: {registry.how_to_get(name)}")
            continue
        tasks.append(_survey(name, options.imports_dir))
    needed = sum(task.needed or 0 for task in tasks)
    _check_space(options.imports_dir, needed)
    fetched = 0
    with tempfile.TemporaryDirectory(prefix="chorus-wheels-") as wheels_dir:
        for task in tasks:
            if task.done:
                continue
            try:
                _fetch(task, options.imports_dir, Path(wheels_dir), progress)
                fetched += 1
            except DiskFull:
                raise
            except ChorusError as error:
                report.problems.append(f"{task.name}: {error}")
    kept = sum(task.done for task in tasks)
    report.ok = not report.problems
    report.line = (
        f"download: {fetched} of {len(names)} fetched, {kept} already there, "
        f"{len(report.problems)} failed in {time.monotonic() - started:.1f} s → "
        f"{options.imports_dir} and the cache of the hub"
    )
    return report


def listing() -> str:
    """The table of all weights: name, size where it is recorded, licence, what it is."""
    lines = []
    for name, weight in WEIGHTS.items():
        size = f"{size_text(weight.size)}; " if weight.size else ""  # else the server says it
        lines.append(f"{name}\n    {weight.about}\n    {size}licence: {weight.licence}")
        lines.append(f"    {_source(weight)}")
    return "\n".join(lines)


def _source(weight: Weight) -> str:
    if weight.wheel:
        return f"{weight.member} of the wheel {weight.wheel}"
    return weight.repository or weight.url or f"register: {weight.page}"


def size_text(size: int | None) -> str:
    """Bytes for people."""
    if size is None:
        return "size unknown"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _survey(name: str, imports_dir: Path) -> _Task:
    """What is there and what is to come; both are logged."""
    weight = WEIGHTS[name]
    if weight.repository:
        return _survey_repository(name, weight)
    from chorus.models import downloads

    path = imports_dir / weight.destination
    wrong = weights.problem(weight, path) if path.is_file() else "not there"
    if not wrong:
        logger.info("%s: already there (%s)", name, path)
        return _Task(name, weight, 0, done=True)
    if path.is_file():
        logger.info("%s: %s is not the published file: %s; it is replaced", name, path, wrong)
    size = weight.size or downloads.remote_size(weight.url)
    have = 0 if weight.wheel else downloads.arrived(weight, imports_dir)
    resumed = f", {size_text(have)} of them there" if have else ""
    logger.info("%s: %s%s; licence: %s", name, size_text(size), resumed, weight.licence)
    return _Task(name, weight, None if size is None else max(size - have, 0))


def _survey_repository(name: str, weight: Weight) -> _Task:
    folder = repository_state(weight)[0]
    if folder == "present":
        logger.info("%s: already in the cache of the hub", name)
        return _Task(name, weight, 0, done=True)
    try:
        listed = _snapshot(weight, dry_run=True)
        size = sum(entry.file_size or 0 for entry in listed if entry.will_download)
    except ChorusError:
        size = None  # fetching says why
    logger.info("%s: %s; licence: %s", name, size_text(size), weight.licence)
    return _Task(name, weight, size)


def repository_state(weight: Weight) -> tuple[str, str]:
    """("present" | "missing" | "damaged", what is wrong) of a repository in the hub's cache.

    Present means that the snapshot has all its parts, and that its safetensors are whole.
    """
    import importlib.util

    if importlib.util.find_spec("huggingface_hub") is None:
        return "missing", "the package huggingface_hub is not installed"
    folder = hub_cache.repository_folder(weight.repository)
    if folder is None:
        return "missing", ""
    for path, wrong in hub_cache.damaged_safetensors(folder):
        return "damaged", f"{path.relative_to(folder)}: {wrong}"
    lacking = hub_cache.unfinished(folder)
    return ("missing", f"not all has arrived: {lacking}") if lacking else ("present", "")


def _snapshot(weight: Weight, **arguments: Any) -> Any:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise Unavailable(
            "fetching from the Hugging Face hub needs the package huggingface_hub: "
            "pip install -c constraints.txt -e '.[modern]'"
        ) from error

    def ask(repository: str, **more: Any) -> Any:
        return snapshot_download(repository, **more)

    return hub.load(ask, weight.repository, allow_patterns=list(weight.files), **arguments)


def _fetch(task: _Task, imports_dir: Path, wheels_dir: Path, progress: Progress) -> None:
    weight = task.weight
    if weight.wheel:
        from chorus.models import wheels

        wheels.fetch(weight, imports_dir, wheels_dir)
        return
    if weight.repository:
        # damaged files must not count as there
        again = repository_state(weight)[0] == "damaged"
        folder = Path(_snapshot(weight, force_download=again))
        state, wrong = repository_state(weight)
        if state != "present":
            raise BadInput(f"{folder} is not whole after fetching: {wrong or state}.")
        return
    from chorus.models import downloads

    have = downloads.arrived(weight, imports_dir)
    total = None if task.needed is None else have + task.needed
    how = {"initial": have, "unit_scale": True}
    with progress_bar(progress, total, task.name, "B", **how) as advance:
        downloads.fetch(weight, imports_dir, advance)


def _check_space(imports_dir: Path, needed: int) -> None:
    place = imports_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DiskFull(
            f"{size_text(needed)} are to be fetched and {place} has {size_text(free)} free; free "
            "some space, or name other places in CHORUS_IMPORTS and HF_HOME."
        )
