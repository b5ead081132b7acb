"""The options of a diffusion model; imports nothing heavy, as options need it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from chorus.errors import BadInput

SamplerName = Literal[
    "plms", "ddim", "dpm-solver++", "unipc", "euler", "euler-ancestral", "heun", "lcm"
]
_STEP = 8  # latent diffusion models shrink an image by this factor
_SPEED_ONLY = ("compile", "fuse_qkv")


@dataclass(frozen=True)
class DiffusionSettings:
    """How a diffusion model makes images. What is left out is the model's own choice; the paper's
    model then has PLMS, 50 steps, guidance 7.5 and 512 x 512 (method.md 2)."""

    sampler: SamplerName | None = None
    """The scheduler that walks from noise to image."""
    num_inference_steps: int | None = None
    """Denoising steps."""
    guidance_scale: float | None = None
    """Weight of classifier-free guidance; distilled few-step models want 0 or 1."""
    height: int | None = None
    """Height of the images in pixels, a multiple of 8."""
    width: int | None = None
    """Width of the images in pixels, a multiple of 8."""
    negative_prompt: str = ""
    """What the images shall not show."""
    perp_neg: float = 0.0
    """Weight of negative prompts that name the other views, for augprompts that ask for the side,
    back, top or bottom (Perp-Neg); 0 does without, 1 is a good start."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights; auto is float32 on the CPU, and on CUDA bfloat16, or for the
    paper's model float32 weights under float16 autocast, as published."""
    safety_checker: bool = True
    """Let the model's own safety checker refuse images, if it has one."""
    compile: bool = False
    """Compile the denoiser with torch.compile: slow to start, then faster."""
    fuse_qkv: bool = False
    """Compute query, key and value of each attention in one product."""

    def __post_init__(self) -> None:
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise BadInput(
                "--diffusion.num_inference_steps must be at least 1, found "
                f"{self.num_inference_steps}."
            )
        for name in ("guidance_scale", "perp_neg"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise BadInput(f"--diffusion.{name} must be a number of at least 0, found {value}.")
        for name in ("height", "width"):
            value = getattr(self, name)
            if value is not None and (value < _STEP or value % _STEP):
                raise BadInput(
                    f"--diffusion.{name} must be a multiple of {_STEP} of at least {_STEP}, found "
                    f"{value}."
                )

    @property
    def of_the_image(self) -> dict[str, Any]:
        """The settings that an image depends on, without those that only change the speed."""
        return {name: value for name, value in asdict(self).items() if name not in _SPEED_ONLY}
