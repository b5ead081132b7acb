"""The photographs of test sets: where they lie, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chorus.errors import BadInput

if TYPE_CHECKING:
    import numpy as np


def image_folder(
    tested_on: str, table: Path, imports_dir: Path, coco_images: Path | None = None
) -> Path:
    """The folder of a test set's images: beside its table, or COCO's for extended COCO-EFT."""
    if tested_on == "synthetic":
        return table.with_suffix("")
    return coco_images or imports_dir / "COCO" / "images" / "val2014"


def read_photograph(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image (H, W, 3) uint8; BadInput if it is missing, damaged or of another size than its
    mask's `shape` (H, W)."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; fetch or make it again.") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} is damaged ({error}); fetch or make it again.") from error
    if pixels.shape[:2] != shape:
        raise BadInput(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, the test set's mask "
            f"{shape[1]} x {shape[0]}; fetch or make it again."
        )
    return pixels
