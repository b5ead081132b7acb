"""HMR2.0: layout, agreement with a plain implementation, crops, camera, adapter."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tiny_humans import TINY_HMR2, hmr2_state, save_small_body, save_tiny_hmr2

from chorus.body.loading import load_body
from chorus.errors import BadInput, Unavailable
from chorus.geometry.weak_perspective import project_long
from chorus.models import checkpoints, registry, weights
from chorus.perception import hmr2
from chorus.perception.crop_regression import TOO_SMALL, CropRegressor, Prediction
from chorus.perception.hmr2_network import Hmr2Network, Layout, layout_of
from chorus.perception.person_crops import hmr2_crop
from chorus.records.keys import SampleKey
from chorus.records.rows import Image

KEY = SampleKey("m", "surfboard", "A person carries a surfboard", "original", 0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_hmr2(tmp_path_factory.mktemp("hmr2") / "epoch=35-step=1000000.ckpt")


@pytest.fixture(scope="module")
def small_body(tmp_path_factory):
    return load_body(save_small_body(tmp_path_factory.mktemp("body") / "small.npz"))


def published_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes of HMR2.0 with ViT-H, enumerated by hand."""
    shapes = {}

    def linear(name, outputs, inputs, bias=True):
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def norm(name, width):
        shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    shapes["backbone.pos_embed"] = (1, 193, 1280)
    shapes["backbone.patch_embed.proj.weight"] = (1280, 3, 16, 16)
    shapes["backbone.patch_embed.proj.bias"] = (1280,)
    for block in range(32):
        at = f"backbone.blocks.{block}"
        norm(f"{at}.norm1", 1280)
        linear(f"{at}.attn.qkv", 3840, 1280)
        linear(f"{at}.attn.proj", 1280, 1280)
        norm(f"{at}.norm2", 1280)
        linear(f"{at}.mlp.fc1", 5120, 1280)
        linear(f"{at}.mlp.fc2", 1280, 5120)
    norm("backbone.last_norm", 1280)
    at = "smpl_head.transformer"
    linear(f"{at}.to_token_embedding", 1024, 1)
    shapes[f"{at}.pos_embedding"] = (1, 1, 1024)
    for layer in range(6):
        at = f"smpl_head.transformer.transformer.layers.{layer}"
        for part in range(3):
            norm(f"{at}.{part}.norm", 1024)
        linear(f"{at}.0.fn.to_qkv", 1536, 1024, bias=False)
        linear(f"{at}.0.fn.to_out.0", 1024, 512)
        linear(f"{at}.1.fn.to_kv", 1024, 1280, bias=False)
        linear(f"{at}.1.fn.to_q", 512, 1024, bias=False)
        linear(f"{at}.1.fn.to_out.0", 1024, 512)
        linear(f"{at}.2.fn.net.0", 1024, 1024)
        linear(f"{at}.2.fn.net.3", 1024, 1024)
    for name, rows in (("decpose", 144), ("decshape", 10), ("deccam", 3)):
        linear(f"smpl_head.{name}", rows, 1024)
    for name, size in (("init_body_pose", 144), ("init_betas", 10), ("init_cam", 3)):
        shapes[f"smpl_head.{name}"] = (1, size)
    return shapes


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        state = Hmr2Network().state_dict()
    assert checkpoints.shapes_of(state) == published_names()
    assert layout_of(state) == Layout()
    assert (Layout().heads, Layout().decoder_heads) == (16, 8)
    assert (Layout(width=768).heads, Layout(width=384).heads) == (12, 12)


def plain_network(state: dict, crops: torch.Tensor, layout: Layout) -> tuple[np.ndarray, ...]:
    """The published computation in numpy, one crop, token and head at a time."""
    from scipy.special import erf

    s = {name: value.double().numpy() for name, value in state.items()}

    def linear(x, name):
        return x @ s[f"{name}.weight"].T + s.get(f"{name}.bias", 0)

    def norm(x, name, eps):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(var + eps) * s[f"{name}.weight"] + s[f"{name}.bias"]

    def gelu(x):
        return 0.5 * x * (1 + erf(x / np.sqrt(2)))

    def attention(q, k, v, heads):
        size = q.shape[1] // heads
        out = np.zeros_like(q)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for row in range(len(q)):
                weight = k[:, part] @ q[row, part] / np.sqrt(size)
                weight = np.exp(weight - weight.max())
                out[row, part] = (weight / weight.sum()) @ v[:, part]
        return out

    answers = []
    for crop in crops.double().numpy():
        image = np.pad(crop[:, :, 32:224], ((0, 0), (2, 2), (2, 2)))
        kernel = s["backbone.patch_embed.proj.weight"].reshape(layout.width, -1)
        tokens = []
        for row in range(16):
            for column in range(12):
                patch = image[:, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
                tokens.append(kernel @ patch.ravel() + s["backbone.patch_embed.proj.bias"])
        x = np.stack(tokens) + s["backbone.pos_embed"][0, 1:] + s["backbone.pos_embed"][0, 0]
        for block in range(layout.depth):
            at = f"backbone.blocks.{block}"
            qkv = linear(norm(x, f"{at}.norm1", 1e-6), f"{at}.attn.qkv")
            x = x + linear(attention(*np.split(qkv, 3, axis=1), layout.heads), f"{at}.attn.proj")
            hidden = gelu(linear(norm(x, f"{at}.norm2", 1e-6), f"{at}.mlp.fc1"))
            x = x + linear(hidden, f"{at}.mlp.fc2")
        context = norm(x, "backbone.last_norm", 1e-6)
        start = [s[f"smpl_head.init_{name}"] for name in ("body_pose", "betas", "cam")]
        token = np.concatenate(start, axis=1) if layout.token > 1 else np.zeros((1, 1))
        at = "smpl_head.transformer"
        y = linear(token, f"{at}.to_token_embedding") + s[f"{at}.pos_embedding"][0]
        for layer in range(layout.decoder_depth):
            at = f"smpl_head.transformer.transformer.layers.{layer}"
            qkv = linear(norm(y, f"{at}.0.norm", 1e-5), f"{at}.0.fn.to_qkv")
            own = attention(*np.split(qkv, 3, axis=1), layout.decoder_heads)
            y = y + linear(own, f"{at}.0.fn.to_out.0")
            q = linear(norm(y, f"{at}.1.norm", 1e-5), f"{at}.1.fn.to_q")
            k, v = np.split(linear(context, f"{at}.1.fn.to_kv"), 2, axis=1)
            y = y + linear(attention(q, k, v, layout.decoder_heads), f"{at}.1.fn.to_out.0")
            hidden = gelu(linear(norm(y, f"{at}.2.norm", 1e-5), f"{at}.2.fn.net.0"))
            y = y + linear(hidden, f"{at}.2.fn.net.3")
        pose, betas, camera = (
            (mean + linear(y, f"smpl_head.{name}"))[0]
            for mean, name in zip(start, ("decpose", "decshape", "deccam"), strict=True)
        )
        rotations = []
        for six in pose.reshape(24, 6):
            a, b = six[:3], six[3:]
            a = a / np.linalg.norm(a)
            b = b - (a @ b) * a
            b = b / np.linalg.norm(b)
            rotations.append(np.stack([a, b, np.cross(a, b)], axis=1))
        answers.append((np.stack(rotations), betas, camera))
    return tuple(np.stack(values) for values in zip(*answers, strict=True))


@pytest.mark.parametrize("token", [1, 157])
def test_network_agrees_with_a_plain_implementation(token):
    layout = Layout(**{**vars(TINY_HMR2), "token": token})
    state = hmr2_state(layout, seed=2)
    assert layout_of(state) == layout
    network = Hmr2Network(layout).eval()
    network.load_state_dict(state)
    crops = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(3))
    rotations, betas, camera = plain_network(state, crops, layout)
    with torch.no_grad():
        found = network(crops)
    np.testing.assert_allclose(found.rotations.numpy(), rotations, atol=1e-4)
    np.testing.assert_allclose(found.betas.numpy(), betas, atol=1e-4)
    weak = np.stack([camera[:, 0], camera[:, 0] * camera[:, 1], camera[:, 0] * camera[:, 2]], 1)
    np.testing.assert_allclose(found.camera.numpy(), weak, atol=1e-4)
    assert np.abs(rotations[0] - rotations[1]).max() > 1e-3  # the answer depends on the crop


