"""MediaPipe's hands: decoding and regions by hand; the published networks on photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chorus.cli import main
from chorus.errors import BadInput, Unavailable
from chorus.hands import mediapipe_hands
from chorus.hands.joints import places
from chorus.hands.mediapipe_hands import FoundHand, MediapipeHands, different_hands
from chorus.hands.mediapipe_network import _PALM_LAYERS, PALM_SIDE, HandLandmarkNetwork
from chorus.models import wheels
from chorus.models.registry import HAND_WEIGHTS, named_weights
from chorus.perception.blazepose_decoding import anchors, decode_candidates
from chorus.perception.blazepose_squares import Square

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def hand_imports(tmp_path_factory) -> Path:
    """An imports folder with the published networks: this checkout's, else fetched once."""
    pytest.importorskip("ai_edge_litert", reason="the extra pocket is not installed")
    own = REPOSITORY / "imports"
    if all((own / weight.destination).is_file() for weight in HAND_WEIGHTS.values()):
        return own
    folder = tmp_path_factory.mktemp("imports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_RETRIES", "0")
        try:
            for weight in HAND_WEIGHTS.values():
                wheels.fetch(weight, folder, folder)
        except Unavailable as error:
            pytest.skip(f"MediaPipe's networks: {error}")
    return folder


@pytest.fixture(scope="session")
def networks(hand_imports) -> MediapipeHands:
    return MediapipeHands(hand_imports)


def photograph(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name).convert("RGB"))


def test_anchors_of_palms():
    centres = anchors(PALM_SIDE, _PALM_LAYERS)
    assert centres.shape == (2016, 2)
    np.testing.assert_allclose(centres[0], [0.5 / 24, 0.5 / 24])
    assert (centres[0] == centres[1]).all()  # two a cell of the finer grid
    np.testing.assert_allclose(centres[2 * 24 * 24], [0.5 / 12, 0.5 / 12])
    np.testing.assert_allclose(centres[-1], [11.5 / 12, 11.5 / 12])


def test_a_palm_by_hand():
    boxes, logits = np.zeros((2016, 18)), np.full((2016, 1), -50.0)
    logits[0] = 2.0
    boxes[0, :4] = [4.0, -4.0, 19.2, 38.4]
    boxes[0, 4:6] = [9.6, 0.0]
    found = decode_candidates(boxes, logits, 0.5, PALM_SIDE, _PALM_LAYERS)
    x, y = 4 / 192 + 0.5 / 24, -4 / 192 + 0.5 / 24
    np.testing.assert_allclose(found.boxes, [[x - 0.05, y - 0.1, x + 0.05, y + 0.1]])
    assert found.points.shape == (1, 7, 2)
    np.testing.assert_allclose(found.points[0, 0], [0.05 + 0.5 / 24, 0.5 / 24])


@pytest.mark.parametrize(
    ("knuckle", "angle", "centre"),
    [((0.5, 0.4), 0, (50, 45)), ((0.6, 0.5), np.pi / 2, (55, 50)), ((0.5, 0.6), np.pi, (50, 55))],
)
def test_the_region_of_a_palm_by_hand(knuckle, angle, centre):
    square = Square(50, 50, 100)
    points = np.full((7, 2), 0.5)
    points[2] = knuckle
    region = mediapipe_hands.palm_region(square, np.array([0.45, 0.45, 0.55, 0.55]), points)
    assert region.side == pytest.approx(26) and abs(region.angle) == pytest.approx(angle)
    assert (region.x, region.y) == pytest.approx(centre)


def upright() -> np.ndarray:
    """Landmarks of a hand that points up: the box about palm and middle joints is 40 x 60."""
    pixels = np.full((21, 2), [100.0, 100.0])
    pixels[0] = [100, 130]
    for name, at in (("index1", (90, 90)), ("middle1", (100, 90)), ("ring1", (110, 90))):
        pixels[places([name])] = at
    pixels[places(["thumb3"])] = [80, 100]
    pixels[places(["pinky1"])] = [120, 100]
    pixels[places(["middle2"])] = [100, 70]
    pixels[places(["middle_tip"])] = [100, 0]  # fingertips do not count
    return pixels


