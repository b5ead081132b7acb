"""Runs of real networks on one picture each: load, use, check, and what it cost."""

from __future__ import annotations

import gc
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from chorus.commands.trying import checks
from chorus.commands.trying.checks import Verdict
from chorus.commands.trying.portrait import CATEGORY, PERSON_BOX, SIDE, portrait
from chorus.errors import ChorusError, Unavailable
from chorus.models.choice import ModelChoice
from chorus.models.registry import WEIGHTS, Kind
from chorus.records.keys import GLOBAL_SEED, SampleKey
from chorus.vocabulary import PERSON

log = logging.getLogger(__name__)

IMAGE_SIDE, STEPS = SIDE, 4
"""Side and sampling steps of the picture that an image model draws: enough to show something."""
DRAWN = SampleKey("doctor", "surfboard", "A person carries a surfboard", "original", 0)

_TRACE_LINES = 12

State = Literal["well", "doubtful", "failed", "missing", "nothing to try"]


@dataclass(frozen=True)
class Trial:
    """What came of one network."""

    kind: Kind
    model: str
    how: str
    """What is special about this run, such as its mode; or ""."""
    state: State
    summary: str
    doubts: tuple[str, ...] = ()
    load_seconds: float | None = None
    run_seconds: float | None = None
    peak_memory: int | None = None
    """The most bytes that the process has held so far."""
    peak_device_memory: int | None = None
    """The most bytes on the GPU during this trial."""
    trace: str = ""
    """Where an unforeseen error was raised."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the network."""
        return self.state in ("well", "nothing to try")

    def lines(self) -> list[str]:
        """What is told of it, for people."""
        how = f" ({self.how})" if self.how else ""
        lines = [f"{self.state}: {self.kind} {self.model}{how}", f"    {self.summary}"]
        lines += [f"    ! {doubt}" for doubt in self.doubts]
        costs = []
        if self.load_seconds is not None and self.run_seconds is not None:
            costs += [f"loaded in {self.load_seconds:.1f} s", f"ran in {self.run_seconds:.1f} s"]
        for memory, where in (
            (self.peak_memory, "memory"),
            (self.peak_device_memory, "on the GPU"),
        ):
            if memory is not None:
                costs.append(f"{where} {memory / 2**30:.1f} GiB at most")
        if costs:
            lines.append(f"    {', '.join(costs)}")
        return lines + [f"    {line}" for line in self.trace.splitlines()[-_TRACE_LINES:]]


@dataclass(frozen=True)
class Conditions:
    """What trials need beside the models."""

    imports_dir: Path
    body: Path | None
    """The body of regressors and of the synthetic world; None is the free body."""
    device: str


def tried(models: Iterable[ModelChoice], under: Conditions) -> Iterator[Trial]:
    """Try models one after the other; a segmenter in each mode whose weights are there."""
    for model in models:
        log.info("trying %s %s on %s", model.kind, model.text, under.device)
        yield from _trials(model, under)


@dataclass(frozen=True)
class _Attempt:
    """One way to load and use a model."""

    load: Callable[[], Any]
    use: Callable[[Any], Verdict]
    how: str = ""


def _trials(model: ModelChoice, under: Conditions) -> Iterator[Trial]:
    try:
        model.check(under.imports_dir)
        if model.is_synthetic and model.kind != "image_model":
            why = "it looks up the truth of what the synthetic world drew"
            yield Trial(model.kind, model.text, "", "nothing to try", why)
            return
        attempts = _KINDS[model.kind](model, under)
    except Exception as error:
        yield _fault(model, "", error)
        return
    for attempt in attempts:
        yield _trial(model, attempt, under.device)
        gc.collect()


def _trial(model: ModelChoice, attempt: _Attempt, device: str) -> Trial:
    _forget_device_memory(device)
    try:
        start = time.perf_counter()
        adapter = attempt.load()
        loaded = time.perf_counter()
        verdict = attempt.use(adapter)
        ended = time.perf_counter()
    except Exception as error:
        return _fault(model, attempt.how, error)
    return Trial(
        model.kind,
        model.text,
        attempt.how,
        "doubtful" if verdict.doubts else "well",
        verdict.summary,
        tuple(verdict.doubts),
        loaded - start,
        ended - loaded,
        _peak_memory(),
        _peak_device_memory(device),
    )


def _fault(model: ModelChoice, how: str, error: Exception) -> Trial:
    """Whatever goes wrong in a library that nobody here has run is what a trial is to say."""
    fault = partial(Trial, model.kind, model.text, how)
    if isinstance(error, Unavailable):
        return fault("missing", str(error))
    if isinstance(error, ChorusError):
        return fault("failed", str(error))
    told = f"{type(error).__name__}: {error}"
    return fault("failed", told, trace="".join(traceback.format_exception(error)))


def _segmenter(model: ModelChoice, under: Conditions) -> list[_Attempt]:
    files = [under.imports_dir / WEIGHTS[name].destination for name in model.entry.lvis]
    modes = ["coco", *(["lvis"] if files and all(map(Path.is_file, files)) else [])]

    def use(adapter: Any) -> Verdict:
        image = portrait(PERSON if model.entry.persons_only else CATEGORY)
        (found,) = adapter.segment([image])
        return checks.of_detections(found, image.pixels.shape[:2])

    threshold = model.entry.threshold
    return [
        _Attempt(
            partial(model.load, under.imports_dir, under.device, mode=mode, threshold=threshold),
            use,
            f"--mode {mode}" if len(modes) > 1 else "",
        )
        for mode in modes
    ]


def _human_model(model: ModelChoice, under: Conditions) -> list[_Attempt]:
    from chorus.body.loading import load_body

    body = load_body(under.body, under.imports_dir)

    def use(adapter: Any) -> Verdict:
        ((person,),) = adapter.regress([portrait()], [PERSON_BOX[None]])
        return checks.of_person(person)

    return [_Attempt(partial(model.load, under.imports_dir, under.device, body=body), use)]


def _keypoint_model(model: ModelChoice, under: Conditions) -> list[_Attempt]:
    def use(adapter: Any) -> Verdict:
        ((points,),) = adapter.detect([portrait()], [PERSON_BOX[None]])
        return checks.of_keypoints(points)

    return [_Attempt(partial(model.load, under.imports_dir, under.device), use)]


def _image_model(model: ModelChoice, under: Conditions) -> list[_Attempt]:
    from chorus.generation.augprompts import full_text
    from chorus.generation.diffusion_settings import DiffusionSettings
    from chorus.generation.protocols import ImageRequest

    if model.is_synthetic:
        from chorus.body.loading import load_body

        more: dict[str, Any] = {"body": load_body(under.body, under.imports_dir)}
    else:
        more = {
            "settings": DiffusionSettings(
                num_inference_steps=STEPS, height=IMAGE_SIDE, width=IMAGE_SIDE
            )
        }
    request = ImageRequest(DRAWN, full_text(DRAWN.prompt, DRAWN.augprompt), GLOBAL_SEED)

    def use(adapter: Any) -> Verdict:
        (image,) = adapter.generate([request])
        return checks.of_picture(image, None if model.is_synthetic else IMAGE_SIDE)

    how = "" if model.is_synthetic else f"{STEPS} steps"
    return [_Attempt(partial(model.load, under.imports_dir, under.device, **more), use, how)]


_KINDS: dict[Kind, Callable[[ModelChoice, Conditions], list[_Attempt]]] = {
    "image_model": _image_model,
    "segmenter": _segmenter,
    "human_model": _human_model,
    "keypoint_model": _keypoint_model,
}


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _forget_device_memory(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.init()  # before which there are no statistics to reset
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_device_memory(device: str) -> int | None:
    if device == "cpu":
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)