def pinhole(points, camera, crop):
    """Pixels of the image of points (P, 3) under HMR2.0's own camera s, tx, ty, as published: moved
    by a translation, divided by the depth, in a crop of 256."""
    s, tx, ty = camera
    moved = points + np.array([tx, ty, 2 * 5000 / (256 * s)])
    in_crop = 5000 * moved[:, :2] / moved[:, 2:] + 128
    return crop.centre - crop.side / 2 + in_crop * crop.side / 256


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    camera=st.tuples(st.floats(0.3, 1.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
def test_joints_are_those_of_the_published_pinhole(small_body, seed, camera):
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.special_gramschmidt(torch.randn(1, 24, 3, 2, generator=generator))
    betas = torch.randn(1, 10, generator=generator)
    s, tx, ty = camera

    def network(crops):
        return Prediction(rotations, betas, torch.tensor([[s, s * tx, s * ty]]))

    image = Image(KEY, np.full((400, 500, 3), 90, np.uint8))
    box = np.array([40.0, 30, 200, 390])
    project = functools.partial(project_long, focal=hmr2.FOCAL)
    regressor = CropRegressor(network, hmr2_crop, small_body, "cpu", 4, project)
    person = regressor.regress([image], [box[None]])[0][0]
    points = small_body.pose(rotations, betas).joints[0].double().numpy()
    crop = hmr2_crop(image.pixels, box)
    np.testing.assert_allclose(person.joints, pinhole(points, camera, crop), atol=2e-3)


def test_the_weak_camera_alone_would_be_some_pixels_off():
    """A person as tall as the crop, upright and tilted to the camera: why there is a pinhole."""
    camera, crop = (0.9, 0.1, -0.2), hmr2_crop(np.zeros((256, 256, 3), np.uint8), [32, 0, 224, 256])
    upright = np.array([[0, -0.9, 0.1], [0, 0.9, 0.1], [0.5, -0.4, 0.1], [0, 0, -0.1]])
    tilted = np.array([[0, -0.7, -0.7], [0.4, -0.6, -0.5], [0, 0.7, 0.7], [-0.2, 0.6, 0.7]])
    s, tx, ty = camera
    for points, least, most in ((upright, 0.1, 1), (tilted, 1, 3)):
        weak = 128 * (s * points[:, :2] + [s * tx, s * ty]) + 128
        off = np.abs(pinhole(points, camera, crop) - weak).max()
        assert least < off < most


def test_the_adapter_projects_by_the_pinhole(checkpoint, small_body, tmp_path):
    rng = np.random.default_rng(5)
    image = Image(KEY, rng.integers(0, 255, (300, 300, 3), np.uint8))
    box = np.array([30.0, 20, 200, 280])
    regressor = hmr2.load("hmr2", str(checkpoint), tmp_path, "cpu", body=small_body)
    person = regressor.regress([image], [box[None]])[0][0]
    pose, betas = torch.from_numpy(person.pose), torch.from_numpy(person.betas)
    s, across, down = person.camera.astype(float)
    points = small_body.pose(pose, betas).joints.double().numpy()
    own = pinhole(points, (s, across / s, down / s), hmr2_crop(image.pixels, box))
    np.testing.assert_allclose(person.joints, own, atol=2e-3)


def test_checkpoint_loads_with_its_settings_inside(checkpoint):
    network = hmr2.load_network(checkpoint)
    for name, value in hmr2_state().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.pop("backbone.last_norm.bias"), r"backbone\.last_norm\.bias is missing"),
        (
            lambda m: m.update({"smpl_head.decpose.weight": torch.zeros(126, 20)}),
            r"smpl_head\.decpose\.weight has the shape \(126, 20\), expected \(144, 20\)",
        ),
        (
            lambda m: m.update({"smpl_head.decpose_right_hand.bias": torch.zeros(90)}),
            r"smpl_head\.decpose_right_hand\.bias is one too many",
        ),
        (
            lambda m: m.update(
                {"smpl_head.transformer.transformer.layers.0.1.fn.to_q.weight": torch.zeros(40, 20)}
            ),
            "attention of the decoder is 40 wide, which is no multiple of 64",
        ),
        (
            lambda m: m.update(
                {"smpl_head.transformer.to_token_embedding.weight": torch.zeros(20, 5)}
            ),
            "the decoder's query has 5 numbers",
        ),
    ],
)
def test_another_network_is_refused_by_name(tmp_path, change, sentence):
    state = hmr2_state()
    change(state)
    torch.save({"state_dict": state}, tmp_path / "other.ckpt")
    with pytest.raises(BadInput, match=f"other.ckpt is not a checkpoint of HMR2.0: .*{sentence}"):
        hmr2.load_network(tmp_path / "other.ckpt")


