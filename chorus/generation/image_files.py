"""Image files that say what they show: JPEG, PNG and WebP with prompt, seed and model inside.

The description is one line of ASCII JSON: the EXIF tag UserComment of a JPEG or WebP, the tEXt
chunk `chorus` of a PNG. There are no dates in it, so equal images make equal files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chorus.errors import BadInput
from chorus.files import parsed_json

ImageFormat = Literal["jpeg", "png", "webp"]
SUFFIXES: dict[ImageFormat, str] = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}

_QUALITY = 92  # of JPEG and WebP
_PNG_CHUNK = "chorus"
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_ASCII = b"ASCII\0\0\0"  # how EXIF marks the encoding of a comment


def encode(pixels: np.ndarray, image_format: ImageFormat, about: Mapping[str, Any]) -> bytes:
    """The file of an image, RGB uint8 (H, W, 3), described by `about` (plain values)."""
    from PIL import Image, PngImagePlugin

    text = json.dumps(about)
    options: dict[str, Any]
    if image_format == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text(_PNG_CHUNK, text)
        options = {"pnginfo": chunks}
    else:
        exif = Image.Exif()
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _ASCII + text.encode("ascii")
        options = {"quality": _QUALITY, "exif": exif}
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, image_format, **options)
    return content.getvalue()


def description(path: str | Path) -> dict[str, Any]:
    """What an image file says of itself. BadInput if it is no image or says nothing."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                text = image.text.get(_PNG_CHUNK, "")
            else:
                comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
                text = bytes(comment).removeprefix(_ASCII).decode("ascii", "replace")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as an image ({error}).") from error
    try:
        return parsed_json(text)
    except ValueError as error:
        raise BadInput(
            f"{path} does not say how it was made; only images of `chorus images` do."
        ) from error
