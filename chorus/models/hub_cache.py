"""What lies in folders of models and in the cache of the Hugging Face hub, and whether it is whole.

Nothing is loaded: names, sizes and headers tell.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from chorus.files import parsed_json

# Parts that a pipeline does without.
_OPTIONAL = {"safety_checker", "feature_extractor", "image_encoder"}


def damaged_safetensors(folder: Path) -> list[tuple[Path, str]]:
    """The safetensors files below a folder that are not whole, each with what is wrong.

    Only headers and sizes are read: a file must be as long as its header says.
    """
    damaged = []
    for path in sorted(folder.rglob("*.safetensors")):
        problem = _safetensors_problem(path)
        if problem:
            damaged.append((path, problem))
    return damaged


def repository_folder(repository: str) -> Path | None:
    """Where the hub's cache keeps a repository's newest snapshot; None if it is not there."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (cache / "refs" / "main").read_text(encoding="ascii").strip()
    except OSError:
        return None
    folder = cache / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def unfinished(folder: Path) -> str:
    """What a folder of a model or pipeline still lacks, empty if it seems complete.

    Looked for are weights at all, the shards that an index names, and the parts of a pipeline.
    """
    for index in sorted(folder.rglob("*.safetensors.index.json")):
        try:
            shards = set(parsed_json(index.read_bytes())["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return f"{index.relative_to(folder)} is not whole"
        for shard in sorted(shards):
            if not (index.parent / shard).is_file():
                return f"{(index.parent / shard).relative_to(folder)} is not there"
    description = folder / "model_index.json"
    if not description.is_file():
        return "" if _has_weights(folder) else "it holds no weights"
    try:
        parts = parsed_json(description.read_bytes()).items()
    except (OSError, ValueError, AttributeError):
        return "model_index.json is not whole"
    for part, entry in parts:
        if not isinstance(entry, list) or None in entry or part in _OPTIONAL:
            continue
        if not (folder / part).is_dir():
            return f"{part} is not there"
        # a network has config.json, a tokenizer or scheduler another file
        if (folder / part / "config.json").is_file() and not _has_weights(folder / part):
            return f"{part} holds no weights"
    return ""


def _has_weights(folder: Path) -> bool:
    return any(any(folder.glob(f"*.{end}")) for end in ("safetensors", "bin"))


def _safetensors_problem(path: Path) -> str:
    """What is wrong with one safetensors file, empty if it is whole."""
    try:
        size = os.path.getsize(path)
        with path.open("rb") as stream:
            start = stream.read(8)
            if len(start) < 8:
                return f"it has {size} bytes, which is no safetensors file"
            length = struct.unpack("<Q", start)[0]
            if length > size - 8:
                return f"its header is cut off or none (the file has {size} bytes)"
            header = parsed_json(stream.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        return "its header is not a safetensors header"
    expected = 8 + length + max(ends, default=0)
    return "" if size == expected else f"it has {size} bytes, its header promises {expected}"
