"""Text to image by diffusion models of the diffusers library.

`stable-diffusion-v1-4` is the published system's model with its sampler (method.md 2);
`diffusers:SOURCE` is any text-to-image pipeline, a folder or a repository of the Hugging Face hub.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chorus.errors import BadInput, Unavailable
from chorus.generation.diffusion_memory import ShrinkingBatches, is_out_of_memory
from chorus.generation.diffusion_samplers import published_plms, sampler
from chorus.generation.diffusion_settings import DiffusionSettings
from chorus.generation.protocols import GeneratedImage, ImageRequest
from chorus.models import hub

log = logging.getLogger(__name__)

PUBLISHED = "stable-diffusion-v1-4"
SOURCES = {
    PUBLISHED: "CompVis/stable-diffusion-v1-4",
    "diffusers": "stabilityai/stable-diffusion-xl-base-1.0",
}
"""The repositories that a name without a source stands for."""

REFUSED = "safety checker"

_COMPILE = "compile_repeated_blocks"  # a compiled UNet as a whole would not see Perp-Neg's hook

_ADVICE = (
    "take a smaller --diffusion.height and --diffusion.width, --diffusion.dtype bfloat16, or "
    "another --device; what is finished is kept."
)


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if a package is missing, BadInput for a folder without a pipeline."""
    for package in ("diffusers", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise Unavailable(
                f"--image_model {name} needs the package {package}, which is not installed: "
                "pip install -c constraints.txt -e '.[generation]'"
            )
    path = Path(source)
    if source and path.exists() and not (path / "model_index.json").is_file():
        raise BadInput(
            f"{source} is not a diffusers pipeline: model_index.json is not there. Give a folder "
            "that save_pretrained wrote, or OWNER/NAME on the Hugging Face hub."
        )


def load(
    name: str, source: str, imports_dir: Path, device: str, settings: DiffusionSettings
) -> DiffusionModel:
    """The pipeline of a name, from `source` or where the name's own weights are, on a device."""
    if name == PUBLISHED:
        settings = published(settings)
    source = source or SOURCES[name]
    weights, autocast = precision(name, settings, device)
    pipeline = _pipeline(name, source, settings, weights)
    if name == PUBLISHED and settings.sampler is None:
        pipeline.scheduler = published_plms()
    elif settings.sampler is not None:
        pipeline.scheduler = sampler(settings.sampler, pipeline.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    try:
        pipeline.to(device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise Unavailable(f"{source} does not fit into the memory of {device}: {_ADVICE}") from None
    _accelerate(pipeline, settings)
    return DiffusionModel(pipeline, settings, source, device, autocast)


def published(settings: DiffusionSettings) -> DiffusionSettings:
    """The settings with the published ones (method.md 2) where nothing else is asked for."""
    steps, guidance = settings.num_inference_steps, settings.guidance_scale
    return replace(
        settings,
        num_inference_steps=50 if steps is None else steps,
        guidance_scale=7.5 if guidance is None else guidance,
        height=settings.height or 512,
        width=settings.width or 512,
    )


def precision(
    name: str, settings: DiffusionSettings, device: str
) -> tuple[torch.dtype, torch.dtype | None]:
    """The type of the weights, and that of autocast or None."""
    if settings.dtype != "auto":
        return getattr(torch, settings.dtype), None
    if device == "cpu":
        return torch.float32, None
    if name == PUBLISHED:
        return torch.float32, torch.float16
    return torch.bfloat16, None


class DiffusionModel:
    """A pipeline behind the protocol of `generation.protocols.ImageModel`.

    Each image's noise comes from a generator of its own, on the CPU, so it depends on its request
    alone, and not on the batch or the order.
    """

    def __init__(
        self,
        pipeline: Any,
        settings: DiffusionSettings,
        source: str,
        device: str,
        autocast: torch.dtype | None = None,
    ):
        """Raises BadInput for settings that the pipeline has no use for."""
        self._pipeline = pipeline
        self._settings = settings
        self._source = source
        self._device = device
        self._autocast = autocast
        self._arguments = _arguments(pipeline, settings)
        self._batches = ShrinkingBatches(_ADVICE)
        self._refusal_announced = False
        if settings.perp_neg:
            _check_perp_neg(pipeline, self._value("guidance_scale"))

    def generate(self, requests: Sequence[ImageRequest]) -> Iterator[GeneratedImage]:
        """One image per request, in order; `refused` where the safety checker says so.

        Raises Unavailable if one image alone does not fit into memory, BadInput if the network
        answers with numbers that are none.
        """
        yield from self._batches.run(requests, self._make)

    def _make(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        arguments = dict(self._arguments)
        if "negative_prompt" in arguments:
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(requests)
        with self._autocasting(), self._guidance(requests):
            made = self._pipeline(
                prompt=[request.text for request in requests],
                generator=generators,
                output_type="np",
                **arguments,
            )
        images = np.asarray(made.images)
        if not np.isfinite(images).all():
            raise BadInput(
                f"{self._source} answers with numbers that are none (NaN) in this precision; try "
                "--diffusion.dtype bfloat16 or float32."
            )
        flagged = [False] * len(requests)
        for name in ("nsfw_content_detected", "nsfw_detected"):  # None without a checker
            flagged = getattr(made, name, None) or flagged
        return [
            self._refused() if flag else self._image(image)
            for image, flag in zip(images, flagged, strict=True)
        ]

    def _image(self, image: np.ndarray) -> GeneratedImage:
        pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        return GeneratedImage(pixels, sampling=self._sampling(pixels))

    def _refused(self) -> GeneratedImage:
        if not self._refusal_announced:
            log.warning(
                "the safety checker refused an image; such samples are skipped with the reason %r. "
                "--diffusion.no_safety_checker does without it.",
                REFUSED,
            )
            self._refusal_announced = True
        return GeneratedImage(None, refused=REFUSED)

    def _sampling(self, pixels: np.ndarray) -> dict[str, Any]:
        dtype = str(self._autocast or self._pipeline.dtype).removeprefix("torch.")
        return {
            "weights": self._source,
            "sampler": type(self._pipeline.scheduler).__name__,
            "num_inference_steps": self._value("num_inference_steps"),
            "guidance_scale": self._value("guidance_scale"),
            "negative_prompt": self._settings.negative_prompt,
            "perp_neg": self._settings.perp_neg,
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "dtype": dtype,
        }

    def _value(self, argument: str) -> Any:
        """The value of an argument of the pipeline, given or its default; None if it has none."""
        if argument in self._arguments:
            return self._arguments[argument]
        parameter = inspect.signature(self._pipeline.__call__).parameters.get(argument)
        return parameter.default if parameter is not None else None

    def _autocasting(self) -> AbstractContextManager:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(torch.device(self._device).type, dtype=self._autocast)

    def _guidance(self, requests: Sequence[ImageRequest]) -> AbstractContextManager:
        if not self._settings.perp_neg:
            return nullcontext()
        from chorus.generation.perp_neg import guided, opposing_prompts

        negatives = [opposing_prompts(r.key.prompt, r.key.augprompt) for r in requests]
        return guided(self._pipeline, negatives, self._settings.perp_neg)


def _pipeline(name: str, source: str, settings: DiffusionSettings, dtype: torch.dtype) -> Any:
    arguments = {"dtype": dtype, "low_cpu_mem_usage": bool(importlib.util.find_spec("accelerate"))}
    if not settings.safety_checker:
        arguments["safety_checker"] = None
    with _quietly():
        from diffusers import AutoPipelineForText2Image, StableDiffusionPipeline

        loader = StableDiffusionPipeline if name == PUBLISHED else AutoPipelineForText2Image
        pipeline = hub.load(loader.from_pretrained, source, **arguments)
    if not settings.safety_checker and getattr(pipeline, "safety_checker", None) is not None:
        pipeline.safety_checker = None
    # This logger would announce black images, which are never written here.
    logging.getLogger("diffusers.pipelines.stable_diffusion.safety_checker").setLevel(logging.ERROR)
    return pipeline


@contextmanager
def _quietly() -> Iterator[None]:
    """No warnings and progress bars for loading from disk: what matters in them `hub.load` raises.

    Those of downloads stay.
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = (of_diffusers, of_transformers)
    before = [
        (library, library.get_verbosity(), library.is_progress_bar_enabled())
        for library in libraries
    ]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level, bars in before:
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()


def _arguments(pipeline: Any, settings: DiffusionSettings) -> dict[str, Any]:
    """What a pipeline is called with beside prompts and generators."""
    arguments = {
        "num_inference_steps": settings.num_inference_steps,
        "guidance_scale": settings.guidance_scale,
        "height": settings.height,
        "width": settings.width,
        "negative_prompt": settings.negative_prompt or None,
    }
    accepted = inspect.signature(pipeline.__call__).parameters
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if name not in accepted:
            raise BadInput(
                f"--diffusion.{name} means nothing to {type(pipeline).__name__}; leave it out."
            )
    return given


def _check_perp_neg(pipeline: Any, guidance_scale: float | None) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    if not isinstance(pipeline, (StableDiffusionPipeline, StableDiffusionXLPipeline)):
        raise BadInput(
            "--diffusion.perp_neg works on Stable Diffusion models with a UNet (1, 2 and XL), not "
            f"on {type(pipeline).__name__}; leave it out."
        )
    distilled = pipeline.unet.config.time_cond_proj_dim is not None
    if distilled or guidance_scale is None or guidance_scale <= 1:
        raise BadInput(
            "--diffusion.perp_neg needs classifier-free guidance: a --diffusion.guidance_scale "
            f"above 1 and a model that is not distilled, found {guidance_scale}"
            f"{' on a distilled model' if distilled else ''}."
        )


def _accelerate(pipeline: Any, settings: DiffusionSettings) -> None:
    """Fused projections and compilation, where asked for; BadInput where they are not possible."""
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    for option, method in (("fuse_qkv", "fuse_qkv_projections"), ("compile", _COMPILE)):
        if not getattr(settings, option):
            continue
        try:
            getattr(denoiser, method)()
        except (AttributeError, ValueError) as error:
            raise BadInput(
                f"--diffusion.{option} is not possible on {type(pipeline).__name__} ({error}); "
                "leave it out."
            ) from error
