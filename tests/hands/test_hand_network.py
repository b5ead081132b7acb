"""TempCLR's network: layout of the published checkpoints, agreement with a plain version, bad
files."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput, Unavailable
from chorus.hands import checkpoint
from chorus.hands.network import PARAMETERS, HandNetwork, decode, flat_parameters
from references.hands import save_checkpoint, small_hand

FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048}
TENSORS = {"resnet18": 100, "resnet34": 180, "resnet50": 265, "resnet101": 520}
"""Weights of torchvision's networks without `fc`, batch counters left out."""


@pytest.mark.parametrize("name", FEATURES)
def test_names_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        shapes = {n: tuple(v.shape) for n, v in HandNetwork(name).state_dict().items()}
    kept = {n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")}
    backbone = {n for n in kept if n.startswith("backbone.")}
    assert len(backbone) == TENSORS[name]
    assert kept["backbone.conv1.weight"] == (64, 3, 7, 7)
    deep = name in ("resnet50", "resnet101")
    last = {"resnet18": 1, "resnet34": 2}.get(name, 2)
    assert f"backbone.layer4.{last}.conv{3 if deep else 2}.weight" in kept
    assert f"backbone.layer4.{last + 1}.conv1.weight" not in kept
    assert ("backbone.layer1.0.downsample.0.weight" in kept) is deep
    features = FEATURES[name]
    assert {n: kept[n] for n in kept if n not in backbone} == {
        "regressor.module.layer_000.0.weight": (1024, features + 109),
        "regressor.module.layer_000.0.bias": (1024,),
        "regressor.module.layer_001.0.weight": (1024, 1024),
        "regressor.module.layer_001.0.bias": (1024,),
        "regressor.module.output_layer.weight": (109, 1024),
        "regressor.module.output_layer.bias": (109,),
        "regressor.mean_param": (1, 109),
    }


def test_three_stages_with_shared_weights_by_hand():
    torch.manual_seed(1)
    network = HandNetwork("resnet18", width=4, hidden=16).eval()
    crops = torch.randn(2, 3, 64, 64)
    state = network.state_dict()
    with torch.no_grad():
        features = network.backbone(crops)
        p = state["regressor.mean_param"].expand(2, -1)
        for _ in range(3):
            x = torch.cat([features, p], 1)
            for layer in ("layer_000.0", "layer_001.0"):
                at = f"regressor.module.{layer}"
                x = F.relu(F.linear(x, state[f"{at}.weight"], state[f"{at}.bias"]))
            at = "regressor.module.output_layer"
            p = p + F.linear(x, state[f"{at}.weight"], state[f"{at}.bias"])
        expected, found = decode(p), network(crops)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_start_is_a_flat_hand_before_a_camera_of_scale_09():
    start = decode(flat_parameters())
    torch.testing.assert_close(start.rotations, torch.eye(3).expand(16, 3, 3))
    torch.testing.assert_close(start.camera, torch.tensor([0.9, 0.0, 0.0]))
    assert flat_parameters()[106] == pytest.approx(0.3782, abs=1e-4)
    assert flat_parameters()[:6].tolist() == [1, 0, 0, 1, 0, 0]


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_six_numbers_are_two_interleaved_columns(seed):
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.randn(PARAMETERS, generator=generator)
    first = decode(parameters).rotations[0]
    a, b = parameters[0:6:2], parameters[1:6:2]
    x = a / a.norm()
    y = b - (x @ b) * x
    torch.testing.assert_close(first, torch.stack([x, y / y.norm(), torch.linalg.cross(
        x, y / y.norm())], dim=1), atol=1e-4, rtol=0)  # fmt: skip
    raw = float(parameters[106])
    assert decode(parameters).camera[0] == pytest.approx(math.log1p(math.exp(raw)), rel=1e-5)


def test_a_checkpoint_is_read_with_the_hand_inside(tmp_path):
    hand = small_hand()
    path = save_checkpoint(tmp_path / "tempclr_freihand", hand=hand)
    loaded = checkpoint.load_checkpoint(path, "resnet18")
    assert not loaded.network.training and loaded.hand is not None
    pose = torch.full((16, 3), 0.2)
    expected = hand.pose(pose).joints21.float()
    torch.testing.assert_close(loaded.hand.pose(pose).joints21, expected, atol=1e-6, rtol=0)
    assert checkpoint.differs(loaded.hand, loaded.hand) == ""
    assert "by up to" in checkpoint.differs(small_hand(4), hand)


def test_a_checkpoint_without_a_hand(tmp_path):
    path = save_checkpoint(tmp_path / "own")
    assert checkpoint.load_checkpoint(path, "resnet18").hand is None


@pytest.mark.parametrize(
    "text", ["tempclr_ho3d", "/somebody/elses/place/tempclr_ho3d", "C:\\runs\\tempclr_ho3d\n"]
)
def test_the_folder_names_its_checkpoint_whatever_the_machine(tmp_path, text):
    path = save_checkpoint(tmp_path / "tempclr_ho3d")
    (tmp_path / "latest_checkpoint").write_text(text)
    assert checkpoint.checkpoint_file(tmp_path) == path
    assert checkpoint.checkpoint_file(tmp_path / "latest_checkpoint") == path


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(Unavailable, match=r"no checkpoint at .* nothing is predicted"):
        checkpoint.load_checkpoint(tmp_path / "nowhere", "resnet18")
    (tmp_path / "latest_checkpoint").write_text("/elsewhere/model")
    with pytest.raises(Unavailable, match="names '/elsewhere/model'"):
        checkpoint.load_checkpoint(tmp_path, "resnet18")


def test_another_network_is_named(tmp_path):
    path = save_checkpoint(tmp_path / "own")
    with pytest.raises(BadInput, match=r"is not a checkpoint of TempCLR with resnet50: backbone"):
        checkpoint.load_checkpoint(path, "resnet50")
    with pytest.raises(BadInput, match=r"with resnet34: backbone.layer1.2.conv1.weight is missing"):
        checkpoint.load_checkpoint(path, "resnet34")
    with pytest.raises(BadInput, match="unknown backbone 'resnet20'"):
        HandNetwork("resnet20")


def test_what_could_run_code_is_refused(tmp_path):
    import os

    class Evil:
        def __reduce__(self):
            return os.system, ("true",)

    torch.save({"model": Evil()}, tmp_path / "evil")
    with pytest.raises(BadInput, match="is refused"):
        checkpoint.load_checkpoint(tmp_path / "evil", "resnet18")
    (tmp_path / "broken").write_bytes(b"PK nonsense")
    with pytest.raises(BadInput, match="whole checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "broken", "resnet18")


def test_a_damaged_hand_inside_is_named(tmp_path):
    path = save_checkpoint(tmp_path / "c", hand=small_hand())
    stored = torch.load(path, weights_only=True)
    del stored["model"]["model.posedirs"]
    torch.save(stored, path)
    with pytest.raises(BadInput, match=r"without model.posedirs"):
        checkpoint.load_checkpoint(path, "resnet18")
