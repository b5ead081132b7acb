"""Tiny Stable Diffusion pipelines with random weights, in the real format.

Other tests use `save_tiny_pipeline`: a folder for `--image_model diffusers:FOLDER` or
`stable-diffusion-v1-4:FOLDER`. The images are 32 x 32 by default and show nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

SIDE = 32  # pixels; the VAE below halves once
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 77,
    "projection_dim": 32,
}


def save_tiny_pipeline(
    folder: Path, seed: int = 0, *, flags: bool | None = None, xl: bool = False
) -> Path:
    """Save a random Stable Diffusion pipeline; other seeds have other weights.

    flags: with a safety checker that refuses every image (True) or none (False); without one if
    None. xl: the two text encoders and the size conditions of Stable Diffusion XL.
    """
    torch.manual_seed(seed)
    tokenizer = _tokenizer(folder / "vocabulary")
    text = CLIPTextConfig(
        **_TEXT,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vae = AutoencoderKL(
        block_out_channels=[4, 8],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIDE,
    )
    parts = {"vae": vae, "tokenizer": tokenizer, "scheduler": _euler()}
    if xl:
        pipeline = StableDiffusionXLPipeline(
            **parts,
            text_encoder=CLIPTextModel(text),
            text_encoder_2=CLIPTextModelWithProjection(text),
            tokenizer_2=tokenizer,
            unet=_unet(
                cross_attention_dim=64,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 32,
            ),
        )
    else:
        pipeline = StableDiffusionPipeline(
            **parts,
            text_encoder=CLIPTextModel(text),
            unet=_unet(cross_attention_dim=32),
            safety_checker=None if flags is None else _safety_checker(flags),
            feature_extractor=CLIPImageProcessor(
                size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
            ),
            requires_safety_checker=flags is not None,
        )
    pipeline.save_pretrained(folder)
    return folder


def _unet(**more) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=SIDE // 2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=2,
        attention_head_dim=2,
        **more,
    )


def _euler() -> EulerDiscreteScheduler:
    """Not the published sampler, so that a test can see it replaced."""
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """A tokenizer of single letters."""
    letters = [chr(code) for code in range(33, 127)]
    special = ["<|startoftext|>", "<|endoftext|>"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *special]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


def _safety_checker(flags: bool) -> StableDiffusionSafetyChecker:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "image_size": 32,
        "patch_size": 16,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    # An image is refused if its similarity to a concept exceeds the concept's threshold.
    checker.concept_embeds_weights.data.fill_(-2.0 if flags else 2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker
