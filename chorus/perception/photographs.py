"""Photographs of any kind → image files as the results tree holds them: upright, RGB, 8 bits."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from chorus.errors import BadInput
from chorus.records.image_files import is_whole

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".hif")
)
"""How the names of image files end, in lower case."""

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
_PNG_DEPTH = 24  # where a PNG file has its bits per channel
_QUARTER_TURNS = (5, 6, 7, 8)  # orientations under which width and height are exchanged
_KEPT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_LOSSY = ("JPEG", "MPO", "HEIF")  # kinds whose pixels are not the camera's own anyway
_QUALITY = 95
_BIT_DEPTHS = (8, 10, 12, 14, 16)  # of cameras and scanners
_BRIGHTEST_OF_UNIT = 10.0  # of a float picture in which 1 is white; highlights may be above


class Photograph(NamedTuple):
    """An image file: its bytes, suffix, and size in pixels."""

    content: bytes
    suffix: str
    width: int
    height: int


def upright_rgb(
    content: bytes, size: tuple[int, int] | None = None, most_pixels: int | None = None
) -> Photograph:
    """An image file's bytes as an upright RGB file.

    JPEG, PNG and WebP files that are that already keep their bytes. Of others, grey is copied to
    three channels, transparency dropped, and more than 8 bits become 8. EXIF tags that cannot be
    read count as absent.

    size: (width, height) of the image's annotations. The pixels then stay as they are, and the file
    becomes PNG; one with an EXIF rotation is turned if the annotations have its turned size, and
    left as its pixels lie if they have that size. Without a size the rotation is applied, and an
    image of more than `most_pixels` is scaled down to them; what was JPEG or HEIC becomes JPEG.

    BadInput if the file is damaged, of a kind that cannot be read, of another size, or if the size
    cannot tell whether the annotations are turned.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd tags and many pixels, which are dealt with
        image, kind = _opened(content)
        orientation = 1 if kind == "TIFF" else _orientation(image)  # its readers turn it
        smaller = None if size else _smaller(image.size, most_pixels)
        deep = _is_deep(image, content)
        kept = kind in _KEPT and image.mode == "RGB" and not deep
        if kept and orientation == 1 and not smaller:
            _load(image)
            _check_size(image.size, size)
            if is_whole(np.frombuffer(content, np.uint8)):  # cameras append films, for example
                return Photograph(content, _KEPT[kind], *image.size)
        if smaller:
            image.draft(image.mode, smaller)  # a JPEG is decoded at an eighth if that suffices
        _load(image)
        pixels = Image.fromarray(_by_opencv(content)) if deep else _rgb(image)
    if smaller and pixels.size != smaller:
        pixels = pixels.resize(smaller, resample=Image.Resampling.LANCZOS)
    pixels = _turned(pixels, orientation or 1, size)
    _check_size(pixels.size, size)
    lossy = size is None and kind in _LOSSY
    return Photograph(_written(pixels, lossy), ".jpg" if lossy else ".png", *pixels.size)


def stored_size(content: bytes) -> tuple[int, int]:
    """Width and height of an image file as its pixels lie, from its head alone. BadInput as
    `upright_rgb`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _opened(content)[0].size


def upright_size(content: bytes) -> tuple[int, int]:
    """Width and height of an image file once its EXIF rotation is applied. BadInput as
    `upright_rgb`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image, kind = _opened(content)
        orientation = 1 if kind == "TIFF" else _orientation(image)
    return image.size[::-1] if orientation in _QUARTER_TURNS else image.size


def scaled_size(size: tuple[int, int], most_pixels: int) -> tuple[int, int]:
    """The largest size of the same proportions with at most so many pixels, at least 1 each way."""
    shrink = min(1.0, math.sqrt(most_pixels / (size[0] * size[1])))
    width, height = (max(1, math.floor(side * shrink)) for side in size)
    return width, height


def _smaller(size: tuple[int, int], most_pixels: int | None) -> tuple[int, int] | None:
    """The size to scale an image down to; None if it may stay."""
    if most_pixels is None or size[0] * size[1] <= most_pixels:
        return None
    return scaled_size(size, most_pixels)


