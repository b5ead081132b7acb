"""From the names of models to objects that obey the protocols.

A name is a profile's (`settings.PROFILES`) or what `--image_model`, `--segmenter`, `--human_model`
or `--keypoint_model` says: NAME, or NAME:SOURCE with other weights than the name's own (a folder, a
file, or a repository of the Hugging Face hub). Third-party packages and the synthetic world are
imported here, when asked for, and nowhere else.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.errors import ChorusError, unknown_name
from chorus.files import content_digest
from chorus.records.keys import TOTAL, SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import read_table
from chorus.settings import RunOptions, resolve_device
from chorus.vocabulary import strip_demo

if TYPE_CHECKING:
    from chorus.generation.protocols import ImageModel
    from chorus.perception.protocols import HumanRegressor, KeypointDetector, Segmenter

SYNTHETIC = "synthetic"

ADAPTERS: dict[str, dict[str, str]] = {
    "image_model": {
        "stable-diffusion-v1-4": "chorus.generation.diffusion",
        "diffusers": "chorus.generation.diffusion",
    },
    "segmenter": {
        "pointrend-r50": "chorus.perception.detectron",
        "open-vocabulary": "chorus.perception.open_vocabulary",
        "mask2former": "chorus.perception.mask2former",
    },
    "human_model": {
        "frankmocap-eft": "chorus.perception.frankmocap",
        "hmr2": "chorus.perception.hmr2",
    },
    "keypoint_model": {
        "hrnet-w48-dark": "chorus.perception.hrnet",
        "vitpose": "chorus.perception.vitpose",
    },
}
"""The module of every adapter beside the synthetic world's, by stage and name. A module has
`check(name, source, imports_dir)`, which raises Unavailable at once if a package or weight is
missing, and `load(name, source, imports_dir, device, ...)`, which makes the adapter."""


def chosen(stage: str, options: RunOptions) -> str:
    """What a stage's settings call its model: the stage's own option, else the profile's.

    `stage` is a field of `settings.Profile`: "image_model", "segmenter", ...
    """
    return getattr(options, stage, None) or getattr(options.models, stage)


def is_synthetic(stage: str, options: RunOptions) -> bool:
    """Whether the stage's model is the synthetic world's."""
    return chosen(stage, options) == SYNTHETIC


def check(stage: str, options: RunOptions) -> None:
    """Raise at once if the stage's model is unknown (BadInput) or cannot be used (Unavailable)."""
    if not is_synthetic(stage, options):
        module, name, source = _module(stage, options)
        module.check(name, source, options.imports_dir)


def model_settings(stage: str, options: Any) -> dict[str, Any]:
    """What a table keeps of its stage's model: its name and, of weights in a file or folder of
    one's own, a digest, since they may be replaced under the same name."""
    name = chosen(stage, options)
    source = name.partition(":")[2]
    parts = [source] if Path(source).exists() else source.split("+")
    digests = [content_digest(Path(part)) for part in parts if part and Path(part).exists()]
    return {stage: name, **({f"{stage} weights": digests} if digests else {})}


def settings_of(stage: str, options: Any) -> dict[str, Any]:
    """What the table of a perception stage keeps of its model, the synthetic world's noise too."""
    model = model_settings(stage, options)
    if is_synthetic(stage, options):
        return {**model, "noise": asdict(options.noise), "seed": options.seed}
    return model


def _module(stage: str, options: RunOptions) -> tuple[Any, str, str]:
    """The module of the chosen adapter, its name, and the source after the colon, or ""."""
    name, _, source = chosen(stage, options).partition(":")
    known = ADAPTERS[stage]
    if name not in known:
        raise unknown_name(f"--{stage}", name, [SYNTHETIC, *known])
    return importlib.import_module(known[name]), name, source


def _load(stage: str, options: RunOptions, **more: Any) -> Any:
    module, name, source = _module(stage, options)
    return module.load(name, source, options.imports_dir, resolve_device(options.device), **more)


def unusable_prompt(options: RunOptions, category: str, prompt: str) -> str:
    """Why the image model cannot show a prompt, empty if it can."""
    if prompt == TOTAL:
        return f"{category}: a prompt may not be called {TOTAL!r}, which names the total's results."
    if is_synthetic("image_model", options):
        from chorus.synthetic.world.interactions import find_interaction

        try:
            find_interaction(strip_demo(category), prompt)
        except ChorusError as error:
            return f"{category}: {error}"
    return ""


class SyntheticTruth:
    """The synthetic world's truth rows, read from the results tree a shard at a time."""

    def __init__(self, tree: ResultsTree):
        self._tree = tree
        self._shard: ShardKey | None = None
        self._rows: dict[int, dict] = {}

    def __call__(self, key: SampleKey) -> dict | None:
        """The truth row of a sample, None if the synthetic world did not make it."""
        if key.shard != self._shard:
            path = self._tree.table("synthetic_truth", key.shard)
            self._rows = read_table(path, "synthetic_truth").rows
            self._shard = key.shard
        return self._rows.get(key.index)


def image_model(options: Any) -> ImageModel:
    """The text-to-image model; `options` are those of the image stage."""
    if not is_synthetic("image_model", options):
        return _load("image_model", options, settings=options.diffusion)
    from chorus.body.loading import load_body
    from chorus.synthetic.perceive.adapters import SyntheticImageModel

    return SyntheticImageModel(load_body(options.body, options.imports_dir))


def segmenter(options: Any) -> Segmenter:
    """The instance segmenter; `options` are those of the segmentation stage."""
    if not is_synthetic("segmenter", options):
        return _load("segmenter", options, mode=options.mode, threshold=options.threshold)
    from chorus.synthetic.perceive.adapters import SyntheticSegmenter

    return SyntheticSegmenter(SyntheticTruth(options.tree), options.noise, options.seed)


def human_regressor(options: Any) -> HumanRegressor:
    """The body regressor; `options` are those of the human stage."""
    from chorus.body.loading import load_body

    body = load_body(options.body, options.imports_dir)
    if not is_synthetic("human_model", options):
        from chorus.body.joint_sets import joint_source

        source = joint_source(options.joints, body, options.imports_dir)
        return _load("human_model", options, body=source)
    from chorus.synthetic.perceive.adapters import SyntheticHumanRegressor

    return SyntheticHumanRegressor(body, SyntheticTruth(options.tree), options.noise, options.seed)


def keypoint_detector(options: Any) -> KeypointDetector:
    """The 2D keypoint detector; `options` are those of the keypoint stage."""
    if not is_synthetic("keypoint_model", options):
        return _load("keypoint_model", options)
    from chorus.synthetic.perceive.adapters import SyntheticKeypointDetector

    return SyntheticKeypointDetector(SyntheticTruth(options.tree), options.noise, options.seed)
