"""Perp-Neg: negative prompts that cannot work against the prompt itself.

Armandpour et al., "Re-imagine the Negative Prompt Algorithm" (2023): of the guidance towards each
negative prompt only the component perpendicular to the guidance towards the prompt is subtracted.
Stable Diffusion prefers the front view whatever the prompt says; with the other views as negative
prompts, augprompts such as `, back view` are followed more often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from chorus.errors import BadInput
from chorus.generation.augprompts import full_text

# View → (suffix that names another view, share of the weight). The front, which the models fall
# back to, gets the full weight; the front itself needs no help.
OPPOSING_VIEWS: dict[str, tuple[tuple[str, float], ...]] = {
    "side": ((", front view", 1.0), (", back view", 0.5)),
    "back": ((", front view", 1.0), (", side view", 0.5)),
    "top": ((", front view", 1.0), (", side view", 0.5), (", bottom view", 0.5)),
    "bottom": ((", front view", 1.0), (", side view", 0.5), (", top view", 0.5)),
}

_VIEW_OF_AUGPROMPT = {
    ", side view": "side",
    ", seen from side": "side",
    ", back view": "back",
    ", seen from back": "back",
    ", top view": "top",
    ", bottom view": "bottom",
}


def opposing_prompts(prompt: str, augprompt: str) -> list[tuple[str, float]]:
    """Negative prompts of a prompt in a view and their shares of the weight; none for augprompts
    that ask for no view, or for the front."""
    views = OPPOSING_VIEWS.get(_VIEW_OF_AUGPROMPT.get(augprompt, ""), ())
    return [(full_text(prompt, suffix), share) for suffix, share in views]


def perpendicular(vectors: Tensor, reference: Tensor) -> Tensor:
    """The component of each vector that is perpendicular to its reference.

    vectors, reference (..., B, C, H, W), broadcast against each other; one vector per sample B. A
    reference of zero has no direction, and nothing is taken away.
    """
    dims = (-3, -2, -1)
    along = (vectors * reference).sum(dims, keepdim=True)
    square = (reference * reference).sum(dims, keepdim=True)
    return vectors - torch.where(square > 0, along / square, 0.0) * reference


def combine(positive: Tensor, negatives: Tensor, weights: Tensor) -> Tensor:
    """Guidance direction of a prompt with its negative prompts (Armandpour et al. 2023).

    positive (B, C, H, W): noise predicted for the prompt less that predicted without one;
    negatives (K, B, C, H, W): the same for K negative prompts; weights (K, B) >= 0. Computed and
    returned in float32.
    """
    positive, negatives = positive.float(), negatives.float()
    weights = weights.float()[..., None, None, None]
    return positive - (weights * perpendicular(negatives, positive)).sum(0)


@contextmanager
def guided(
    pipeline: Any, negatives: Sequence[Sequence[tuple[str, float]]], weight: float
) -> Iterator[None]:
    """While inside, the pipeline's guidance obeys negative prompts, one list for each image.

    pipeline: StableDiffusionPipeline or its XL sibling, with classifier-free guidance on. Its own
    loop and scheduler stay: the UNet's answer for the prompts, e, is replaced by
    e_0 + combine(e - e_0, ...), where e_0 is its answer without a prompt.
    """
    count = max((len(of_image) for of_image in negatives), default=0)
    if count == 0:
        yield
        return
    padded = [[*of_image, *[("", 0.0)] * (count - len(of_image))] for of_image in negatives]
    columns = list(zip(*padded, strict=True))  # (K, B)
    device = pipeline.unet.device
    conditions = [_condition(pipeline, [text for text, _ in column], device) for column in columns]
    shares = [[share for _, share in column] for column in columns]
    weights = weight * torch.tensor(shares, device=device)

    def with_negatives(unet: Any, args: tuple, kwargs: dict, output: tuple) -> tuple:
        without, prompted = output[0].chunk(2)
        if len(prompted) != len(negatives):
            raise BadInput(
                "Perp-Neg needs classifier-free guidance, which this model does without; leave "
                "--diffusion.perp_neg out."
            )
        latents = args[0].chunk(2)[1]
        answers = [
            unet.forward(latents, *args[1:], **_with(kwargs, condition))[0]
            for condition in conditions
        ]
        base = without.float()
        direction = combine(prompted - base, torch.stack(answers) - base, weights)
        return (torch.cat([without, (base + direction).to(without.dtype)]), *output[1:])

    handle = pipeline.unet.register_forward_hook(with_negatives, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _condition(pipeline: Any, texts: list[str], device: torch.device) -> dict[str, Tensor]:
    """How a UNet is conditioned on texts: their embedding and, in XL models, the pooled one."""
    with torch.no_grad():
        embedded = pipeline.encode_prompt(
            prompt=texts,
            device=device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
    pooled = {"text_embeds": embedded[2]} if len(embedded) == 4 else {}
    return {"encoder_hidden_states": embedded[0], **pooled}


def _with(kwargs: dict, condition: dict[str, Tensor]) -> dict:
    """The UNet's arguments for a batch of twice the size, turned to another condition."""
    changed = {**kwargs, "encoder_hidden_states": condition["encoder_hidden_states"]}
    if "text_embeds" in condition:
        sizes = kwargs["added_cond_kwargs"]["time_ids"].chunk(2)[1]
        changed["added_cond_kwargs"] = {"text_embeds": condition["text_embeds"], "time_ids": sizes}
    return changed
