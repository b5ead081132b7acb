"""Stills, turntables and contact sheets."""

from __future__ import annotations

from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from viewing_samples import box_body, displayed, empty_distribution

from chorus.errors import BadInput
from chorus.files import replacing
from chorus.viewing import turntable as turntables
from chorus.viewing.contact_sheet import (
    DROPPED,
    HEAD,
    MARGIN,
    OBJECT_TINT,
    RETAINED,
    FittedBody,
    Tile,
    contact_sheet,
    tinted,
    write_contact_sheet,
)
from chorus.viewing.displayed import PAPERS_RECIPE, DisplayedBody, DisplayedDistribution
from chorus.viewing.figures import figure, still
from chorus.viewing.lettering import ALERT_INK, printable, shorten, typeface
from chorus.viewing.scene import ColourScale, View, compose, frame


def test_still_is_a_png_with_the_distribution_in_every_view(tmp_path):
    path = still(displayed(), box_body(), tmp_path / "deep" / "still.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    with_it, without = pixels, figure(empty_distribution(), box_body()).astype(int)
    assert with_it.shape == without.shape
    third = with_it.shape[1] // 3
    for panel in range(3):
        part = with_it[200:, panel * third : (panel + 1) * third - 200]
        colourful = (part.max(2) - part.min(2)) > 60
        assert colourful.mean() > 0.005
    assert [p.name for p in tmp_path.rglob("*.*")] == ["still.png"]


def test_empty_distribution_says_so():
    pixels = figure(empty_distribution(), box_body())
    assert (pixels == ALERT_INK).all(2).sum() > 100
    assert not (figure(displayed(), box_body()) == ALERT_INK).all(2).any()


def test_threshold_above_the_peak_draws_the_body_alone():
    assert compose(displayed(), box_body(), threshold=0.95).shells == ()


def test_views_hold_everything():
    composition = compose(displayed(), box_body())
    for view in frame(composition, [View(20), View(110, 30), View(300, -10)], aspect=0.5):
        R, t, K = view.camera(composition, 100, 200)
        camera = composition.outline @ R.T + t
        pixels = camera @ K.T / camera[:, 2:]
        assert (pixels[:, :2] >= 0).all() and (pixels[:, :2] <= (100, 200)).all()


def test_azimuth_of_a_view_follows_the_conventions():
    composition = compose(displayed(), box_body())
    for azimuth, direction in ((0, (1, 0, 0)), (90, (0, 0, 1)), (270, (0, 0, -1))):
        R, t, _ = View(azimuth, 0).camera(composition, 10, 10)
        away = -R.T @ t - composition.centre
        np.testing.assert_allclose(away / np.linalg.norm(away), direction, atol=1e-9)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1)


@pytest.mark.parametrize(
    ("peak", "top"), [(0.0, 0.05), (0.31, 0.35), (0.8, 0.8), (0.999, 1.0), (1.0, 1.0)]
)
def test_colour_scale_ends_just_above_the_peak(peak, top):
    scale = ColourScale(peak)
    assert scale.top == pytest.approx(top)
    assert 4 <= len(scale.ticks) <= 6 and scale.ticks[-1] <= top + 1e-9


@pytest.mark.parametrize(
    "grid",
    [np.zeros((4, 4, 5)), np.full((4, 4, 4), np.nan), np.full((4, 4, 4), 1.5), np.zeros((4, 4))],
)
def test_bad_grids_are_refused(grid):
    with pytest.raises(BadInput, match=r"distribution|probabilities"):
        DisplayedDistribution(grid, "surfboard", "x")


def test_bad_bodies_are_refused():
    body = box_body()
    with pytest.raises(BadInput, match="faces"):
        DisplayedBody(body.vertices[:5], body.faces)
    with pytest.raises(BadInput, match="vertices"):
        DisplayedBody(body.vertices[:, :2], body.faces)


def test_a_distribution_as_it_is_displayed():
    counts = SimpleNamespace(members=np.array([3, 4]))
    distribution = SimpleNamespace(
        probability=np.full((4, 4, 4), 0.5),
        seen=np.arange(64).reshape(4, 4, 4),
        grid=SimpleNamespace(side=2.0),
        category="surfboard",
        prompt="x",
        part="",
        metadata={},
        counts=counts,
    )
    shown = DisplayedDistribution.of(distribution, facts=[("a", "b")])
    assert (shown.samples, shown.side, shown.part) == (7, 2.0, "all")
    distribution.metadata = {"members": 100}
    shown = DisplayedDistribution.of(distribution)
    assert shown.samples == 100
    np.testing.assert_array_equal(shown.probability > 0, distribution.seen >= 20)


def test_names_in_words():
    assert displayed(part="rightArm").label == "A person balances on a surfboard (right arm)"
    assert displayed(prompt="total-aggregation").title == "surfboard: all prompts"
    assert displayed(samples=1).samples_label == "1 retained sample, too few to rely on"
    assert displayed(samples=20).samples_label == "20 retained samples"
    assert displayed(samples=None).samples_label == ""
    assert displayed(estimate="evidence").estimate_label == "estimate: evidence"
    assert displayed(estimate=PAPERS_RECIPE).estimate_label == "estimate: paper's recipe"
    assert displayed().estimate_label == ""


