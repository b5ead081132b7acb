"""Masks as other programs draw them: a PNG file for each instance."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Bool

from chorus.errors import BadInput


def mask_of_png(content: bytes) -> Bool[np.ndarray, "H W"]:
    """The pixels (H, W) of a PNG file that are not zero: not black, or not of the palette's first
    colour. If some pixels are transparent, those that are not wholly so, whatever their colour.

    BadInput if the file is no whole PNG.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.load()
            bands = image.getbands()
            values = np.asarray(image)
    except Image.UnidentifiedImageError as error:
        raise BadInput("it is no PNG file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"it is not a whole PNG file ({error})") from error
    if bands[-1] == "A":
        values, alpha = values[..., :-1], values[..., -1]
        if alpha.min() < 255:
            return alpha > 0
    return values.reshape(*values.shape[:2], -1).any(-1)
