"""`chorus doctor`: what is installed, which models can run, and the command for what is missing.

What a model needs is asked of its adapter's `check`, which the steps ask as well. A repository of
the hub that is not there yet does not keep a model from running, since it is fetched at first use;
such a model is marked "get". `--try NAME` runs networks instead (`commands/trying`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import platform
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from chorus.body.free_body import free_body_path
from chorus.body.loading import body_fingerprint
from chorus.commands.download import repository_state
from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import ChorusError, unknown_name
from chorus.models import registry, weights
from chorus.models.choice import ModelChoice
from chorus.models.registry import MODELS, PROFILES, WEIGHTS, Kind
from chorus.settings import BodyOptions, DeviceOptions, ProfileOptions, resolve_device

PACKAGES: dict[str, tuple[str, ...]] = {
    "core": ("torch", "numpy", "scipy", "opencv-python-headless", "numba", "anny"),
    "generation": ("openai", "diffusers", "transformers", "huggingface_hub", "safetensors"),
    "paper": ("torchvision", "detectron2", "mmcv", "mmdet", "mmengine", "mmpose", "gdown"),
    "pocket": ("ai-edge-litert",),
    "mhr": ("smplfitter",),
    "formats": ("smplcodec", "pynrrd"),
    "rerun": ("rerun-sdk",),
    "view": ("pyvista", "pyrender"),
    "cluster": ("ray",),
    "dev": ("pytest", "hypothesis", "import-linter", "ruff", "smplx"),
}
"""By what brings them: the installation itself, or an extra of setup.py. Of `paper`, all but gdown
are installed by scripts/install_published_networks.sh."""

_LIBRARIES = (
    *("torch", "numpy", "opencv-python-headless", "opencv-python", "transformers", "diffusers"),
    *("torchvision", "detectron2", "mmcv", "mmengine", "mmdet", "mmpose"),
)
"""Whose versions a trial's report needs."""

_OF_BUILDS = ("torchvision", "detectron2", "mmcv", "mmpose")  # must fit the build of torch
_FULL_OPENCV = ("opencv-python", "opencv-contrib-python")
_SCRIPT = "sh scripts/download_off_the_shelf.sh"
_BUILD = "sh scripts/install_published_networks.sh"

_MARKS = "ok: can run; get: fetched at first use; no: something is missing; -: nothing to check"


@dataclass(frozen=True)
class Options(DeviceOptions, BodyOptions, ProfileOptions):
    """Say what is installed and which models can run; status 1 if the chosen profile cannot."""

    attempt: Annotated[str | None, tyro.conf.arg(name="try")] = None
    """Run a network on one picture and check what it answers: a model, NAME or NAME:SOURCE, or a
    profile for all of its models. Weights of the hub are fetched. Status 1 if one does not do well.
    """

    image_model: str | None = None
    """NAME or NAME:SOURCE in place of the profile's image model."""
    segmenter: str | None = None
    """NAME or NAME:SOURCE in place of the profile's segmenter."""
    human_model: str | None = None
    """NAME or NAME:SOURCE in place of the profile's body regressor."""
    keypoint_model: str | None = None
    """NAME or NAME:SOURCE in place of the profile's keypoint detector."""
    format: Literal["table", "json"] = "table"
    """For people, or for programs."""


def run(options: Options, progress: Progress = None) -> CommandResult:
    """All findings, as the report's text; not ok if the chosen profile cannot run."""
    del progress
    if options.attempt:
        return _try(options.attempt, options)
    findings = examine(options)
    chosen = findings["chosen"]
    text = json.dumps(findings, indent=1) if options.format == "json" else _table(findings)
    report = CommandResult("", text=text, ok=chosen["can_run"])
    if options.format == "table":
        verdict = "can" if chosen["can_run"] else "cannot"
        report.line = f"doctor: profile {options.profile} {verdict} run here"
    return report


