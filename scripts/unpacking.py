"""Checks and unpacking for the download scripts; needs nothing but Python.

    python scripts/unpacking.py sha256 FILE SUM          is this the file? (an empty SUM: any file)
    python scripts/unpacking.py unpack ZIP FOLDER TARGET files of the ZIP's FOLDER → TARGET
    python scripts/unpacking.py json FILE KEY ...        is it JSON with these lists, not empty?

Ends with status 1 and a sentence if not. Whatever is unpacked is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path


def check_sum(path: str, expected: str) -> None:
    """Compare a file's SHA-256."""
    if not expected:
        return
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        sys.exit(f"{path} has the SHA-256 {found}, expected {expected}.")


def unpack(archive: str, folder: str, target: str) -> None:
    """Unpack the files that lie in one folder of a ZIP; `folder/name` unpacks that file alone.

    The ZIP's own checksums are verified on the way. No name can lead out of the target.
    """
    with zipfile.ZipFile(archive) as content:
        if folder in content.namelist():
            members = {folder: Path(target).name}
            arriving = Path(target).with_name(f".{Path(target).name}.arriving")
        else:
            members = {
                name: name.removeprefix(f"{folder}/")
                for name in content.namelist()
                if name.startswith(f"{folder}/") and not name.endswith("/")
            }
            arriving = Path(target).parent / f".{Path(target).name}.arriving"
        if not members or any(set(name) & set("/\\:") or name == ".." for name in members.values()):
            sys.exit(f"{archive} does not hold the files of {folder}/ that were expected.")
        shutil.rmtree(arriving, ignore_errors=True)
        arriving.mkdir(parents=True)
        for member, name in members.items():
            with content.open(member) as source, open(arriving / name, "wb") as place:
                shutil.copyfileobj(source, place, 1 << 20)
    if folder in members:
        os.replace(arriving / Path(target).name, target)
        arriving.rmdir()
    else:
        os.replace(arriving, target)
    print(f"{target}: {len(members)} file{'s' * (len(members) != 1)}")  # noqa: T201


def check_json(path: str, *keys: str) -> None:
    """Is it an object with these lists?"""
    with open(path, encoding="utf-8") as stream:
        content = json.load(stream)
    counts = {}
    for key in keys:
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, list) or not value:
            sys.exit(f"{path} is not the file that was expected: it has no list {key!r}.")
        counts[key] = len(value)
    print(f"{path}: {', '.join(f'{count} {key}' for key, count in counts.items())}")  # noqa: T201


if __name__ == "__main__":
    command = {"sha256": check_sum, "unpack": unpack, "json": check_json}[sys.argv[1]]
    try:
        command(*sys.argv[2:])
    except (OSError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        sys.exit(f"{sys.argv[2]} is damaged or cannot be read ({type(error).__name__}: {error}).")
