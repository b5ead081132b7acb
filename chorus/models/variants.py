"""Which variant of a network's weights a folder holds, where it has no others (`fp16`, mostly)."""

from __future__ import annotations

import re
from pathlib import Path

# model.safetensors, model.fp16.safetensors, model.fp16-00001-of-00002.safetensors,
# model.safetensors.index.fp16.json
_WEIGHTS = re.compile(
    r"(?:pytorch_model|model|diffusion_pytorch_model)"
    r"(?:\.(?P<variant>[\w]+))?(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)"
)


def only_variant(folder: Path) -> str | None:
    """The variant of the weights in a folder that `save_pretrained` wrote, if there are no plain
    ones; of several the first by name. None if there are plain weights or none."""
    if not folder.is_dir():
        return None
    found = [_WEIGHTS.fullmatch(path.name) for path in folder.iterdir()]
    variants = sorted({match["variant"] or "" for match in found if match})
    return variants[0] or None if variants else None
