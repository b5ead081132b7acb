"""Samplers (schedulers of diffusers) by name, and the published one."""

from __future__ import annotations

from typing import Any

from chorus.errors import BadInput
from chorus.generation.diffusion_settings import SamplerName

# method.md 2: the sampler of the published system, whatever the weights' folder says.
PLMS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "ddim": ("DDIMScheduler", {}),
    "dpm-solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}


def published_plms() -> Any:
    """The PLMS scheduler as published: PNDM without its Runge-Kutta start."""
    from diffusers import PNDMScheduler

    return PNDMScheduler(**PLMS)


def sampler(name: SamplerName, current: Any) -> Any:
    """The sampler of that name with the noise schedule of the model's `current` one.

    Raises BadInput for models of another kind (flow matching), which these samplers do not fit.
    """
    import diffusers

    if diffusers.DDIMScheduler not in getattr(current, "compatibles", ()):
        raise BadInput(
            f"--diffusion.sampler {name} does not fit this model, whose own sampler is "
            f"{type(current).__name__}; leave it out."
        )
    class_name, more = _CLASSES[name]
    return getattr(diffusers, class_name).from_config(current.config, **more)
