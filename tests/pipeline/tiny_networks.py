"""Tiny random checkpoints for a run of the whole pipeline, and what a run of it is called with.

Random networks find next to nothing in the images of a random network. Those here are biased:
Mask2Former to one person and one surfboard that fill most of every image, Grounding DINO to large
boxes, ViTPose to confident keypoints. What they answer exactly still depends on the image and on
all other weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))
sys.path.insert(0, str(Path(__file__).parents[1] / "perception"))
from tiny_diffusion import save_tiny_pipeline
from tiny_humans import save_tiny_hmr2, save_tiny_spin_checkpoint
from tiny_models import (
    save_tiny_grounding_dino,
    save_tiny_mask2former,
    save_tiny_sam,
    save_tiny_vitpose,
)

from chorus.vocabulary import COCO_NAMES


def save_seeing_mask2former(folder: Path, seed: int = 0) -> Path:
    """A Mask2Former whose queries all see one person and one surfboard, alike but not the same."""
    from transformers import Mask2FormerForUniversalSegmentation

    save_tiny_mask2former(folder, seed)
    network = Mask2FormerForUniversalSegmentation.from_pretrained(folder)
    predictor = "model.transformer_module.decoder.mask_predictor.mask_embedder.2.0"
    masks = network.get_submodule(predictor)
    with torch.no_grad():
        network.class_predictor.weight.mul_(0.1)
        for name in ("person", "surfboard"):
            network.class_predictor.bias[COCO_NAMES.index(name)] = 8.0
        masks.weight.mul_(0.3)
        masks.bias[0] = 6.0
        network.model.pixel_level_module.decoder.mask_projection.bias[0] = 2.0
    network.save_pretrained(folder)
    return folder


def save_seeing_dino(folder: Path, seed: int = 0) -> Path:
    """A Grounding DINO whose boxes are large."""
    from transformers import GroundingDinoForObjectDetection

    save_tiny_grounding_dino(folder, seed)
    network = GroundingDinoForObjectDetection.from_pretrained(folder)
    with torch.no_grad():
        for name, bias in network.named_parameters():
            if "bbox_embed" in name and name.endswith("layers.2.bias"):
                bias[2:] = 3.0  # width and height before the sigmoid
    network.save_pretrained(folder)
    return folder


def save_seeing_vitpose(folder: Path, seed: int = 0) -> Path:
    """A ViTPose whose heat maps are high everywhere, highest where its weights say."""
    from transformers import VitPoseForPoseEstimation

    save_tiny_vitpose(folder, seed)
    network = VitPoseForPoseEstimation.from_pretrained(folder)
    with torch.no_grad():
        network.head.conv.weight.mul_(0.05)
        network.head.conv.bias.fill_(0.9)
    network.save_pretrained(folder)
    return folder


def _in_folder(save: Callable[..., Path], name: str) -> Callable[[Path, int], Path]:
    def save_file(folder: Path, seed: int) -> Path:
        folder.mkdir()
        return save(folder / name, seed)

    return save_file


SAVERS: dict[str, Callable[[Path, int], Path]] = {
    "diffusion": save_tiny_pipeline,
    "mask2former": save_seeing_mask2former,
    "dino": save_seeing_dino,
    "sam": save_tiny_sam,
    "spin": _in_folder(save_tiny_spin_checkpoint, "spin.pt"),
    "hmr2": _in_folder(save_tiny_hmr2, "hmr2.ckpt"),
    "vitpose": save_seeing_vitpose,
}
"""Makers of checkpoints: (folder, seed) to the path to give after NAME:."""


class Checkpoints:
    """Checkpoints by kind and seed, each made once below `root`; copies lie in other folders."""

    def __init__(self, root: Path):
        self._root = root
        self._made: dict[str, Path] = {}

    def __call__(self, kind: str, seed: int = 0, copy: str = "") -> Path:
        """The path of a checkpoint; `copy` asks for another one of the same weights."""
        name = f"{kind}-{seed}{copy}"
        if name not in self._made:
            with torch.random.fork_rng():
                self._made[name] = SAVERS[kind](self._root / name, seed)
        return self._made[name]