def _try(name: str, options: Options) -> CommandResult:
    """What came of the models that a name means, and on which machine."""
    models = chosen(name, options)
    from chorus.commands.trying.trials import Conditions, tried

    under = Conditions(options.imports_dir, options.body, resolve_device(options.device))
    trials = list(tried(models, under))
    versions = {name: found for name in _LIBRARIES if (found := _version(name))}
    machine = {"python": platform.python_version(), "device": under.device, "packages": versions}
    ok = all(trial.ok for trial in trials)
    if options.format == "json":
        told = {**machine, "ok": ok, "trials": [asdict(trial) for trial in trials]}
        return CommandResult("", text=json.dumps(told, indent=1), ok=ok)
    heading = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"python {machine['python']}, {heading}, on {under.device}"]
    lines += [line for trial in trials for line in ("", *trial.lines())]
    states = Counter(trial.state for trial in trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    line = f"doctor: tried {name}: {counts}"
    if states["failed"] + states["doubtful"]:
        line += "; for a report add --format json, which has all there is to know"
    return CommandResult(line, text="\n".join(lines), ok=ok)


def chosen(name: str, options: Options) -> list[ModelChoice]:
    """The models that a name means: a profile's, with those that the options put in their place;
    or the model NAME or NAME:SOURCE of every kind that has one of that name."""
    if name in PROFILES:
        of_profile = replace(options, profile=name)
        return [of_profile.model(kind) for kind in MODELS if of_profile.has_model(kind)]
    kinds = [kind for kind, known in MODELS.items() if name.partition(":")[0] in known]
    if not kinds:
        models = {model for known in MODELS.values() for model in known}
        raise unknown_name("profile or model in --try:", name, {*PROFILES, *models})
    return [ModelChoice(kind, name, chosen_by="try") for kind in kinds]


def examine(options: Options) -> dict[str, Any]:
    """All findings, as what JSON can hold: devices, packages, weights, bodies, profiles, choices.

    `opencv` says what is wrong with cv2, which packages that mmpose needs may have replaced.

    `device` is what --device means here. Where it is missing, or the body's file is damaged, the
    choice cannot run.

    `chosen` is the profile and models that `options` name: per stage a model, whether it can run
    (`ok`), what it fetches at first use (`fetches`), and `message`, a sentence that says what is
    missing and what brings it. `model` is empty where the profile has none.
    """
    packages = {group: {name: _version(name) for name in PACKAGES[group]} for group in PACKAGES}
    broken = {name: wrong for name in _OF_BUILDS if (wrong := _import_problem(name))}
    cv2_wrong = _import_problem("cv2")
    states = {name: _weight_state(name, options.imports_dir) for name in WEIGHTS}

    def judged(chosen: Options) -> dict[str, Any]:
        stages = {stage: _stage(stage, chosen, states, broken) for stage in MODELS}
        can_run = not cv2_wrong and all(stage["ok"] for stage in stages.values())
        return {"can_run": can_run, "stages": stages}

    plain = replace(options, **dict.fromkeys(MODELS))
    profiles = {name: judged(replace(plain, profile=name)) for name in PROFILES}
    choices: dict[str, list[dict[str, Any]]] = {}
    for kind, known in MODELS.items():
        choices[kind] = []
        for name, model in known.items():
            state = _stage(kind, replace(plain, **{kind: name}), states, broken)
            choices[kind].append({**state, "form": model.form, "about": model.about})
    of_choice = {"profile": options.profile, **judged(options)}
    body, device = _body(options), _device(options)
    of_choice["can_run"] &= not (body["message"] or device["message"])
    return {
        "python": platform.python_version(),
        "devices": _devices(),
        "device": device,
        "packages": packages,
        "broken": broken,
        "opencv": _opencv_problem(cv2_wrong),
        "weights": states,
        "body": body,
        "prompts": _prompts(options),
        "profiles": profiles,
        "choices": choices,
        "chosen": of_choice,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _import_problem(package: str) -> str:
    """Why an installed package does not import, empty if it does or is not installed."""
    if not _is_installed(package):
        return ""
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else "?"
    return ""


def _opencv_problem(wrong: str) -> str:
    """What is wrong with cv2, whose import says `wrong`, and what helps; empty if nothing is."""
    full = [name for name in _FULL_OPENCV if _version(name)]
    if not full and not wrong:
        return ""
    found = f"does not import ({wrong})" if wrong else "may come from it, and then needs libGL"
    over = f"{' and '.join(full)} lies over opencv-python-headless: " if full else ""
    remove = f"pip uninstall --yes {' '.join(full)}, then " if full else ""
    return (
        f"{over}cv2 {found}. Keep the headless build: {remove}pip install --force-reinstall "
        "--no-deps -c constraints.txt opencv-python-headless"
    )


def _devices() -> list[dict[str, Any]]:
    """The devices that torch can use; memory in bytes."""
    try:
        import torch
    except ImportError:
        return []
    devices: list[dict[str, Any]] = [{"name": "cpu", "about": platform.machine(), "memory": None}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            devices.append(
                {"name": f"cuda:{index}", "about": about.name, "memory": about.total_memory}
            )
    return devices


def _weight_state(name: str, imports_dir: Path) -> dict[str, str]:
    """state ("present", "missing" or "damaged"), where it is or belongs, and what helps."""
    weight = WEIGHTS[name]
    if weight.repository:
        state, wrong = repository_state(weight)
        where = weight.repository
    else:
        path = imports_dir / weight.destination
        where, wrong = str(path), weights.problem(weight, path) if path.is_file() else ""
        state = "damaged" if wrong else "present" if path.is_file() else "missing"
    helps = "" if state == "present" else registry.how_to_get(name)
    return {"state": state, "where": where, "wrong": wrong, "helps": helps}


def _stage(
    kind: Kind, options: Options, states: dict[str, dict[str, str]], broken: dict[str, str]
) -> dict[str, Any]:
    """Whether the model of a kind that the options choose can run, and what to know of it."""
    if not options.has_model(kind):
        return {"model": "", "ok": True, "message": "images are imported: docs/bring-your-own.md"}
    model = options.model(kind)
    result = {"model": model.text, "ok": False, "message": ""}
    try:
        built = model.entry.built
        model.check(options.imports_dir)
    except ImportError as error:
        missing = f"the package {error.name} is missing: pip install -c constraints.txt -e ."
        return {**result, "message": missing}
    except ChorusError as error:
        known = MODELS[kind].get(model.name)
        lacks = [name for name in (known.built if known else ()) if not _is_installed(name)]
        builds = f" Build it with: {_BUILD} {known.built[0]}" if lacks else ""
        return {**result, "message": f"{error}{builds}"}
    if broken and built:
        package, wrong = next(iter(broken.items()))
        text = f"{package} is installed and does not import ({wrong}); see INSTALL.md."
        return {**result, "message": text}
    at_first_use, lacking = [], []
    for weight in model.entry.weights if not model.source else ():
        state = states[weight]["state"]
        if state == "damaged":
            wrong = f"{states[weight]['where']} is damaged: {states[weight]['wrong']}."
            return {**result, "message": f"{wrong} {states[weight]['helps']}"}
        if state == "missing":
            (at_first_use if WEIGHTS[weight].repository else lacking).append(weight)
    messages = []
    if at_first_use:
        messages.append(f"fetched at first use, or now: {_SCRIPT} {' '.join(at_first_use)}")
    for weight in lacking:
        messages.append(f"without {weight} ({WEIGHTS[weight].about}): {_SCRIPT} {weight}")
    return {**result, "ok": True, "fetches": at_first_use, "message": "; ".join(messages)}


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _body(options: Options) -> dict[str, str]:
    """The body that a run takes, and what is wrong with its file."""
    if options.body is not None:
        try:
            body_fingerprint(options.body)
        except ChorusError as error:
            return {"name": str(options.body), "state": "damaged", "message": str(error)}
        return {"name": str(options.body), "state": "present", "message": ""}
    built = free_body_path(options.imports_dir).is_file()
    state = "present" if built else "built at first use"
    return {"name": "free body", "state": state, "message": ""}


def _device(options: Options) -> dict[str, str]:
    """The device that --device means here, and why there is none."""
    try:
        return {"name": resolve_device(options.device), "message": ""}
    except (ChorusError, ImportError) as error:
        return {"name": options.device, "message": str(error)}


def _prompts(options: Options) -> dict[str, str]:
    """Where the profile's prompts come from, and what that lacks."""
    source = PROFILES[options.profile].prompts
    if source != "openai":
        return {"source": source, "message": ""}
    from chorus.generation.credentials import secret
    from chorus.generation.openai_client import KEY_NAME

    lacks = []
    if _version("openai") is None:
        lacks.append("the package openai: pip install -c constraints.txt -e '.[generation]'")
    if not secret(KEY_NAME):
        lacks.append(f"{KEY_NAME}, unless --base_url asks a server of your own")
    lack = f"lacks {' and '.join(lacks)}; `--provider template` needs neither" if lacks else ""
    return {"source": source, "message": lack}


def _table(findings: dict[str, Any]) -> str:
    lines = [f"python {findings['python']}"]
    for device in findings["devices"]:
        memory = f", {device['memory'] / 2**30:.0f} GiB" if device["memory"] else ""
        lines.append(f"device {device['name']}: {device['about']}{memory}")
    if findings["device"]["message"]:
        lines.append(f"  {findings['device']['message']}")
    lines.append("\npackages")
    for group, versions in findings["packages"].items():
        named = [f"{name} {version or '(missing)'}" for name, version in versions.items()]
        lines.append(f"  {group:<11}{', '.join(named)}")
        if None in versions.values():
            lines.append(f"             {_brought_by(group)}")
    for package, wrong in findings["broken"].items():
        lines.append(f"  {package} does not import: {wrong}")
    if findings["opencv"]:
        lines.append(f"  {findings['opencv']}")
    lines.append("\nweights and bodies")
    for name, state in findings["weights"].items():
        wrong = f": {state['wrong']}" if state["wrong"] else ""
        lines.append(f"  {state['state']:<8} {name:<23} {state['where']}{wrong}")
    body = findings["body"]
    lines.append(f"  {body['state']}: {body['name']}")
    if body["message"]:
        lines.append(f"        {body['message']}")
    lines.append("\nmodels of each option, NAME or NAME:SOURCE")
    lines.append(f"  {_MARKS}")
    for stage, models in findings["choices"].items():
        lines.append(f"  --{stage}")
        for model in models:
            lines.append(f"    {_mark(model)} {model['form']:<37} {model['about']}")
    lines.append("\nprofiles")
    places = ", ".join(device["name"] for device in findings["devices"])
    for name, profile in findings["profiles"].items():
        verdict = f"can run on {places}" if profile["can_run"] else "cannot run yet"
        lines.append(f"  {name}: {verdict}")
    chosen = findings["chosen"]
    lines.append(f"\nprofile {chosen['profile']}, stage by stage ({_MARKS})")
    lines.append(f"  -   prompts         {findings['prompts']['source']}")
    if findings["prompts"]["message"]:
        lines.append(f"        {findings['prompts']['message']}")
    for stage, state in chosen["stages"].items():
        lines.append(f"  {_mark(state)} {stage:<15} {state['model'] or 'none'}")
        if state["message"]:
            lines.append(f"        {state['message']}")
    return "\n".join(lines)


def _brought_by(group: str) -> str:
    extra = "" if group == "core" else f"[{group}]"
    more = f"; {_BUILD} (INSTALL.md, 'The published networks')" if group == "paper" else ""
    return f"pip install -c constraints.txt -e '.{extra}'{more}"


def _mark(state: dict[str, Any]) -> str:
    """Whether a model can run: now, after fetching weights at first use ("get"), or not; "-" where
    none is needed."""
    if not state["model"]:
        return "-  "
    if not state["ok"]:
        return "no "
    return "get" if state.get("fetches") else "ok "
