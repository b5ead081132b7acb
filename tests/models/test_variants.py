"""Folders that hold one variant of the weights only."""

from __future__ import annotations

import pytest

from chorus.models import hub
from chorus.models.variants import only_variant

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["model.safetensors"], None),
        (["model.safetensors", "model.fp16.safetensors"], None),
        (["model.fp16.safetensors", "config.json"], "fp16"),
        (["diffusion_pytorch_model.bf16.bin", "diffusion_pytorch_model.fp16.bin"], "bf16"),
        (
            ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"],
            "fp16",
        ),
        (["model-00001-of-00002.safetensors"], None),
        (["other.fp16.safetensors", "config.json"], None),
        ([], None),
    ],
)
def test_which_variant_is_there(tmp_path, names, variant):
    for name in names:
        (tmp_path / name).touch()
    assert only_variant(tmp_path) == variant
    assert only_variant(tmp_path / "not there") is None


def test_the_variant_that_is_there_is_loaded(tmp_path):
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    torch.manual_seed(0)
    config = transformers.BertConfig(**sizes, num_attention_heads=2, vocab_size=20)
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path, variant="fp16")
    loaded = hub.load(transformers.AutoModel.from_pretrained, str(tmp_path))
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