def _opened(content: bytes) -> tuple[Image.Image, str]:
    """An image file, of which only the head need be decoded, and what kind it is."""
    from PIL import Image, UnidentifiedImageError

    heif = content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS
    if heif:
        _take_heif()
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        if content[:4] in (b"II*\0", b"MM\0*"):
            return Image.fromarray(_by_opencv(content)), "TIFF"
        # Its own text names an address in memory.
        raise BadInput("it is not a whole image (no kind of image that is read)") from error
    except Image.DecompressionBombError as error:
        raise BadInput(
            f"it has more than the {2 * Image.MAX_IMAGE_PIXELS:,} pixels that are read; scale it "
            "down"
        ) from error
    except _DAMAGE as error:
        raise BadInput(f"it is not a whole image ({error})") from error
    return image, image.format or ""


_DAMAGE = (OSError, SyntaxError, ValueError, EOFError)  # what decoders raise
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _take_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise BadInput(
            "it is HEIC, whose decoder is not installed: pip install pillow-heif, or export it as "
            "JPEG"
        ) from error
    register_heif_opener()


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether an image is of colours of more than 8 bits, of which Pillow gives the highest 8."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE) or (8,)
        return max(np.atleast_1d(bits)) > 8
    return image.format == "PNG" and content[_PNG_DEPTH] > 8


def _by_opencv(content: bytes) -> UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W"]:
    """RGB or grey of a file that Pillow does not know or reads in part, such as a TIFF file of
    three channels of floats."""
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BadInput("it is not a whole image (or of a kind that is not read)")
    return _eight_bits(pixels[..., 2::-1] if pixels.ndim == 3 else pixels)


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except _DAMAGE as error:
        raise BadInput(f"it is not a whole image ({error})") from error


def _orientation(image: Image.Image) -> int | None:
    """EXIF's orientation, 1 for none; None if the tags cannot be read."""
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever Pillow makes of broken tags
        return None
    return orientation if 1 <= orientation <= 8 else None


def _turned(image: Image.Image, orientation: int, size: tuple[int, int] | None) -> Image.Image:
    """The image with its EXIF rotation applied, or left out if it then has the annotations'
    size."""
    from PIL.Image import Transpose

    if orientation == 1:
        return image
    if size and (orientation not in _QUARTER_TURNS or image.size == image.size[::-1]):
        raise BadInput(
            f"it has the EXIF orientation {orientation}, and its size does not tell whether the "
            "annotations were made on the turned picture; turn the file itself (exiftran, "
            "mogrify -auto-orient), or remove the tag"
        )
    if image.size == size:
        return image
    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[orientation])


def _check_size(size: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if expected and size != expected:
        raise BadInput(
            f"it has {size[0]} x {size[1]} pixels, its annotations are of "
            f"{expected[0]} x {expected[1]}"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB pixels alone."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    return Image.fromarray(np.asarray(image.convert("RGB")))


def _eight_bits(values: np.ndarray) -> UInt8[np.ndarray, "*shape"]:
    """Brightness of any range as 0 to 255.

    Numbers up to 1 (some highlights a little above it) are taken as shares of white if they are
    floats; others as of the fewest bits of `_BIT_DEPTHS` that hold the largest. What is no number
    is black.
    """
    if values.dtype == np.uint8:
        return values
    numbers = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    brightest = float(numbers.max(initial=0))
    white = next((2**bits - 1 for bits in _BIT_DEPTHS if brightest < 2**bits), brightest)
    if values.dtype.kind == "f" and brightest <= _BRIGHTEST_OF_UNIT:
        white = 1.0
    return (numbers * np.float32(255 / white)).round().clip(0, 255).astype(np.uint8)


def _written(image: Image.Image, lossy: bool) -> bytes:
    written = io.BytesIO()
    if lossy:
        image.save(written, format="JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(written, format="PNG")
    return written.getvalue()
