"""Small networks with random weights, written in the real format of the transformers library.

Every function fills `folder` as `save_pretrained` does, in under 5 MB, and seeds its own weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from chorus.vocabulary import COCO_NAMES

WORDS = ["person", "surf", "##board", "board", "garden", "gnome", "tennis", "racket", "a", "photo"]
_SWIN = {
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
}
_MEAN_STD = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save_tiny_grounding_dino(folder: Path, seed: int = 0) -> Path:
    """A Grounding DINO with a BERT tokenizer whose special tokens have BERT's own numbers."""
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        SwinConfig,
    )

    config = GroundingDinoConfig(
        backbone_config=SwinConfig(**_SWIN, out_features=["stage2", "stage3", "stage4"]),
        text_config={
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "vocab_size": 1100,
            "max_position_embeddings": 64,
        },
        d_model=64,  # its group norm has 32 groups, and may see a single pixel
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_n_points=2,
        decoder_n_points=2,
        num_feature_levels=4,
        num_queries=12,
        max_text_len=64,
    )
    _save(GroundingDinoForObjectDetection, config, folder, seed, spread=0.1)
    size = {"shortest_edge": 64, "longest_edge": 96}
    GroundingDinoImageProcessorPil(size=size, **_MEAN_STD).save_pretrained(folder)
    _save_bert_tokenizer(folder)
    return folder


def save_tiny_owl(folder: Path, version: str = "owlv2", seed: int = 0) -> Path:
    """An OWLv2 or OWL-ViT ("owlvit") with a byte-level CLIP tokenizer."""
    import transformers

    name = {"owlv2": "Owlv2", "owlvit": "OwlViT"}[version]
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {"vocab_size": 55, "max_position_embeddings": 64, **small}
    config = getattr(transformers, f"{name}Config")(
        text_config={**text, "bos_token_id": 53, "eos_token_id": 54, "pad_token_id": 0},
        vision_config={"image_size": 64, "patch_size": 16, **small},
        projection_dim=16,
    )
    _save(getattr(transformers, f"{name}ForObjectDetection"), config, folder, seed)
    processor = getattr(transformers, f"{name}ImageProcessorPil")
    processor(size={"height": 64, "width": 64}).save_pretrained(folder)
    _save_clip_tokenizer(folder)
    return folder


def save_tiny_sam(folder: Path, seed: int = 0) -> Path:
    """A SAM that sees 64 x 64 pixels."""
    from transformers import SamConfig, SamImageProcessorPil, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "window_size": 2,
            "global_attn_indexes": [0],
            "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    _save(SamModel, config, folder, seed)
    SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    ).save_pretrained(folder)
    return folder


def save_tiny_mask2former(folder: Path, seed: int = 0) -> Path:
    """A Mask2Former of COCO's 80 classes."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessorPil,
        SwinConfig,
    )

    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**_SWIN, out_features=["stage1", "stage2", "stage3", "stage4"]),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=12,
        id2label=dict(enumerate(COCO_NAMES)),
        label2id={name: number for number, name in enumerate(COCO_NAMES)},
    )
    _save(Mask2FormerForUniversalSegmentation, config, folder, seed)
    Mask2FormerImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 96}, num_labels=80
    ).save_pretrained(folder)
    return folder


def save_tiny_vitpose(folder: Path, seed: int = 0, experts: int = 1, keypoints: int = 17) -> Path:
    """A ViTPose, by default of COCO's keypoints; with several experts a "plus" variant."""
    from transformers import (
        VitPoseBackboneConfig,
        VitPoseConfig,
        VitPoseForPoseEstimation,
        VitPoseImageProcessorPil,
    )

    backbone = VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_experts=experts,
        part_features=4 if experts > 1 else 0,
        out_indices=[2],
    )
    config = VitPoseConfig(
        backbone_config=backbone, num_labels=keypoints, use_simple_decoder=True, scale_factor=4
    )
    _save(VitPoseForPoseEstimation, config, folder, seed)
    VitPoseImageProcessorPil(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder


def _save(model_class: type, config: object, folder: Path, seed: int, spread: float = 0.3) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config)
        # Fresh weights are so small that every input looks the same to these networks.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=spread)
    model.save_pretrained(folder)


def _save_bert_tokenizer(folder: Path) -> None:
    from transformers import BertTokenizer

    vocabulary = {f"[unused{number}]": number for number in range(1100)}
    by_number = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    by_number |= {1012: ".", 1029: "?"}
    by_number |= {1040 + number: word for number, word in enumerate(WORDS)}
    names = {number: name for name, number in vocabulary.items()} | by_number
    path = folder / "vocab.txt"
    path.write_text("\n".join(names[number] for number in sorted(names)) + "\n")
    BertTokenizer(vocab={name: number for number, name in names.items()}).save_pretrained(folder)


def _save_clip_tokenizer(folder: Path) -> None:
    from transformers import CLIPTokenizer

    vocabulary = {"!": 0}  # 0 at the start of a text makes it no query
    for letter in (chr(code) for code in range(ord("a"), ord("z") + 1)):
        vocabulary[letter] = len(vocabulary)
        vocabulary[f"{letter}</w>"] = len(vocabulary)
    # The last number is the end's: the network reads a text's meaning at its highest one.
    vocabulary |= {"<|startoftext|>": len(vocabulary), "<|endoftext|>": len(vocabulary) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="!", model_max_length=64).save_pretrained(
        folder
    )
