"""What the benchmarks measure with: a child process per row, times, peak memory, the machine."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

SCHEMA = "chorus.benchmarks/1"


class Disagreement(Exception):
    """A fast path and its plain reference differ by more than the stated tolerance."""


@dataclass(frozen=True)
class Work:
    """Estimated work of one call: bytes that must be moved, or floating-point operations."""

    amount: float
    unit: str
    """`B` or `flop`."""


@dataclass(frozen=True)
class Job:
    """One operation, ready to run.

    `units` of work per call of `fast` (persons, images, ...) and per call of `reference`, so that
    both are compared per unit. `same` is the fast path at the reference's size where `fast` is
    larger and the cost per unit is not constant; it does `reference_units`. `check(fast,
    reference)` gets the result of `same` (of `fast` without it) and the reference's (None without
    one) and returns the agreement in words or raises Disagreement.
    """

    size: str
    fast: Callable[[], Any]
    warm: Callable[[], Any]
    """The operation at a small size, so that loading and compiling are not measured."""
    work: Callable[[Any], Work]
    """From the result of `fast`."""
    check: Callable[[Any, Any], str]
    unit: str = "call"
    units: int = 1
    reference: Callable[[], Any] | None = None
    reference_units: int = 1
    reference_size: str = ""
    same: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Row:
    """One measured line of the table. Times in seconds per unit, memory in bytes."""

    name: str
    size: str
    unit: str
    median: float
    spread: float
    runs: int
    memory: int
    work: float
    work_unit: str
    rate: float
    """Work per second."""
    reference: float | None
    ratio: float | None
    reference_size: str
    agreement: str


def seconds_of(function: Callable[[], Any], settle: Callable[[], None]) -> tuple[float, Any]:
    """Seconds of one call, and its result; `settle` waits for a device to finish."""
    settle()
    started = time.perf_counter()
    result = function()
    settle()
    return time.perf_counter() - started, result


def spread_of(times: Sequence[float]) -> float:
    """Interquartile range."""
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return high - low


def measure(
    name: str,
    job: Job,
    budget: float = 3.0,
    settle: Callable[[], None] = lambda: None,
    runs: int = 3,
) -> Row:
    """Run a job and its reference: `runs` timed calls, more until `budget` seconds are spent.

    The first call's peak memory counts, after `warm`. Raises Disagreement as `check` does.
    """
    job.warm()
    before = _reset_peak()
    seconds, result = seconds_of(job.fast, settle)
    memory = max(0, _peak() - before)
    work = job.work(result)
    times = [seconds]
    while len(times) < runs or (sum(times) < budget and len(times) < 1000):
        times.append(seconds_of(job.fast, settle)[0])
    median = statistics.median(times) / job.units
    reference = ratio = None
    compared, expected = result, None
    if job.reference is not None:
        mine = median
        if job.same is not None:
            job.same()  # the first call at another size may still set things up
            again = [seconds_of(job.same, settle) for _ in range(3)]
            mine = statistics.median(seconds for seconds, _ in again) / job.reference_units
            compared = again[0][1]
        reference, expected = seconds_of(job.reference, lambda: None)
        reference /= job.reference_units
        ratio = reference / mine
    return Row(
        name=name,
        size=job.size,
        unit=job.unit,
        median=median,
        spread=spread_of(times) / job.units,
        runs=len(times),
        memory=memory,
        work=work.amount / job.units,
        work_unit=work.unit,
        rate=work.amount / job.units / median,
        reference=reference,
        ratio=ratio,
        reference_size=job.reference_size if job.reference else "",
        agreement=job.check(compared, expected),
    )


def within(what: str, found: float, tolerance: float) -> str:
    """The agreement in words; Disagreement if `found` is above the tolerance or NaN."""
    text = f"{what} {found:.1e} (at most {tolerance:.0e})"
    if not found <= tolerance:
        raise Disagreement(f"the fast path and its plain reference differ: {text}")
    return text


def machine(device: str) -> dict[str, Any]:
    """This machine's memory bandwidth, bytes/s (copy of a large array: read and write), and its
    float32 rate, flop/s (a matrix product), each the best of several; its name, its threads, and
    the versions of what computes."""
    import torch

    settle = settle_on(device)
    source = torch.ones(1 << 26, device=device)
    target = torch.empty_like(source)
    side = 8192 if device == "cuda" else 2048
    left = torch.ones(side, side, device=device)
    copied = min(seconds_of(lambda: target.copy_(source), settle)[0] for _ in range(8))
    multiplied = min(seconds_of(lambda: left @ left, settle)[0] for _ in range(8))
    return {
        "bandwidth": 2 * source.numel() * source.element_size() / copied,
        "float32_rate": 2 * side**3 / multiplied,
        "threads": torch.get_num_threads(),
        "name": _name(device),
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "numba")},
        },
    }


def _name(device: str) -> str:
    """The model of the GPU, or of the processor, as far as the system tells it."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def settle_on(device: str) -> Callable[[], None]:
    """Waits until the device has done what it was told; nothing to do on a CPU."""
    if device != "cuda":
        return lambda: None
    import torch

    return torch.cuda.synchronize


def in_child(module: str, arguments: Sequence[str]) -> dict:
    """What `python -m module arguments` prints as JSON, in a process of its own.

    A process's peak memory never falls, so every row needs its own. Raises SystemExit with the
    child's last words if it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def check_can_save(parser: argparse.ArgumentParser, path: Path | None) -> None:
    """End with a sentence, before anything is measured, if `save` would find no folder there."""
    if path and not path.resolve().parent.is_dir():
        parser.error(f"the folder of --json {path} does not exist")


def save(path: Path, results: dict, rows: Sequence[Row]) -> None:
    """Write the results as JSON."""
    content = {"schema": SCHEMA, **results, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> tuple[dict, list[Row]]:
    """What `save` wrote; SystemExit with a sentence for anything else."""
    try:
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise KeyError("schema")
        return content, [Row(**row) for row in content["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SystemExit(
            f"{path} is no result of python -m benchmarks --json ({problem!r}); make it again."
        ) from problem


def _reset_peak() -> int:
    """Peak memory of this process, bytes, after lowering it to the present where Linux allows."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what the preparation freed would hide what is taken now
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Peak memory of this process, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike ru_maxrss it does not begin at the parent's peak
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
