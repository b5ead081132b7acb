"""The keypoint network: its published form, heat maps, decoding, training and pseudo-labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chorus.animals.accuracy import area_under_curve, camera_errors, errors, pck
from chorus.animals.annotations import read_labels
from chorus.animals.crops import after, crop_transform, square_of, warp
from chorus.animals.keypoints import MIRROR
from chorus.animals.pose.finding import TRANSFORMS, Reading, find_keypoints
from chorus.animals.pose.heat_maps import decode, heat_map_loss, targets
from chorus.animals.pose.network import KeypointNetwork, load_keypoint_network
from chorus.animals.pose.pseudo_labels import (
    confidences,
    labelled_records,
    read_transformed,
    write_transformed,
)
from chorus.animals.pose.training import PoseTraining, Split, train_keypoints
from chorus.animals.weights import write_weights
from chorus.errors import BadInput, StaleResults
from chorus.geometry.image_transforms import inverse, move_points


def test_the_network_is_the_published_one():
    network = KeypointNetwork()
    names = list(network.state_dict())
    assert len(names) == 140
    assert sum(each.numel() for each in network.parameters()) == 15_376_464
    assert {"backbone.0.weight", "backbone.7.1.bn2.bias", "head.layers.3.bias"} <= set(names)
    assert network.state_dict()["head.layers.0.0.weight"].shape == (512, 256, 4, 4)
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 16, 16, 16)


def test_weights_come_back_and_others_are_refused(tmp_path):
    network = KeypointNetwork().eval()
    prefixed = {f"module.{name}": value for name, value in network.state_dict().items()}
    write_weights(tmp_path / "w.pth", prefixed)
    back = load_keypoint_network(tmp_path / "w.pth")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(back(image), network(image))
    with pytest.raises(BadInput, match="resnet50"):
        load_keypoint_network(tmp_path / "w.pth", "resnet50")
    with pytest.raises(BadInput, match="no weights"):
        load_keypoint_network(tmp_path / "none.pth")


@settings(max_examples=40, deadline=None)
@given(st.floats(6.5, 57), st.floats(6.5, 57))
def test_exact_targets_are_decoded_exactly(x, y):
    places = torch.tensor([[[x, y]]], dtype=torch.float64)
    maps, counted = targets(places, torch.ones(1, 1, dtype=torch.bool), 16)
    assert counted.all()
    found, height = decode(maps)
    assert torch.allclose(found, places, atol=0.02)
    assert 0.7 < float(height) <= 1


def test_published_targets_peak_at_the_cell_and_are_read_too_far_left():
    places = torch.tensor([[[10.9, 21.0], [-1.0, 5.0], [63.9, 64.0]]])
    maps, counted = targets(places, torch.ones(1, 3, dtype=torch.bool), 16, "published")
    assert counted.tolist() == [[True, False, False]]
    assert maps[0, 0, 5, 2] == 1 and maps[0, 0].max() == 1
    assert float(maps[0, 0, 5, 3]) == pytest.approx(np.exp(-0.5))
    assert maps[0, 0, 5, 7] == 0 and maps[0, 0, 9, 2] > 0  # 9 x 9 cells
    found, _ = decode(maps, "published")
    assert found[0, 0].tolist() == [8, 20]


def test_the_published_reading_is_off_by_two_pixels_or_more():
    """The bias that the facts measure as -2.2 to -3.0 crop pixels."""
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.uniform(20, 230, (200, 1, 2)))
    maps, _ = targets(places, torch.ones(200, 1, dtype=torch.bool), 64, "published")
    bias = {kind: (decode(maps, kind)[0] - places).mean().item() for kind in ("published", "exact")}
    assert -3.0 < bias["published"] < -1.8 and abs(bias["exact"]) < 0.3


def test_the_loss_by_hand():
    maps, wanted = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    counted = torch.tensor([[True, False]])
    assert float(heat_map_loss(maps, wanted, counted)) == 0.5 * 4
    assert float(heat_map_loss(maps, wanted, ~torch.ones(1, 2, dtype=torch.bool))) == 0


def test_the_flip_test_exchanges_sides():
    network = KeypointNetwork().eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = network.with_flip(image)
        mirrored = network.with_flip(image.flip(-1))
    assert torch.allclose(maps.flip(-1)[:, list(MIRROR)], mirrored, atol=1e-6)


def test_crops_and_their_way_back():
    corner, side = square_of(np.array([10, 20, 40, 20]))
    assert corner.tolist() == [10, 10] and side == 40
    assert square_of(np.array([10, 20, 40, 20]), 0.05)[1] == pytest.approx(44)
    move = crop_transform(corner, side, 80)
    assert move_points(np.array([[10, 10], [50, 50]]), move).tolist() == [[0, 0], [80, 80]]
    both = after(move, move)
    points = np.array([[12.0, 34.0]])
    assert np.allclose(move_points(points, both), move_points(move_points(points, move), move))
    image = np.zeros((60, 60, 3), np.uint8)
    image[30:32, 20:22] = 255
    seen = warp(image, move, 80)
    rows, columns = np.nonzero(seen[..., 0] > 128)
    middle = move_points(np.array([[21.0, 31.0]]), move)[0]
    assert np.allclose([columns.mean() + 0.5, rows.mean() + 0.5], middle, atol=0.1)
    assert warp(image, crop_transform(np.array([100, 100]), 10, 8), 8, 255).min() == 255


class Painted(torch.nn.Module):
    """A network that finds the brightest place of each crop, for all keypoints alike."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        bright = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4)
        bright = bright - bright.amin((-1, -2), keepdim=True)
        return self.scale * bright.expand(-1, 16, -1, -1)


