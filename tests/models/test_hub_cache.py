"""What is missing from folders of models, told from names and headers alone."""

from __future__ import annotations

import json
import struct

import pytest

from chorus.models import hub_cache

_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WHOLE = struct.pack("<Q", len(_HEADER)) + _HEADER + bytes(8)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (WHOLE, None),
        (WHOLE[:-1], f"it has {len(WHOLE) - 1} bytes, its header promises {len(WHOLE)}"),
        (WHOLE + b"x", "its header promises"),
        (b"", "it has 0 bytes"),
        (WHOLE[:20], "its header is cut off"),
        (struct.pack("<Q", 4) + b"nope", "not a safetensors header"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors header"),
        (struct.pack("<Q", 9) + b'{"w": {}}', "not a safetensors header"),
    ],
)
def test_damaged_safetensors(tmp_path, content, told):
    path = tmp_path / "unet" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    found = hub_cache.damaged_safetensors(tmp_path)
    if told is None:
        assert found == []
    else:
        ((where, wrong),) = found
        assert where == path
        assert told in wrong


def test_a_network(tmp_path):
    assert hub_cache.unfinished(tmp_path) == "it holds no weights"
    (tmp_path / "model.safetensors").write_bytes(WHOLE)
    assert hub_cache.unfinished(tmp_path) == ""


def test_shards(tmp_path):
    names = ["model-1.safetensors", "model-2.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", names, strict=True))}))
    (tmp_path / names[0]).write_bytes(WHOLE)
    assert hub_cache.unfinished(tmp_path) == "model-2.safetensors is not there"
    (tmp_path / names[1]).write_bytes(WHOLE)
    assert hub_cache.unfinished(tmp_path) == ""
    index.write_text('{"weight_map"')
    assert "is not whole" in hub_cache.unfinished(tmp_path)


def test_a_pipeline(tmp_path):
    parts = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "extra": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(parts))
    assert hub_cache.unfinished(tmp_path) == "unet is not there"
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text("{}")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler/scheduler_config.json").write_text("{}")
    assert hub_cache.unfinished(tmp_path) == "unet holds no weights"
    (tmp_path / "unet/diffusion_pytorch_model.safetensors").write_bytes(WHOLE)
    assert hub_cache.unfinished(tmp_path) == ""
    (tmp_path / "model_index.json").write_text("[]")
    assert "model_index.json is not whole" in hub_cache.unfinished(tmp_path)


def test_the_cache(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub_cache.repository_folder("owner/net") is None
    (tmp_path / "models--owner--net/refs").mkdir(parents=True)
    (tmp_path / "models--owner--net/refs/main").write_text("abc\n")
    assert hub_cache.repository_folder("owner/net") is None
    folder = tmp_path / "models--owner--net/snapshots/abc"
    folder.mkdir(parents=True)
    assert hub_cache.repository_folder("owner/net") == folder
