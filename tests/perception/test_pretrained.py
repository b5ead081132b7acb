"""Networks load whole or not at all."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

pytest.importorskip("transformers")

from safetensors.numpy import load_file, save_file
from tiny_models import save_tiny_sam, save_tiny_vitpose
from transformers import SamModel, VitPoseForPoseEstimation

from chorus.errors import BadInput, Unavailable
from chorus.perception import pretrained


@pytest.fixture
def folder(tmp_path):
    return save_tiny_vitpose(tmp_path)


def weights(folder):
    return load_file(folder / "model.safetensors")


def rewrite(folder, tensors):
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_whole_network_holds_the_files_numbers(folder):
    model = pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")
    assert not model.training
    name, expected = next(iter(weights(folder).items()))
    np.testing.assert_array_equal(model.state_dict()[name].numpy(), expected)


def test_half_precision_files_are_read_in_full(folder):
    rewrite(folder, {name: values.astype(np.float16) for name, values in weights(folder).items()})
    model = pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.float32"}


def test_a_missing_key_is_named(folder, caplog, capfd):
    tensors = weights(folder)
    names = [name for name in tensors if "layernorm" in name]
    rewrite(folder, {name: tensors[name] for name in tensors if name not in names})
    with caplog.at_level(logging.WARNING), pytest.raises(BadInput) as raised:
        pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")
    model = VitPoseForPoseEstimation(VitPoseForPoseEstimation.config_class.from_pretrained(folder))
    first = next(name for name in model.state_dict() if name in names)
    assert f"VitPoseForPoseEstimation needs {first}." in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_key_of_another_shape_is_named(folder):
    tensors = weights(folder)
    name = "backbone.embeddings.patch_embeddings.projection.weight"
    tensors[name] = tensors[name][:8]
    rewrite(folder, tensors)
    with pytest.raises(BadInput, match=rf"{name} has the shape \[8, 3, 16, 16\]"):
        pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")


def test_weights_of_another_architecture(folder, tmp_path_factory):
    other = save_tiny_sam(tmp_path_factory.mktemp("sam"))
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(BadInput, match="another network: VitPoseForPoseEstimation needs backbone"):
        pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")


def test_a_half_written_file_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged"):
        pretrained.network(VitPoseForPoseEstimation, str(folder), "cpu")


def test_the_image_processor_needs_no_torchvision(folder):
    assert type(pretrained.image_processor(str(folder))).__name__.endswith("Pil")
    assert pretrained.model_type(str(folder)) == "vitpose"
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    assert settings["size"] == {"height": 64, "width": 48}


def test_a_missing_package_is_named(monkeypatch):
    pretrained.require_transformers("vitpose")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"vitpose needs the package transformers.*\[modern\]"):
        pretrained.require_transformers("vitpose")


def test_networks_stay_quiet(tmp_path, capfd):
    pretrained.network(SamModel, str(save_tiny_sam(tmp_path)), "cpu")
    written = capfd.readouterr()
    assert "Loading" not in written.err and written.out == ""