@pytest.fixture
def spotted(tmp_path):
    """Images of one white spot each, and their records."""
    records = []
    for number, (x, y) in enumerate([(40, 30), (70, 60), (55, 44)]):
        columns, rows = np.meshgrid(np.arange(100) + 0.5, np.arange(90) + 0.5)
        spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
        Image.fromarray(np.repeat(spot[..., None], 3, 2).astype(np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        records.append(
            {
                "img_id": str(number),
                "img_path": f"{number}.png",
                "img_bbox": [20, 10, 64, 70],
                "joints": [[x, y, 1.0]] * 16,
            }
        )
    return tmp_path, records


@pytest.mark.parametrize("transform", range(len(TRANSFORMS)))
def test_places_come_back_from_every_transform(spotted, transform):
    images, records = spotted
    for found in find_keypoints(Painted(), images, records, Reading(), transform):
        assert np.allclose(found.places, np.array(found.record["joints"])[:, :2], atol=0.7)


def test_turns_are_counter_clockwise_on_the_screen():
    from chorus.geometry.image_transforms import about

    turned = move_points(np.array([[20.0, 10.0]]), about(np.array([10.0, 10.0]), 1.0, -20.0))
    assert turned[0, 1] < 10  # what was to the right goes up


def test_what_cannot_be_looked_at_is_left_out_with_its_reason(spotted):
    images, records = spotted
    (images / "1.png").write_bytes(b"nonsense")
    records[2]["img_bbox"] = [500, 10, 30, 30]
    found = list(find_keypoints(Painted(), images, records, Reading()))
    assert [bool(each.problem) for each in found] == [False, True, True]
    assert "cannot be read" in found[1].problem and "outside" in found[2].problem
    assert len(labelled_records(found)) == 1
    with pytest.raises(BadInput, match="no image"):
        labelled_records(found[1:])


def test_confidences_by_both_ways():
    heights = np.array([[0.5, -0.1], [2.0, 1.0]])
    assert confidences(heights).tolist() == [[0.5, 0], [1, 1]]
    assert confidences(heights, "published").tolist() == [[0.25, -0.05], [1, 0.5]]
    with pytest.raises(BadInput, match="above 0"):
        confidences(-heights[:1, :1], "published")


def test_files_of_transforms_come_back(spotted, tmp_path):
    images, records = spotted
    found = [list(find_keypoints(Painted(), images, records, Reading(), t)) for t in (0, 3)]
    write_transformed(tmp_path / "horse", found)
    read, numbers = read_transformed(tmp_path / "horse")
    assert numbers == [0, 1] and set(read) == {"0", "1", "2"}
    assert np.allclose(read["1"][0, :, :2], found[0][1].places, atol=1e-3)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"augm_0.txt": "a 0 1 2 1"}, "one or more"),
        ({"augm_0.txt": "a 0 1 2", "augm_1.txt": ""}, "line 1"),
        ({"augm_0.txt": "a 16 1 2 1", "augm_1.txt": ""}, "line 1"),
        ({"augm_0.txt": "a 0 1 2 1", "augm_1.txt": ""}, "not all 16"),
    ],
)
def test_damaged_files_of_transforms_are_refused(tmp_path, files, says):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=says):
        read_transformed(tmp_path)


