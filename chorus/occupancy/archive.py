"""Volumes on disk: `.npz` without pickle, a JSON header inside, written whole or not at all."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput
from chorus.files import check_npz, parsed_json, replacing

HEADER = "header"


def write_archive(
    path: str | Path,
    schema: str,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
    compress: bool = True,
) -> None:
    """Write arrays and metadata (JSON values) to `path`, which appears complete or not at all.

    `schema` names the format and its version ("chorus.distribution/1"). Equal content gives equal
    bytes. Parent folders are made. DiskFull if the disk is,
    BadInput if the metadata is not JSON.
    """
    path = Path(path)
    try:
        header = json.dumps(
            {"schema": schema, "metadata": dict(metadata)}, ensure_ascii=False, sort_keys=True
        )
    except (TypeError, ValueError) as problem:
        raise BadInput(
            f"the metadata of {path.name} must be plain JSON values: {problem}."
        ) from problem
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as file:
        save(file, **{HEADER: np.array(header)}, **arrays)


def read_archive(path: str | Path, schema: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, metadata) of a file that `write_archive` made with the same schema.

    FileNotFoundError if there is none; BadInput if it is damaged, foreign or of another version.
    """
    path = Path(path)
    kind = schema.split("/")[0]
    if path.is_dir():
        raise BadInput(f"{path} is a folder where a {kind} file (.npz) was expected; name a file.")
    # np.load would take any file that is no archive for a pickle, and advise to trust it.
    if path.is_file() and path.stat().st_size and not zipfile.is_zipfile(path):
        raise BadInput(
            f"{path} is not a {kind} file, which is an .npz archive, or is cut off; correct the "
            "path, or make it again."
        )
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = parsed_json(str(arrays.pop(HEADER)))
        found, metadata = header["schema"], header["metadata"]
    except FileNotFoundError:
        raise
    except (
        AttributeError,  # np.load returns a bare array for an .npy file
        EOFError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as problem:
        raise BadInput(
            f"{path} is not a {kind} file or is damaged ({problem}); make it again."
        ) from problem
    if found != schema:
        raise BadInput(
            f"{path} holds {found!r} where {schema!r} was expected; it is another kind of file or "
            "was written by another version of chorus."
        )
    return arrays, metadata
