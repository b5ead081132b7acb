"""The files of images: decoding them, and what `chorus prune` left of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chorus.errors import BadInput
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Image
from chorus.records.tables import DONE, read_table

THUMBNAIL = ".thumbnail.jpg"
"""How the name of a file ends that `chorus prune` left of an image; it leaves no name of none."""


def is_pruned(row: Mapping[str, Any]) -> bool:
    """Whether a row of the `images` table has kept a thumbnail, or nothing, of its image."""
    return not row["file"] or row["file"].endswith(THUMBNAIL)


def read_image(tree: ResultsTree, key: SampleKey, row: Mapping[str, Any]) -> Image:
    """The image, RGB, that a row of `images` describes. Raises BadInput if it was pruned, is
    missing, damaged or of another size."""
    if row["status"] == DONE and is_pruned(row):
        # One text for all samples, since tables keep it as a reason and reasons are counted.
        raise BadInput("the image was not kept (chorus prune); run images --overwrite.")
    return _read(tree, key, row)


def check_images_are_kept(tree: ResultsTree, shard: ShardKey) -> None:
    """BadInput if images of the shard were pruned, so that no network can look at them again."""
    rows = read_table(tree.table("images", shard), "images", columns=("file",)).rows.values()
    gone = sum(row["status"] == DONE and is_pruned(row) for row in rows)
    if gone:
        raise BadInput(
            f"{shard} stays as it is: {gone} of its {len(rows)} images were not kept (chorus "
            "prune); to overwrite, run images --overwrite first."
        )


def read_what_is_kept(tree: ResultsTree, key: SampleKey, row: Mapping[str, Any]) -> Image | None:
    """A sample's image, its thumbnail enlarged to the image's size, or None if neither was kept.

    Raises BadInput as `read_image` does for a file that should be there.
    """
    import cv2

    if row["status"] != DONE or not is_pruned(row):
        return _read(tree, key, row)
    if not row["file"]:
        return None
    height, width = row["height"], row["width"]
    small = _read(tree, key, row, thumbnail_shape(height, width))
    return Image(key, cv2.resize(small.pixels, (width, height)))


def thumbnail_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the thumbnail of an image: at most 128 pixels each."""
    scale = min(1.0, 128 / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _read(
    tree: ResultsTree,
    key: SampleKey,
    row: Mapping[str, Any],
    shape: tuple[int, int] | None = None,
) -> Image:
    """The file that a row names, of the shape it states if no other is expected."""
    import cv2

    if row["status"] != DONE:
        raise BadInput(f"{key} has no image: {row['reason']}; run images again.")
    path = tree.table("images", key.shard).with_suffix("") / row["file"]
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); run images --overwrite."
        ) from error
    height, width = shape or (row["height"], row["width"])
    stated = _stated_size(data) if data.size and is_whole(data) else None
    # no room is made for pixels that the table does not have
    fits = stated is not None and stated[0] * stated[1] == height * width
    pixels = _decoded(data) if fits else None
    if stated is None or (fits and pixels is None):
        raise BadInput(f"{path} is not a whole image; delete it and run images --overwrite.")
    found = pixels.shape[:2] if fits else stated
    if found != (height, width):
        raise BadInput(
            f"{path} has {found[1]} x {found[0]} pixels, its table says "
            f"{width} x {height}; run images --overwrite."
        )
    return Image(key, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _stated_size(data: UInt8[np.ndarray, " B"]) -> tuple[int, int] | None:
    """(height, width) that the head of an image file states; None if it is none."""
    from PIL import Image as pillow

    try:
        with pillow.open(io.BytesIO(data)) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError):
        return None


def _decoded(data: UInt8[np.ndarray, " B"]) -> UInt8[np.ndarray, "H W 3"] | None:
    """Pixels, BGR; None if the file is damaged."""
    import cv2

    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def is_whole(data: np.ndarray) -> bool:
    """False for a truncated JPEG, PNG or WebP: decoders fill up some of them without complaint."""
    head, tail = data[:12].tobytes(), data[-64:].tobytes()
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return len(data) >= 8 + int.from_bytes(head[4:8], "little")
    return True
