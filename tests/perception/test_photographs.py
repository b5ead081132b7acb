from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from chorus.errors import BadInput
from chorus.perception.photographs import upright_rgb

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


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
    assert upright_rgb(content, 30, 20) == (content, suffix, 30, 20)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    made = upright_rgb(stored(RGB, kind, mode=mode), 30, 20)
    assert made.suffix == ".png"
    expected = np.asarray(Image.fromarray(RGB).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(pixels_of(made.content), expected)


def test_sixteen_bits_are_scaled():
    grey = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    shown = pixels_of(upright_rgb(stored(grey), 30, 20).content)
    np.testing.assert_allclose(shown[..., 0], grey / 257, atol=0.51)


def test_other_formats_become_png_without_loss():
    made = upright_rgb(stored(RGB, "BMP"), 30, 20)
    np.testing.assert_array_equal(pixels_of(made.content), RGB)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_quarter_turns_follow_the_annotations(orientation):
    content = stored(RGB, "PNG", orientation)
    as_stored = upright_rgb(content, 30, 20)
    np.testing.assert_array_equal(pixels_of(as_stored.content), RGB)
    turned = pixels_of(upright_rgb(content, 20, 30).content)
    if orientation == 6:  # the tag of a camera turned clockwise
        np.testing.assert_array_equal(turned, np.rot90(RGB, -1))
    assert turned.shape == (30, 20, 3)


@pytest.mark.parametrize(("orientation", "size"), [(3, (20, 30)), (2, (20, 30)), (6, (20, 20))])
def test_turns_that_the_size_does_not_tell_are_refused(orientation, size):
    content = stored(RGB[: size[0], : size[1]], "JPEG", orientation)
    with pytest.raises(BadInput, match=f"EXIF orientation {orientation}"):
        upright_rgb(content, size[1], size[0])


@pytest.mark.parametrize("content", [b"", b"GIF", stored(RGB, "JPEG")[:-300], stored(RGB)[:90]])
def test_damaged_files_are_refused(content):
    with pytest.raises(BadInput, match="not a whole image"):
        upright_rgb(content, 30, 20)


@pytest.mark.parametrize("orientation", [1, 6])
def test_another_size_is_refused(orientation):
    with pytest.raises(BadInput, match="its annotations are of 60 x 40"):
        upright_rgb(stored(RGB, "JPEG", orientation), 60, 40)


def test_a_single_pixel():
    assert pixels_of(upright_rgb(stored(RGB[:1, :1]), 1, 1).content).shape == (1, 1, 3)
