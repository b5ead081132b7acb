"""The photographs that commands are given: files, and folders of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from chorus.errors import BadInput


class Photo(NamedTuple):
    """One photograph."""

    name: str
    """With the folders below the one that was given, separated by /."""
    path: Path


def photographs_of(given: Sequence[Path], overlay: str) -> list[Photo]:
    """The photographs of files and folders. BadInput where there is none, or two of one name.

    overlay: how the names of the pictures end that are written; they are no photographs.
    """
    from chorus.commands.importing.sources import pictures_of

    photos: list[Photo] = []
    for path in dict.fromkeys(given):
        if path.is_dir():
            names = [name for name in pictures_of(path) if not name.endswith(overlay)]
            if not names:
                raise BadInput(f"{path} holds no photograph (JPEG, PNG, WebP, BMP, TIFF, HEIC).")
            photos += [Photo(name, path / name) for name in names]
        elif path.is_file():
            photos.append(Photo(path.name, path))
        else:
            raise BadInput(f"{path} is not there; give image files or folders.")
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        paths = " and ".join(str(photo.path) for photo in photos if photo.name == twice[0])
        raise BadInput(
            f"{paths} have one name, and so would their results; perceive them into different "
            "folders (--out)."
        )
    return photos


def pixels_of(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """A photograph upright, RGB; BadInput if it cannot be read."""
    from PIL import Image

    from chorus.perception.photographs import upright_rgb

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"it cannot be read ({error.strerror})") from error
    upright = upright_rgb(content)
    return np.asarray(Image.open(io.BytesIO(upright.content)))
