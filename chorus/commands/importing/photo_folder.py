"""Photographs without COCO annotations: which of a folder are taken, and which masks are theirs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from chorus.commands.importing.sources import (
    DEFAULT_AUGPROMPT,
    DEFAULT_PROMPT,
    Photo,
    Shard,
    pictures_of,
    without_suffix,
)
from chorus.errors import BadInput
from chorus.records.keys import ShardKey


@dataclass
class Taken:
    """The photographs of a folder that are taken, and why others are not, for people."""

    photos: list[Photo]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Names of files by the reason why they are not used."""

    def shard(self, model: str, category: str, prompt: str | None) -> Shard:
        """The shard that the photographs make; a sample's index is its photograph's place."""
        key = ShardKey(model, category, prompt or DEFAULT_PROMPT, DEFAULT_AUGPROMPT)
        return Shard(key, tuple(self.photos))


def photographs(folder: Path, mask_folders: Mapping[str, Path]) -> Taken:
    """The photographs of a folder, sorted by name, each file content once.

    mask_folders: where the masks are, by what they are of ("objects", "persons"); if there are any,
    only photographs with masks of every kind are taken. BadInput for a folder without photographs,
    or with none that has its masks.
    """
    names = _outside(folder, pictures_of(folder), mask_folders.values())
    if not names:
        raise BadInput(_no_photograph(folder))
    doubles = _doubles(folder, names)
    kept = [name for name in names if name not in doubles]
    taken = Taken([Photo(name) for name in kept])
    taken.left_out["photographs that are there twice"] = [
        f"{name} = {first}" for name, first in doubles.items()
    ]
    if mask_folders:
        _match(taken, kept, mask_folders)
    if not taken.photos:
        of = " and ".join(str(path) for path in mask_folders.values())
        stem = without_suffix(kept[0])
        raise BadInput(
            f"no photograph of {folder} has a mask in {of}: expected {stem}.png or {kept[0]}.png "
            f"for {kept[0]}, or a folder of one of these names without .png that holds a PNG file "
            "for each instance."
        )
    return taken


def _outside(folder: Path, names: Sequence[str], others: Sequence[Path]) -> list[str]:
    """The names that do not lie in one of the other folders."""
    inner = [other.resolve() for other in others]
    if folder.resolve() in inner:
        raise BadInput(f"--images and its masks are both {folder}; give the masks a folder.")
    resolved = folder.resolve()
    return [n for n in names if not any((resolved / n).is_relative_to(other) for other in inner)]


def _no_photograph(folder: Path) -> str:
    others = sorted(path.suffix.lower() for path in folder.rglob("*") if path.is_file())
    found = f"files called {', '.join(f'*{s}' for s in dict.fromkeys(others))}" if others else ""
    return (
        f"{folder} holds no photograph; expected JPEG, PNG, WebP, BMP, TIFF or HEIC files, found "
        f"{found or 'no file at all':.200}."
    )


def _doubles(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The files that have the same bytes as one before them, and that one."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for name in names:
        by_size[(folder / name).stat().st_size].append(name)
    doubles = {}
    for group in by_size.values():
        seen: dict[bytes, str] = {}
        for name in group if len(group) > 1 else ():
            with (folder / name).open("rb") as stream:
                first = seen.setdefault(hashlib.file_digest(stream, "sha256").digest(), name)
            if first != name:
                doubles[name] = first
    return doubles


def _match(taken: Taken, names: Sequence[str], folders: Mapping[str, Path]) -> None:
    """Give the photographs their masks; those that lack some are left out."""
    found = {}
    for kind, folder in folders.items():
        found[kind], unused = mask_files(folder, names)
        taken.left_out[f"files in {folder} that are no photograph's mask"] = unused
    taken.photos = []
    for name in names:
        masks = {kind: found[kind][name] for kind in folders if name in found[kind]}
        lacking = [kind for kind in folders if kind not in masks]
        for kind in lacking:
            reason = f"photographs without a mask in {folders[kind]}"
            taken.left_out.setdefault(reason, []).append(name)
        if not lacking:
            _add(taken, name, masks)


def _add(taken: Taken, name: str, masks: Mapping[str, tuple[Path, ...]]) -> None:
    """A photograph of its masks' size; those with a damaged mask are left out."""
    from chorus.perception.photographs import stored_size

    first = next(files[0] for files in masks.values())
    try:
        width, height = stored_size(first.read_bytes())
    except BadInput as error:
        reason = f"photographs whose mask is damaged ({error})"
        taken.left_out.setdefault(reason, []).append(name)
    else:
        taken.photos.append(Photo(name, width, height, masks))


def mask_files(folder: Path, names: Sequence[str]) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """The PNG files of a folder by the photograph whose masks they are, and names of those that are
    nobody's.

    The masks of `a.b.jpg` are `a.b.jpg.png`, else `a.b.png`, else the files of the folder
    `a.b.jpg`, else of `a.b`: whole names, of which no photograph's may be another's as well.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".png"):
        relative = path.relative_to(folder)
        files[relative.as_posix()[: -len(".png")]].append(path)
        folders[relative.parent.as_posix()].append(path)
    shared: dict[str, int] = defaultdict(int)
    for name in names:
        shared[without_suffix(name)] += 1
    masks = {}
    for name in names:
        stem = without_suffix(name)
        spellings = (name, stem) if shared[stem] == 1 else (name,)
        places = (place.get(s) for place in (files, folders) for s in spellings)
        own = next((paths for paths in places if paths), None)
        if own:
            masks[name] = tuple(own)
    used = {path for paths in masks.values() for path in paths}
    every = sorted(path for paths in files.values() for path in paths)
    return masks, [p.relative_to(folder).as_posix() for p in every if p not in used]


def digest_of_masks(photos: Sequence[Photo], kind: str) -> str:
    """Fingerprint of the masks of one kind: which photograph's they are, and what they hold."""
    content = hashlib.sha256()
    for photo in photos:
        for path in photo.masks[kind]:
            content.update(f"{photo.name}\0{PurePosixPath(path).name}\0".encode())
            with path.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]


def scaled_down(folder: Path, photos: Sequence[Photo], most_pixels: int) -> list[str]:
    """Names of the photographs without masks that are larger than that."""
    from chorus.perception.photographs import stored_size

    names = []
    for photo in photos:
        try:
            width, height = stored_size((folder / photo.name).read_bytes())
        except (BadInput, OSError):
            continue  # its row says so
        if photo.width is None and width * height > most_pixels:
            names.append(photo.name)
    return names