TINY = PoseTraining(iter=4, val_freq=9, batch_size=3, lr=1e-3, input_res=64, output_res=16)


def test_training_learns_and_goes_on_where_it_stopped(spotted, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # states of 180 MB
    images, records = spotted
    (images / "labels.json").write_text(json.dumps(records))
    split = Split(read_labels(images / "labels.json"), images)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train_keypoints([split], split, TINY, straight, "cpu", lambda _: None)
    train_keypoints([split], split, replace(TINY, iter=2), broken, "cpu", lambda _: None)
    train_keypoints([split], split, TINY, broken, "cpu", lambda _: None)
    losses, again = (
        np.genfromtxt(folder / "losses.csv", delimiter=",", names=True)["loss"]
        for folder in (straight, broken)
    )
    assert len(losses) == 4 and losses[-1] < losses[0] and np.array_equal(losses, again)
    load_keypoint_network(straight / "best_model.pth")
    with pytest.raises(StaleResults, match="lr"):
        train_keypoints([split], split, replace(TINY, lr=1e-4), broken, "cpu", lambda _: None)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"iter": 0}, "1 or more"),
        ({"batch_size": 1}, "2 or more"),
        ({"lr": 0}, "--lr"),
        ({"output_res": 60}, "quarter"),
        ({"input_res": 100, "output_res": 25}, "multiple of 32"),
    ],
)
def test_settings_of_training_are_checked(values, says):
    with pytest.raises(BadInput, match=says):
        PoseTraining(**values)


def test_accuracy_by_hand():
    joints = np.array([[[0, 0, 1], [10, 0, 1], [50, 50, 0.1]]], float)
    found = np.array([[[3, 4], [10, 10], [0, 0]]], float)
    error, counted = errors(found, joints, np.array([[0, 0, 100, 50]]))
    assert error[0, :2].tolist() == [0.05, 0.1] and counted.tolist() == [[True, True, False]]
    assert pck(error, counted, 0.05) == 50 and pck(error, counted, 0.05, strict=True) == 0
    assert area_under_curve(error, counted) == 50
    assert np.isnan(pck(error, np.zeros_like(counted), 0.1))


def test_one_visible_keypoint_is_enough():
    joints = np.zeros((1, 16, 3))
    joints[0, 4] = [10, 10, 1]
    error, counted = errors(joints[..., :2], joints, np.array([[0, 0, 20, 20]]))
    assert counted.sum() == 1 and pck(error, counted, 0.1) == 100
    places, seen = torch.from_numpy(joints[..., :2]), torch.from_numpy(joints[..., 2] > 0)
    wanted, used = targets(places, seen, 16)
    assert used.sum() == 1 and wanted[0, :4].abs().max() == 0
    assert float(heat_map_loss(0 * wanted, wanted, used)) == pytest.approx(np.pi / 2, rel=0.05)


def test_camera_errors_by_hand():
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    found = camera_errors(np.stack([np.eye(3), turned, turned @ turned]), np.stack([np.eye(3)] * 3))
    assert found == pytest.approx([0.162, 90, 180], abs=0.01)
    assert move_points(np.zeros((1, 2)), inverse(crop_transform(np.ones(2), 4, 8))).tolist() == [
        [1, 1]
    ]
