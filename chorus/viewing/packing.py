"""Arrays and pictures as text inside a page."""

from __future__ import annotations

import base64
import gzip
import io

import numpy as np
from PIL import Image

JPEG_QUALITY = 82


def pack_bytes(array: np.ndarray, compress: bool) -> dict:
    """An array's little-endian bytes as base64, compressed or raw."""
    raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    packed = gzip.compress(raw, 9, mtime=0) if compress else raw
    return {
        "packing": "gzip" if compress else "raw",
        "bytes": base64.b64encode(packed).decode(),
    }


def data_address(picture: Image.Image) -> str:
    """A picture as the data address of a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