@given(st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_the_region_of_a_hand_turns_with_it(angle):
    plain = mediapipe_hands.hand_region(upright())
    assert plain.side == pytest.approx(120) and (plain.x, plain.y) == pytest.approx((100, 94))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = mediapipe_hands.hand_region(upright() @ turn.T)
    assert turned.side == pytest.approx(120)
    assert np.cos(turned.angle - angle) == pytest.approx(1)
    np.testing.assert_allclose([turned.x, turned.y], turn @ [100, 94], atol=1e-6)


def found(shift: float = 0.0, presence: float = 1.0, side: str = "right") -> FoundHand:
    moved = upright() + np.array([shift, 0])
    pixels = np.concatenate([moved, np.zeros((21, 1))], axis=1)
    return FoundHand(pixels, np.zeros((21, 3)), side, 1.0, presence, 1.0)


def test_a_hand_found_twice_counts_once_and_crossed_hands_twice():
    best, again, beside = found(0), found(10, 0.95, "left"), found(40, 0.9, "left")
    kept = different_hands([beside, again, best])
    assert kept == [best, beside]
    assert different_hands([]) == []


def test_hands_of_photographs(networks, photographs):
    (one,) = networks.find_hands(photograph(photographs, "phone_pexels_15732209.jpg"))
    assert one.side == "right" and one.side_score > 0.95
    assert (np.abs(one.box - [130, 254, 168, 337]) < 8).all()
    length = np.linalg.norm(one.world[places(["middle1"])] - one.world[places(["wrist"])])
    assert 0.07 < length < 0.12
    both = networks.find_hands(photograph(photographs, "barbell_pexels_4793258.jpg"))
    assert {hand.side: hand.box[0] < 360 for hand in both} == {"left": True, "right": False}


def test_a_mirrored_photograph_has_the_other_hand(networks, photographs):
    pixels = photograph(photographs, "phone_pexels_15732209.jpg")
    one = networks.find_hands(np.ascontiguousarray(pixels[:, ::-1]))[0]
    assert one.side == "left" and one.box[0] > 300


def test_an_image_without_hands_and_tiny_ones(networks):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    assert networks.find_hands(noise) == []
    for shape in ((1, 1), (1, 900), (19, 40), (64, 64)):
        assert networks.find_hands(np.zeros((*shape, 3), np.uint8)) == []


def test_a_hand_cut_by_the_border(networks, photographs):
    pixels = photograph(photographs, "phone_pexels_15732209.jpg")[:, 150:]
    for hand in networks.find_hands(np.ascontiguousarray(pixels)):
        assert np.isfinite(hand.landmarks).all()


def test_the_command(hand_imports, photographs, tmp_path, capsys):
    name = "phone_pexels_15732209.jpg"
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    words = ["hands", str(photographs / name), str(tmp_path / "broken.jpg"), "--out",
             str(tmp_path / "seen"), "--imports_dir", str(hand_imports)]  # fmt: skip
    assert main(words) == 1
    said = capsys.readouterr()
    assert "1 hands in 1 of 2 photographs" in said.out and "broken.jpg" in said.err
    record = json.loads((tmp_path / "seen" / f"{name}.json").read_text())
    (hand,) = record["hands"]
    assert hand["side"] == "right" and np.shape(hand["pose"]) == (16, 3)
    with np.load(tmp_path / "seen" / f"{name}.npz") as stored:
        joints, K = stored["joints"][0], stored["K"][0]
        pixels = (joints @ K.T)[:, :2] / joints[:, 2:]
        off = np.linalg.norm(pixels - stored["landmarks"][0][:, :2], axis=1)
        assert off.mean() < 0.06 * 83 and stored["vertices"].shape == (1, 1609, 3)
    drawn = photograph(tmp_path / "seen", f"{name}.hands.jpg")
    plain = photograph(photographs, name)
    assert drawn.shape == plain.shape
    assert np.abs(drawn[254:337, 130:168].astype(int) - plain[254:337, 130:168]).mean() > 5


def test_a_photograph_without_hands_is_said(hand_imports, tmp_path, capsys):
    Image.new("RGB", (200, 200)).save(tmp_path / "black.png")
    words = ["hands", str(tmp_path / "black.png"), "--out", str(tmp_path / "seen")]
    assert main([*words, "--imports_dir", str(hand_imports)]) == 0
    assert "no hand was found in black.png" in capsys.readouterr().err
    assert json.loads((tmp_path / "seen/black.png.json").read_text())["hands"] == []


def test_missing_and_wrong_weights_are_named(tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(Unavailable, match="chorus download mediapipe-hands"):
        MediapipeHands(tmp_path)
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")
    assert main(["hands", str(tmp_path / "a.png"), "--imports_dir", str(tmp_path)]) == 2
    (tmp_path / "a.tflite").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is not a network that LiteRT reads"):
        HandLandmarkNetwork(tmp_path / "a.tflite")


def test_the_palm_network_in_the_landmarks_place_is_named(hand_imports):
    palms = hand_imports / HAND_WEIGHTS["mediapipe-palms"].destination
    with pytest.raises(BadInput, match="is not the network of mediapipe-hands"):
        HandLandmarkNetwork(palms)


def test_the_profile_pocket_brings_them():
    assert set(HAND_WEIGHTS) <= set(named_weights(["pocket"]))
    assert named_weights(["mediapipe-hands"]) == list(HAND_WEIGHTS)


def test_photographs_and_evaluation_sets_exclude_each_other(capsys):
    assert main(["hands", "a.jpg", "--exp_cfg", "b.yaml"]) == 2
    assert "--exp_cfg is for evaluation sets" in capsys.readouterr().err
