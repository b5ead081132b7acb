"""Files of weights as the release writes them: a bare dict of tensors, torch.save's form."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chorus.errors import BadInput
from chorus.files import atomic_write
from chorus.models.checkpoints import read_recorded

_PREFIX = "module."


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the prefix of parallel training.

    Nothing in the file is executed. BadInput if it is not such a file.
    """
    stored = read_recorded(path)
    if not isinstance(stored, Mapping) or not stored:
        raise BadInput(f"{path} holds no weights by name; give a file that the training wrote.")
    return {
        str(name).removeprefix(_PREFIX): torch.from_numpy(np.ascontiguousarray(value))
        for name, value in stored.items()
        if isinstance(value, np.ndarray)
    }


def write_weights(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors by name, whole or not at all."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    atomic_write(path, content.getvalue())
