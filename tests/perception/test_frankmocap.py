"""FrankMocap's regressor: layout, agreement with a plain implementation, crops, adapter."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_humans import save_small_body, save_tiny_spin_checkpoint, spin_state

from chorus.body.loading import load_body
from chorus.errors import BadInput, Unavailable
from chorus.geometry.weak_perspective import project_weak
from chorus.models import checkpoints, registry, weights
from chorus.perception import frankmocap
from chorus.perception.crop_regression import TOO_SMALL, CropRegressor, Prediction
from chorus.perception.person_crops import normalised, spin_crop
from chorus.perception.spin_network import SpinNetwork
from chorus.records.keys import SampleKey
from chorus.records.rows import Image, Person

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = SampleKey("m", "surfboard", "A person carries a surfboard", "original", 0)
BLOCKS = (3, 4, 6, 3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_spin_checkpoint(tmp_path_factory.mktemp("spin") / "eft.pt")


@pytest.fixture(scope="module")
def small_body(tmp_path_factory):
    return load_body(save_small_body(tmp_path_factory.mktemp("body") / "small.npz"))


def image_of(pixels: np.ndarray) -> Image:
    return Image(KEY, pixels)


def published_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published network, enumerated by hand (method.md, appendix)."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)

    norm("bn1", 64)
    inputs = 64
    for layer, (count, width) in enumerate(zip(BLOCKS, (64, 128, 256, 512), strict=True), 1):
        for block in range(count):
            at = f"layer{layer}.{block}"
            shapes[f"{at}.conv1.weight"] = (width, inputs, 1, 1)
            shapes[f"{at}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{at}.conv3.weight"] = (4 * width, width, 1, 1)
            for number, channels in enumerate((width, width, 4 * width), 1):
                norm(f"{at}.bn{number}", channels)
            if block == 0:
                shapes[f"{at}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                norm(f"{at}.downsample.1", 4 * width)
            inputs = 4 * width
    for name, rows, columns in (
        ("fc1", 1024, 2048 + 144 + 10 + 3),
        ("fc2", 1024, 1024),
        ("decpose", 144, 1024),
        ("decshape", 10, 1024),
        ("deccam", 3, 1024),
    ):
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    return shapes | {"init_pose": (1, 144), "init_shape": (1, 10), "init_cam": (1, 3)}


def test_names_and_shapes_are_the_published_ones():
    ours = {n: s for n, s in frankmocap.published_shapes().items() if "num_batches" not in n}
    assert ours == published_names()
    assert checkpoints.checksum(ours) == (
        "5fc963ed605758a60f39f8b7a4000fb8965165fb71b9f04ee652b93801c4be4b"
    )


def plain_network(state: dict, crops: torch.Tensor) -> tuple[np.ndarray, ...]:
    """The published computation, one crop and one operation at a time."""

    def norm(x, name):
        return F.batch_norm(
            x,
            *(state[f"{name}.{part}"] for part in ("running_mean", "running_var")),
            *(state[f"{name}.{part}"] for part in ("weight", "bias")),
            training=False,
        )

    def linear(x, name):
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    answers = []
    for crop in crops:
        x = F.conv2d(crop[None], state["conv1.weight"], stride=2, padding=3)
        x = F.max_pool2d(F.relu(norm(x, "bn1")), 3, 2, 1)
        for layer, count in enumerate(BLOCKS, 1):
            for block in range(count):
                at = f"layer{layer}.{block}"
                stride = 2 if layer > 1 and block == 0 else 1
                y = F.relu(norm(F.conv2d(x, state[f"{at}.conv1.weight"]), f"{at}.bn1"))
                y = F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1)
                y = F.relu(norm(y, f"{at}.bn2"))
                y = norm(F.conv2d(y, state[f"{at}.conv3.weight"]), f"{at}.bn3")
                if block == 0:
                    x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                    x = norm(x, f"{at}.downsample.1")
                x = F.relu(x + y)
        features = F.avg_pool2d(x, 7)[0, :, 0, 0]
        pose, shape, camera = (state[f"init_{n}"][0] for n in ("pose", "shape", "cam"))
        for _ in range(3):
            hidden = linear(linear(torch.cat([features, pose, shape, camera]), "fc1"), "fc2")
            pose = pose + linear(hidden, "decpose")
            shape = shape + linear(hidden, "decshape")
            camera = camera + linear(hidden, "deccam")
        rotations = []
        for six in pose.view(24, 6).numpy():
            a, b = six[0::2], six[1::2]
            a = a / np.linalg.norm(a)
            b = b - (a @ b) * a
            b = b / np.linalg.norm(b)
            rotations.append(np.stack([a, b, np.cross(a, b)], axis=1))
        answers.append((np.stack(rotations), shape.numpy(), camera.numpy()))
    return tuple(np.stack(values) for values in zip(*answers, strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_network_agrees_with_a_plain_implementation(seed):
    state = spin_state(seed=seed)
    network = SpinNetwork(4, 24).eval()
    network.load_state_dict(state)
    crops = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        found = network(crops)
        expected = plain_network(state, crops)
    assert expected[0].std() > 0.1
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), plain, atol=2e-5)
    spread = found.camera.std(dim=0)
    assert (spread > 0).all()  # the answer does depend on the crop


def test_checkpoint_loads_in_the_published_layout(checkpoint):
    network = frankmocap.load_network(checkpoint)
    for name, value in spin_state().items():
        if "num_batches" not in name:
            assert torch.equal(network.state_dict()[name], value), name
    assert not network.training


def resave(checkpoint, path, change):
    stored = torch.load(checkpoint, weights_only=False)
    change(stored["model"])
    torch.save(stored, path)
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.pop("layer3.2.bn1.bias"), r"layer3\.2\.bn1\.bias is missing"),
        (
            lambda m: m.update({"fc2.weight": torch.zeros(24, 25)}),
            r"fc2\.weight has the shape \(24, 25\), expected \(24, 24\)",
        ),
        (
            lambda m: m.update({"layer3.6.conv1.weight": torch.zeros(1)}),
            r"layer3\.6\.conv1\.weight is one too many",
        ),
        (lambda m: m["decpose.bias"].fill_(torch.nan), r"decpose\.bias holds NaN"),
        (lambda m: m.clear(), r"init_pose is missing \(and \d+ more differences\)"),
    ],
)
def test_another_network_is_refused_by_name(checkpoint, tmp_path, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        frankmocap.load_network(resave(checkpoint, tmp_path / "other.pt", change))


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("was_executed"),))


def test_damaged_and_hostile_files_end_in_sentences(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = checkpoint.read_bytes()
    files = {
        "short.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "page.pt": b"<!DOCTYPE html><html>Not found</html>",
        "short.safetensors": b"\x10\x00\x00\x00\x00\x00\x00\x00{",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            BadInput, match=f"{name} is no whole checkpoint .*fetch it again"
        ) as why:
            frankmocap.load_network(tmp_path / name)
        told = "is a web page" if name == "page.pt" else f"has {len(content)} bytes"
        assert told in str(why.value)
    torch.save({"model": spin_state()}, tmp_path / "new.pt")  # torch's newer format, a zip archive
    whole = (tmp_path / "new.pt").read_bytes()
    place = tmp_path / registry.WEIGHTS[frankmocap.WEIGHT].destination
    place.parent.mkdir()
    place.write_bytes(whole[:5000])
    with pytest.raises(BadInput, match=r"5000 bytes.*download_off_the_shelf\.sh frankmocap-eft`"):
        frankmocap.load_network(place)
    broken = spin_state() | {"fc2.bias": torch.full((24,), torch.nan)}
    torch.save({"model": broken}, tmp_path / "nan.pt")
    with pytest.raises(BadInput, match=r"nan\.pt is damaged: fc2\.bias holds NaN"):
        frankmocap.load_network(tmp_path / "nan.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"has no 'model' .*found state_dict"):
        frankmocap.load_network(tmp_path / "other.pt")
    torch.save({"model": {"conv1.weight": Evil()}}, tmp_path / "evil.pt")
    with pytest.raises(BadInput, match=r"is refused: it asks for .*Nothing in it was executed"):
        frankmocap.load_network(tmp_path / "evil.pt")
    assert not Path("was_executed").exists()


def test_missing_weights_are_said_at_once(tmp_path, monkeypatch):
    weight = weights.Weight("EFT's weights", "CC BY-NC 4.0", "eft/eft.pt", "https://example.org/e")
    monkeypatch.setitem(registry.WEIGHTS, frankmocap.WEIGHT, weight)
    with pytest.raises(Unavailable, match=r"eft\.pt is not there .*download_off_the_shelf"):
        frankmocap.check("frankmocap-eft", "", tmp_path)
    with pytest.raises(Unavailable, match="there is no such file"):
        frankmocap.check("frankmocap-eft", str(tmp_path / "no.pt"), tmp_path)
    save_tiny_spin_checkpoint(tmp_path / "mine.pt")
    frankmocap.check("frankmocap-eft", str(tmp_path / "mine.pt"), tmp_path)


def test_conversion_keeps_the_network_and_says_what_differs(checkpoint, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"conv1\.weight has the shape \(4, 3, 7, 7\), expected"):
        frankmocap.convert(checkpoint, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    narrow = checkpoints.shapes_of(spin_state())
    monkeypatch.setattr(frankmocap, "published_shapes", lambda: narrow)
    assert frankmocap.convert(checkpoint, tmp_path / "out.safetensors") == checkpoints.checksum(
        narrow
    )
    converted = frankmocap.load_network(tmp_path / "out.safetensors").state_dict()
    for name, value in frankmocap.load_network(checkpoint).state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(converted[name], value), name
    with pytest.raises(BadInput, match=r"must end in \.safetensors"):
        frankmocap.convert(checkpoint, tmp_path / "out.pt")


def test_conversion_script_ends_in_a_sentence(checkpoint, tmp_path, capsys):
    script = REPOSITORY / "scripts" / "convert_spin_checkpoint.py"
    main = runpy.run_path(str(script))["main"]
    assert main([str(checkpoint), str(tmp_path / "out.safetensors")]) == 2
    assert "conv1.weight has the shape (4, 3, 7, 7), expected (64, 3" in capsys.readouterr().err
    assert main([]) == 2
    assert "CHECKPOINT.pt OUTPUT.safetensors" in capsys.readouterr().err


def test_checksum_by_hand():
    import hashlib

    lines = "a.weight 2x3\nb scalar\n"
    shapes = {"b": (), "a.weight": (2, 3), "a.num_batches_tracked": ()}
    assert checkpoints.checksum(shapes) == hashlib.sha256(lines.encode()).hexdigest()


def test_crop_by_hand():
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    # side 1.2 * 100 = 120 around (110, 160): corners (50, 100), (170, 220)
    crop = spin_crop(image, np.array([90, 110, 130, 210]))
    assert crop.side == 120
    assert crop.centre.tolist() == [110, 160]
    np.testing.assert_array_equal(crop.pixels, cv2.resize(image[100:220, 50:170], (224, 224)))


def test_crop_at_its_own_size_is_the_image_with_zeros_around():
    image = np.full((200, 150, 3), 7, np.uint8)
    box = np.array([0, 0, 100, 224 / 1.2])  # side 224 around (50, 93.33): corner (-62, -18)
    crop = spin_crop(image, box)
    assert (crop.side, crop.centre.tolist()) == (223, [-62 + 111.5, -18 + 111.5])
    plain = np.zeros((223, 224, 3), np.uint8)  # to (162, 205): cutting leaves 224 by 223
    plain[18:218, 62:212] = 7
    np.testing.assert_array_equal(crop.pixels, cv2.resize(plain, (224, 224)))


@settings(max_examples=40, deadline=None)
@given(
    corner=st.tuples(st.floats(-80, 300), st.floats(-80, 200)),
    size=st.tuples(st.floats(30, 250), st.floats(30, 250)),
)
def test_crop_is_the_images_pixels_between_the_cut_corners(corner, size):
    """Pixel by pixel, width and height cut apart."""
    image = np.random.default_rng(0).integers(1, 255, (300, 400, 3), np.uint8)
    crop = spin_crop(image, np.array([*corner, corner[0] + size[0], corner[1] + size[1]]))
    middle = [corner[at] + size[at] / 2 for at in range(2)]
    half = 1.2 * max(size) / 2
    (left, right), (top, bottom) = ((int(m - half), int(m + half)) for m in middle)
    plain = np.zeros((bottom - top, right - left, 3), np.uint8)
    for row in range(max(top, 0), min(bottom, 300)):
        for column in range(max(left, 0), min(right, 400)):
            plain[row - top, column - left] = image[row, column]
    if not plain.any():
        assert crop is None
        return
    np.testing.assert_array_equal(crop.pixels, cv2.resize(plain, (224, 224)))
    assert crop.side == bottom - top
    assert crop.centre.tolist() == [left + crop.side / 2, top + crop.side / 2]


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 20, 26],  # side 19.2
        [10, 10, 10, 10],
        [500, 10, 600, 200],  # outside
        [np.nan, 10, 30, 200],
    ],
)
def test_crops_that_cannot_be_used_are_none(box):
    assert spin_crop(np.zeros((100, 100, 3), np.uint8), np.array(box)) is None


def test_crop_is_normalised_as_published():
    crop = spin_crop(np.full((100, 100, 3), (255, 0, 51), np.uint8), np.array([40, 40, 60, 60]))
    value = normalised([crop], "cpu")[0, :, 100, 100]
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_large_image_and_many_persons_in_bounded_chunks(small_body):
    image = np.zeros((4000, 5000, 3), np.uint8)
    image[1000:2000] = 200
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 3000, (50, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 990, (50, 2))], 1).astype(np.float32)
    seen = []

    def network(crops):
        seen.append(len(crops))
        eye = torch.eye(3).expand(len(crops), 24, 3, 3)
        return Prediction(eye, torch.zeros(len(crops), 10), crops.mean((2, 3)))

    regressor = CropRegressor(network, spin_crop, small_body, "cpu", 8)
    tiny = np.zeros((1, 1, 3), np.uint8)
    found = regressor.regress(
        [image_of(image), image_of(tiny), image_of(image)],
        [boxes, np.array([[0, 0, 1, 1]]), np.zeros((0, 4))],
    )
    assert [len(of_image) for of_image in found] == [50, 1, 0]
    assert found[1] == [TOO_SMALL]
    assert max(seen) == 8
    assert sum(seen) == sum(isinstance(person, Person) for person in found[0])
    for person, box in zip(found[0], boxes, strict=True):
        if isinstance(person, Person):
            np.testing.assert_array_equal(person.box, box)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    camera=st.tuples(st.floats(0.1, 3), st.floats(-1, 1), st.floats(-1, 1)),
    box=st.tuples(st.floats(0, 300), st.floats(0, 300), st.floats(30, 400), st.floats(30, 400)),
)
def test_joints_are_those_of_the_weak_camera(small_body, seed, camera, box):
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.special_gramschmidt(torch.randn(1, 24, 3, 2, generator=generator))
    betas = torch.randn(1, 10, generator=generator)

    def network(crops):
        return Prediction(rotations, betas, torch.tensor([camera]))

    left, top, width, height = box
    boxes = np.array([[left, top, left + width, top + height]], np.float32)
    image = image_of(np.full((400, 500, 3), 90, np.uint8))
    person = CropRegressor(network, spin_crop, small_body, "cpu", 4).regress([image], [boxes])[0][0]
    # what the record says, and nothing else, leads to its joints: pixel by pixel as in the appendix
    posed = small_body.pose(torch.from_numpy(person.pose), torch.from_numpy(person.betas)).joints
    s, tx, ty = person.camera
    corner = person.crop_centre - person.crop_side / 2
    in_crop = 112 * (s * posed[:, :2].numpy() + [tx, ty]) + 112
    np.testing.assert_allclose(
        person.joints, corner + in_crop * person.crop_side / 224, atol=1e-2, rtol=1e-4
    )
    np.testing.assert_allclose(
        person.joints,
        project_weak(
            posed,
            torch.from_numpy(person.camera),
            torch.from_numpy(person.crop_centre),
            torch.tensor(person.crop_side),
        ),
        atol=1e-2,
        rtol=1e-4,
    )


def test_adapter_sees_the_image_and_its_weights(checkpoint, small_body, tmp_path):
    rng = np.random.default_rng(3)
    images = [image_of(rng.integers(0, 255, (240, 200, 3), np.uint8)) for _ in range(2)]
    boxes = [np.array([[20, 20, 120, 220], [5, 5, 9, 9]]), np.array([[60, 30, 180, 200]])]

    def regress(path):
        regressor = frankmocap.load("frankmocap-eft", str(path), tmp_path, "cpu", body=small_body)
        return regressor.regress(images, boxes)

    first, again = regress(checkpoint), regress(checkpoint)
    other = regress(save_tiny_spin_checkpoint(tmp_path / "other.pt", seed=5))
    assert first[0][1] == TOO_SMALL
    person = first[0][0]
    shapes = {name: np.shape(value) for name, value in vars(person).items()}
    assert shapes == {
        "box": (4,),
        "pose": (24, 3),
        "betas": (10,),
        "camera": (3,),
        "crop_centre": (2,),
        "crop_side": (),
        "joints": (24, 2),
    }
    assert all(np.isfinite(value).all() for value in vars(person).values())
    np.testing.assert_array_equal(person.pose, again[0][0].pose)
    assert np.abs(person.pose - other[0][0].pose).max() > 1e-3
    assert np.abs(person.pose - first[1][0].pose).max() > 1e-6
    alone = frankmocap.load("frankmocap-eft", str(checkpoint), tmp_path, "cpu", body=small_body)
    np.testing.assert_allclose(
        alone.regress(images[1:], boxes[1:])[0][0].pose, first[1][0].pose, atol=1e-5
    )
