"""From the adapter names of a profile to objects that obey the protocols.

Third-party packages and the synthetic world are imported here, when asked for, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chorus.errors import ChorusError, Unavailable
from chorus.results import ResultsTree
from chorus.samples import TOTAL, SampleKey, ShardKey
from chorus.settings import RunOptions
from chorus.tables import read_table
from chorus.vocabulary import strip_demo

if TYPE_CHECKING:
    from chorus.generation.protocols import ImageModel
    from chorus.perception.protocols import HumanRegressor, KeypointDetector, Segmenter

# What each not yet present adapter stands for; the sentence a user gets when asking for it.
_LATER = {
    "gpt-3.5-turbo": "prompts from the OpenAI API",
    "openai-compatible": "prompts from an OpenAI-compatible server",
    "stable-diffusion-v1-4": "images from Stable Diffusion v1-4 (diffusers)",
    "diffusers": "images from a diffusers pipeline",
    "pointrend-r50": "segmentation by PointRend (detectron2)",
    "open-vocabulary": "open-vocabulary segmentation (transformers)",
    "frankmocap-eft": "the FrankMocap body regressor with its EFT checkpoint",
    "hmr2": "an HMR2.0-class body regressor",
    "hrnet-w48-dark": "HRNet-w48 DARK keypoints (mmpose)",
    "vitpose": "ViTPose keypoints (transformers)",
}


def missing(name: str, profile: str) -> Unavailable:
    """The error for an adapter that this version does not have."""
    return Unavailable(
        f"profile {profile!r} needs {_LATER[name]}, and this version has no adapter for it yet; "
        "run with --profile synthetic (or CHORUS_PROFILE=synthetic) meanwhile."
    )


def check(stage: str, options: RunOptions) -> None:
    """Raise Unavailable at once if the stage's model of the chosen profile cannot be used.

    `stage` is a field of `settings.Profile`: "image_model", "segmenter", ...
    """
    name = getattr(options.models, stage)
    if name != "synthetic":
        raise missing(name, options.profile)


def unusable_prompt(options: RunOptions, category: str, prompt: str) -> str:
    """Why the profile's image model cannot show a prompt, empty if it can."""
    if prompt == TOTAL:
        return f"{category}: a prompt may not be called {TOTAL!r}, which names the total's results."
    if options.models.image_model == "synthetic":
        from chorus.synthetic.interactions import find_interaction

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


def image_model(options: RunOptions) -> ImageModel:
    """The text-to-image model of the profile."""
    check("image_model", options)
    from chorus.body.loading import load_body
    from chorus.synthetic.adapters import SyntheticImageModel

    return SyntheticImageModel(load_body(options.body, options.imports_dir))


def segmenter(options: RunOptions, noise) -> Segmenter:
    """The instance segmenter of the profile."""
    check("segmenter", options)
    from chorus.synthetic.adapters import SyntheticSegmenter

    return SyntheticSegmenter(SyntheticTruth(options.tree), noise, options.seed)


def human_regressor(options: RunOptions, noise) -> HumanRegressor:
    """The body regressor of the profile."""
    check("human_model", options)
    from chorus.body.loading import load_body
    from chorus.synthetic.adapters import SyntheticHumanRegressor

    body = load_body(options.body, options.imports_dir)
    return SyntheticHumanRegressor(body, SyntheticTruth(options.tree), noise, options.seed)


def keypoint_detector(options: RunOptions, noise) -> KeypointDetector:
    """The 2D keypoint detector of the profile."""
    check("keypoint_model", options)
    from chorus.synthetic.adapters import SyntheticKeypointDetector

    return SyntheticKeypointDetector(SyntheticTruth(options.tree), noise, options.seed)
