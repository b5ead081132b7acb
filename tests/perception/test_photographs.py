"""Photographs of all kinds that cameras, scanners and programs write."""

from __future__ import annotations

import io
import struct
import sys
import types
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from chorus.errors import BadInput
from chorus.perception.photographs import scaled_size, stored_size, upright_rgb
from chorus.records.image_files import is_whole

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
SMOOTH = np.stack([*np.mgrid[:80, :120] * 2, np.full((80, 120), 90)], -1).astype(np.uint8)


def stored(pixels: np.ndarray, kind: str = "PNG", orientation: int = 1, mode=None) -> bytes:
    image = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = io.BytesIO()
    image.save(written, kind, **({"exif": exif} if orientation != 1 else {}))
    return written.getvalue()


def pixels_of(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    assert image.mode == "RGB" and image.getexif().get(0x0112, 1) == 1
    return np.asarray(image)


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")])
def test_plain_photographs_keep_their_bytes(kind, suffix):
    content = stored(RGB, kind)
    assert upright_rgb(content, (30, 20)) == (content, suffix, 30, 20)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    made = upright_rgb(stored(RGB, kind, mode=mode), (30, 20))
    assert made.suffix == ".png"
    expected = np.asarray(Image.fromarray(RGB).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(pixels_of(made.content), expected)


def test_sixteen_bits_are_scaled():
    grey = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    shown = pixels_of(upright_rgb(stored(grey), (30, 20)).content)
    np.testing.assert_allclose(shown[..., 0], grey / 257, atol=0.51)


def test_other_formats_become_png_without_loss():
    made = upright_rgb(stored(RGB, "BMP"), (30, 20))
    np.testing.assert_array_equal(pixels_of(made.content), RGB)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_quarter_turns_follow_the_annotations(orientation):
    content = stored(RGB, "PNG", orientation)
    as_stored = upright_rgb(content, (30, 20))
    np.testing.assert_array_equal(pixels_of(as_stored.content), RGB)
    turned = pixels_of(upright_rgb(content, (20, 30)).content)
    if orientation == 6:  # the tag of a camera turned clockwise
        np.testing.assert_array_equal(turned, np.rot90(RGB, -1))
    assert turned.shape == (30, 20, 3)


@pytest.mark.parametrize(("orientation", "size"), [(3, (20, 30)), (2, (20, 30)), (6, (20, 20))])
def test_turns_that_the_size_does_not_tell_are_refused(orientation, size):
    content = stored(RGB[: size[0], : size[1]], "JPEG", orientation)
    with pytest.raises(BadInput, match=f"EXIF orientation {orientation}"):
        upright_rgb(content, (size[1], size[0]))


@pytest.mark.parametrize("content", [b"", b"GIF", stored(RGB, "JPEG")[:-300], stored(RGB)[:90]])
def test_damaged_files_are_refused(content):
    with pytest.raises(BadInput, match="not a whole image"):
        upright_rgb(content, (30, 20))


@pytest.mark.parametrize("orientation", [1, 6])
def test_another_size_is_refused(orientation):
    with pytest.raises(BadInput, match="its annotations are of 60 x 40"):
        upright_rgb(stored(RGB, "JPEG", orientation), (60, 40))


def test_a_single_pixel():
    assert pixels_of(upright_rgb(stored(RGB[:1, :1]), (1, 1)).content).shape == (1, 1, 3)


# Photographs without annotations: nothing says what size they must have.


@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_annotations_every_turn_is_applied(orientation):
    made = upright_rgb(stored(RGB, "PNG", orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(stored(RGB, "PNG", orientation))))
    np.testing.assert_array_equal(pixels_of(made.content), np.asarray(expected))
    assert (made.width, made.height) == expected.size


def test_a_turned_jpeg_stays_a_jpeg_unless_its_pixels_are_annotated():
    content = stored(SMOOTH, "JPEG", 6)
    alone = upright_rgb(content)
    assert alone.suffix == ".jpg" and (alone.width, alone.height) == (80, 120)
    expected = np.rot90(np.asarray(Image.open(io.BytesIO(content))), -1).astype(int)
    assert np.abs(pixels_of(alone.content) - expected).max() <= 6
    annotated = upright_rgb(content, (80, 120))
    assert annotated.suffix == ".png"
    np.testing.assert_array_equal(pixels_of(annotated.content), expected)


def exif(orientation: bytes, kind: int, count: int) -> bytes:
    """EXIF data of an orientation and of a resolution that lies beyond its end."""
    fields = struct.pack("<HHI", 0x0112, kind, count) + orientation
    fields += struct.pack("<HHII", 0x011A, 10, 1, 9999)
    head = b"Exif\0\0II*\0\x08\0\0\0"
    return head + struct.pack("<H", 2) + fields + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        (exif(struct.pack("<HH", 6, 0), 3, 1), (20, 30)),  # a number, as it should be
        (exif(b"6\0\0\0", 2, 2), (20, 30)),  # as text
        (exif(b"top\0", 2, 4), (30, 20)),
        (exif(struct.pack("<HH", 77, 0), 3, 1), (30, 20)),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", (30, 20)),
        (b"Exif\0\0nothing of the kind", (30, 20)),
    ],
)
def test_tags_that_cannot_be_read_count_as_absent(tags, size):
    written = io.BytesIO()
    Image.fromarray(RGB).save(written, "JPEG", exif=tags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        each = upright_rgb(written.getvalue()), upright_rgb(written.getvalue(), size)
    for made in each:
        assert (made.width, made.height) == size
        decoded = cv2.imdecode(np.frombuffer(made.content, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (*size[::-1], 3)  # nor does the reader of the tree turn it


def test_what_a_camera_appends_to_a_jpeg_is_left_out():
    content = stored(SMOOTH, "JPEG") + b"film" * 100
    made = upright_rgb(content)
    assert is_whole(np.frombuffer(made.content, np.uint8)) and made.content != content
    made = upright_rgb(content, (120, 80))
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(pixels_of(made.content), expected)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 20_000))
def test_scaled_sizes_keep_proportions_and_the_bound(width, height, most):
    new = scaled_size((width, height), most)
    assert min(new) == 1 or new[0] * new[1] <= most
    assert new == (width, height) or width * height > most
    shrink = min(1, (most / (width * height)) ** 0.5)
    assert all(abs(now - old * shrink) <= 1 for now, old in zip(new, (width, height), strict=True))


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".png")])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_photographs_are_scaled_down(kind, suffix, orientation):
    made = upright_rgb(stored(SMOOTH, kind, orientation), most_pixels=2400)
    assert made.suffix == suffix
    turned = np.rot90(SMOOTH, -1) if orientation == 6 else SMOOTH
    expected = turned.reshape(turned.shape[0] // 2, 2, turned.shape[1] // 2, 2, 3).mean((1, 3))
    found = pixels_of(made.content)
    assert found.shape == expected.shape == (made.height, made.width, 3)
    assert np.abs(found - expected).mean() < 2
    whole = upright_rgb(stored(SMOOTH, kind, orientation), turned.shape[1::-1], 2400)
    assert (whole.height, whole.width) == turned.shape[:2]  # annotated pixels stay


def test_a_panorama_keeps_its_length():
    made = upright_rgb(stored(np.tile(SMOOTH[:40], (1, 50, 1)), "JPEG"), most_pixels=60_000)
    assert made.width / made.height == pytest.approx(150, rel=0.06)
    assert 50_000 < made.width * made.height <= 60_000


def test_fifty_megapixels():
    content = stored(np.zeros((6144, 8192, 3), np.uint8), "JPEG")
    made = upright_rgb(content, most_pixels=2_000_000)
    assert made.width * made.height <= 2_000_000 and made.width == 1632


def test_more_pixels_than_are_read_are_told(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadInput, match="more than the 200 pixels"):
        upright_rgb(stored(RGB, "JPEG"))


# Brightness.


def tiff(values: np.ndarray) -> bytes:
    return cv2.imencode(".tiff", values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
@pytest.mark.parametrize(
    ("brightest", "kind", "white"),
    [
        (1.0, np.float32, 1.0),
        (0.4, np.float32, 1.0),
        (2.5, np.float32, 1.0),  # highlights
        (255, np.float32, 255),
        (65535, np.float32, 65535),
        (255, np.uint16, 255),
        (1023, np.uint16, 1023),
        (4095, np.uint16, 4095),
        (16383, np.uint16, 16383),
        (65535, np.uint16, 65535),
    ],
)
def test_brightness_of_any_range(shape, brightest, kind, white):
    values = np.linspace(0, brightest, np.prod(shape)).reshape(shape).astype(kind)
    found = pixels_of(upright_rgb(tiff(values)).content)
    expected = np.clip(values.astype(float) / white, 0, 1) * 255
    if values.ndim == 2:
        expected = np.repeat(expected[..., None], 3, -1)
    np.testing.assert_allclose(found, expected, atol=0.51)


@pytest.mark.parametrize("alpha", [False, True])
def test_deep_colours_of_png(alpha):
    values = np.linspace(0, 4095, 20 * 30 * 3).reshape(20, 30, 3).astype(np.uint16)
    bands = [values[..., ::-1], np.full((20, 30, 1), 65535, np.uint16)][: 1 + alpha]
    content = cv2.imencode(".png", np.concatenate(bands, -1))[1].tobytes()
    found = pixels_of(upright_rgb(content, (30, 20)).content)
    np.testing.assert_allclose(found, values / 4095 * 255, atol=0.51)


def test_numbers_that_are_none_are_black():
    values = np.full((20, 30), 0.5, np.float32)
    values[0] = np.nan
    values[1] = -3
    values[2] = np.inf
    found = pixels_of(upright_rgb(tiff(values)).content)[..., 0]
    assert not found[:3].any() and (found[3:] == 128).all()
    assert not pixels_of(upright_rgb(tiff(values * np.nan)).content).any()


# Kinds that need a decoder, and what is none.

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_heic_without_its_decoder_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for call in (upright_rgb, stored_size):
        with pytest.raises(BadInput, match="pip install pillow-heif"):
            call(HEIC)


def test_heic_is_read_with_its_decoder(monkeypatch):
    """A stand-in for the package registers a decoder with Pillow, as the real one does."""

    class Decoder(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (30, 20), "RGB"
            self.im, self.tile = Image.fromarray(RGB).im, []

    def register():
        Image.register_open("HEIF", Decoder, lambda head: head[4:8] == b"ftyp")

    stand_in = types.SimpleNamespace(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", stand_in)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    Image.init()
    assert stored_size(HEIC) == (30, 20)
    alone, annotated = upright_rgb(HEIC), upright_rgb(HEIC, (30, 20))
    assert (alone.suffix, annotated.suffix) == (".jpg", ".png")
    np.testing.assert_array_equal(pixels_of(annotated.content), RGB)


def test_what_is_no_image_is_told_without_an_address_in_memory():
    for content in (b"some text", b"II*\0" + bytes(30), stored(RGB, "TIFF")[:300]):
        with pytest.raises(BadInput, match="not a whole image") as told:
            upright_rgb(content)
        assert "0x" not in str(told.value)