def test_missing_weights_are_said_at_once(tmp_path, monkeypatch):
    weight = weights.Weight("HMR2.0", "MIT", "hmr2/hmr2.ckpt", "https://example.org/h")
    monkeypatch.setitem(registry.WEIGHTS, hmr2.WEIGHT, weight)
    with pytest.raises(Unavailable, match=r"hmr2\.ckpt is not there"):
        hmr2.check("hmr2", "", tmp_path)
    with pytest.raises(Unavailable, match="there is no such file"):
        hmr2.check("hmr2", str(tmp_path / "no.ckpt"), tmp_path)


def test_crop_by_hand():
    image = np.random.default_rng(0).integers(0, 255, (400, 500, 3), np.uint8)
    # a box of 60 x 128 is high enough for 192:256 (it needs 80): its height is the side
    crop = hmr2_crop(image, np.array([200, 100, 260, 228]))
    assert (crop.side, crop.centre.tolist()) == (128, [230, 164])
    # a box of 150 x 100 grows to 150 x 200
    crop = hmr2_crop(image, np.array([100, 100, 250, 200]))
    assert (crop.side, crop.centre.tolist()) == (200, [175, 150])
    # side 256 is the image itself, zero outside: the corner is (172 - 128, 110 - 128)
    crop = hmr2_crop(image, np.array([162, -18, 182, 238]))
    expected = np.zeros((256, 256, 3), np.uint8)
    expected[18:] = image[:238, 44:300]
    np.testing.assert_array_equal(crop.pixels, expected)


def crop_as_the_original_rounds(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """The whole image blurred by scipy in float64, and mapped by three points in float32."""
    left, top, right, bottom = np.float32(box)
    width, height = ((right - left) / 200 * 200, (bottom - top) / 200 * 200)
    side = max(height, width * 256 / 192)
    x, y = (left + right) / 2, (top + bottom) / 2
    if side / 512 > 1.1:
        sigma = (side / 512 - 1) / 2
        image = gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest")
    here = np.float32([[x, y], [x, y + side / 2], [x + side / 2, y]])
    there = np.float32([[128, 128], [128, 256], [256, 128]])
    onto = cv2.getAffineTransform(here, there)
    return cv2.warpAffine(image, onto, (256, 256), flags=cv2.INTER_LINEAR), float(side)


@settings(max_examples=60, deadline=None)
@given(
    corner=st.tuples(st.floats(-60, 600, width=32), st.floats(-60, 500, width=32)),
    size=st.tuples(st.floats(30, 500, width=32), st.floats(30, 700, width=32)),
)
def test_crops_are_rounded_as_the_original_rounds_them(corner, size):
    image = np.random.default_rng(1).integers(0, 255, (600, 700, 3), np.uint8)
    box = np.array([*corner, corner[0] + size[0], corner[1] + size[1]])
    crop = hmr2_crop(image, box)
    expected, side = crop_as_the_original_rounds(image, box)
    if crop is None:
        assert not expected.any()
        return
    assert crop.side == side
    np.testing.assert_allclose(crop.pixels, expected, atol=2e-5)
    assert crop.pixels.dtype == (np.float32 if side > 563.2 else np.uint8)


@pytest.mark.parametrize(
    "box", [[10, 10, 15, 29], [10, 10, 10, 10], [500, 10, 600, 200], [np.nan, 1, 30, 200]]
)
def test_crops_that_cannot_be_used_are_none(box):
    assert hmr2_crop(np.zeros((100, 100, 3), np.uint8), np.array(box)) is None


def test_adapter_sees_the_image_and_its_weights(checkpoint, small_body, tmp_path):
    rng = np.random.default_rng(3)
    images = [Image(KEY, rng.integers(0, 255, (700, 500, 3), np.uint8)) for _ in range(2)]
    # the first crop is blurred, the second is not: both go in one batch
    boxes = [np.array([[20, 20, 400, 680], [20, 20, 120, 220]]), np.array([[1, 1, 5, 5]])]

    def regress(path: Path):
        return hmr2.load("hmr2", str(path), tmp_path, "cpu", body=small_body).regress(images, boxes)

    first = regress(checkpoint)
    other = regress(save_tiny_hmr2(tmp_path / "other.ckpt", seed=4))
    assert first[1] == [TOO_SMALL]
    for person in first[0]:
        assert person.pose.shape == (24, 3)
        assert person.joints.shape == (24, 2)
        assert np.isfinite(person.joints).all()
    assert np.abs(first[0][0].pose - first[0][1].pose).max() > 1e-4
    assert np.abs(first[0][0].pose - other[0][0].pose).max() > 1e-2
