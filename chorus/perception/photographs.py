"""Photographs of any kind → image files as the results tree holds them: upright, RGB, 8 bits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from chorus.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112  # EXIF's tag
_QUARTER_TURNS = (5, 6, 7, 8)  # orientations under which width and height are exchanged
_KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


class Photograph(NamedTuple):
    """An image file: its bytes, suffix, and size in pixels."""

    content: bytes
    suffix: str
    width: int
    height: int


def upright_rgb(content: bytes, width: int, height: int) -> Photograph:
    """An image file's bytes as an upright RGB file of the size its annotations say.

    JPEG, PNG and WebP files that are that already keep their bytes; others become PNG, without
    loss. Grey is copied to three channels, transparency dropped, 16 bits become 8. A photograph
    with an EXIF rotation is turned if the annotations have its turned size, and left as its pixels
    lie if they have that size. BadInput if the file is damaged, of another size, or if width and
    height cannot tell whether the annotations are turned.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
            if turned:
                pixels = _rgb(_oriented(image, (width, height)))
            elif image.format in _KEPT and image.mode == "RGB":
                _check_size(image.size, (width, height))
                return Photograph(content, _KEPT[image.format], width, height)
            else:
                pixels = _rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"it is not a whole image ({error})") from error
    _check_size(pixels.size, (width, height))
    written = io.BytesIO()
    pixels.save(written, format="PNG")
    return Photograph(written.getvalue(), ".png", width, height)


def _oriented(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image with its EXIF rotation applied or left out, whichever has the annotations' size."""
    from PIL import ImageOps

    orientation = image.getexif()[_ORIENTATION]
    if orientation not in _QUARTER_TURNS or image.size == image.size[::-1]:
        raise BadInput(
            f"it has the EXIF orientation {orientation}, and its size does not tell whether the "
            "annotations were made on the turned picture; turn the file itself (exiftran, "
            "mogrify -auto-orient), or remove the tag"
        )
    return image if image.size == size else ImageOps.exif_transpose(image)


def _check_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    if size != expected:
        raise BadInput(
            f"it has {size[0]} x {size[1]} pixels, its annotations are of "
            f"{expected[0]} x {expected[1]}"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB pixels alone; 16-bit grey is scaled, as converting it would cut it off at 255."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        values = values / 257 if values.max() > 255 else values
        image = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    return Image.fromarray(np.asarray(image.convert("RGB")))