def test_turntable_plays_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(turntables, "SECONDS", 1)
    path = turntables.turntable(displayed(), box_body(), tmp_path / "turn.mp4")
    frames = iio.imread(path, plugin="FFMPEG")
    assert frames.shape == (20, 640, 640, 3)
    facts = iio.immeta(path, plugin="FFMPEG")
    assert facts["codec"] == "h264" and facts["pix_fmt"].startswith("yuv420p")
    # it turns, and ends a step before its start
    assert np.abs(frames[0].astype(int) - frames[5]).mean() > 1
    step = np.abs(frames[0].astype(int) - frames[1]).mean()
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() < 2 * step
    assert path.stat().st_size < 500_000
    assert [p.name for p in tmp_path.iterdir()] == ["turn.mp4"]


def test_a_failed_picture_leaves_what_was_there(tmp_path):
    path = tmp_path / "still.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise RuntimeError("disk full")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_turntable_of_an_empty_distribution(tmp_path, monkeypatch):
    monkeypatch.setattr(turntables, "SECONDS", 1)
    path = turntables.turntable(empty_distribution(), box_body(), tmp_path / "turn.mp4")
    assert iio.imread(path, plugin="FFMPEG").shape[0] == 20


def tile(**changes) -> Tile:
    settings = {
        "image": np.full((64, 64, 3), 120, dtype=np.uint8),
        "caption": "side view",
        "verdict": "retained",
        "retained": True,
        **changes,
    }
    return Tile(**settings)


def test_contact_sheet_shows_verdicts_masks_and_bodies(tmp_path):
    mask = np.zeros((64, 64), dtype=bool)
    mask[40:50, 10:50] = True
    body = box_body()
    K = np.array([[60, 0, 32], [0, 60, 32], [0, 0, 1.0]])
    fitted = FittedBody(body.vertices, body.faces, np.diag([1.0, -1, -1]), np.array([0, 0, 3.0]), K)
    tiles = [
        tile(object_mask=mask, body=fitted),
        tile(retained=False, verdict="more than one human", image=None),
        tile(object_mask=np.ones((3, 3), dtype=bool), caption="a mask that does not fit"),
    ]
    path = write_contact_sheet(
        tmp_path / "sheet.png", tiles, title="surfboard", tile_size=64, kind="cpu"
    )
    pixels = np.asarray(Image.open(path).convert("RGB"))
    for colour in (RETAINED, DROPPED):
        assert (pixels == colour).all(2).sum() > 200
    near_tint = np.abs(pixels.astype(int) - OBJECT_TINT).sum(2) < 60
    assert near_tint.sum() > 30


def outlined(object_mask: np.ndarray, body: FittedBody | None, side: int = 64) -> int:
    """Pixels of a tile of 64 pixels in the colour of the object's outline."""
    image = np.full((side, side, 3), 120, dtype=np.uint8)
    shown = tile(image=image, object_mask=object_mask, body=body)
    sheet = contact_sheet([shown], columns=1, tile_size=64)[HEAD : HEAD + 64, MARGIN : MARGIN + 64]
    return (np.abs(sheet.astype(int) - OBJECT_TINT).sum(2) < 60).sum()


def test_an_object_stays_visible_under_the_fitted_body():
    mask = np.zeros((64, 64), dtype=bool)
    mask[24:40, 24:40] = True
    body = box_body()
    K = np.array([[90, 0, 32], [0, 90, 32], [0, 0, 1.0]])
    fitted = FittedBody(body.vertices, body.faces, np.diag([1.0, -1, -1]), np.array([0, 0, 3.0]), K)
    assert outlined(mask, fitted) > 0.8 * outlined(mask, None) > 40


def test_outlines_are_as_wide_in_tiles_of_large_photographs():
    mask = np.zeros((128, 128), dtype=bool)
    mask[32:96, 32:96] = True
    large = np.kron(mask, np.ones((10, 10), dtype=bool))
    assert outlined(large, None, 1280) == pytest.approx(outlined(mask, None, 128), rel=0.1)


def test_contact_sheet_of_nothing_and_of_nonsense():
    assert contact_sheet([], title="surfboard").shape[2] == 3
    with pytest.raises(BadInput, match="column"):
        contact_sheet([tile()], columns=0)


def test_mask_is_outlined_inside_itself():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    drawn = tinted(image, mask, (200, 100, 0))
    assert (drawn[~mask] == 0).all()
    assert drawn[5, 10, 0] > 180 and 40 < drawn[10, 10, 0] < 80


def test_long_and_odd_texts_fit_their_place():
    font = typeface(20)
    assert font.getlength(shorten("word " * 100, font, 200)) <= 200
    assert printable("two\nlines\tand\x00 a \u202e turn") == "two lines and a turn"


def test_levels_are_told_apart_from_samples():
    assert displayed(samples=9, weight=30).samples_label == (
        "9 retained samples, total weight 30, too few to rely on"
    )
    assert displayed(samples=30, weight=30).samples_label == "30 retained samples"
    assert displayed(samples=None, weight=1200).samples_label == "total weight 1,200"
