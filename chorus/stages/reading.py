"""Decoding generated images for the stages that look at them."""

from __future__ import annotations

import numpy as np

from chorus.errors import BadInput
from chorus.perception.protocols import Image
from chorus.results import ResultsTree
from chorus.stages.loop import Sample
from chorus.tables import DONE


def read_image(tree: ResultsTree, sample: Sample) -> Image:
    """The sample's image, RGB. Raises BadInput if the file is missing, damaged or another size."""
    import cv2

    row = sample.inputs["images"]
    if row["status"] != DONE:
        raise BadInput(f"{sample.key} has no image: {row['reason']}; run images again.")
    path = tree.table("images", sample.key.shard).with_suffix("") / row["file"]
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); run images --overwrite."
        ) from error
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size and _is_whole(data) else None
    if pixels is None:
        raise BadInput(f"{path} is not a whole image; delete it and run images --overwrite.")
    if pixels.shape[:2] != (row["height"], row["width"]):
        raise BadInput(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, its table says "
            f"{row['width']} x {row['height']}; run images --overwrite."
        )
    return Image(sample.key, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _is_whole(data: np.ndarray) -> bool:
    """False for a truncated JPEG, PNG or WebP: decoders fill up some of them without complaint."""
    head, tail = data[:12].tobytes(), data[-64:].tobytes()
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return len(data) >= 8 + int.from_bytes(head[4:8], "little")
    return True
