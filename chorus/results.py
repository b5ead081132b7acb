"""The results tree: where every artefact lies, under which name, and how it is written.

    <root>/<folder>/<model key>/<category>/<prompt>/<augprompt>.parquet   one table per shard
    <root>/images/<model key>/<category>/<prompt>/<augprompt>/000000.jpg  the images themselves
    <root>/aggregations/<model key>/<category>/<prompt>/<aggregation>/    distributions and counts

Names are portable (docs/conventions.md); writing is atomic; a shard in work is locked.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from chorus.errors import BadInput, ChorusError, unknown_name
from chorus.samples import SampleKey, ShardKey

TOTAL = "total-aggregation"  # SPEC 0: the pseudo-prompt of results over all prompts

_REFUSED = set('<>:"/\\|?*%~') | {chr(c) for c in range(32)} | {chr(127)}
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)}
_LONGEST = 120  # bytes; leaves room for suffixes under the 255 of common file systems
_SHORTENED = "~"  # stands only in shortened names, because the encoding escapes it


def portable_name(name: str) -> str:
    """A file name for any text, on any file system; the inverse is `display_name`.

    Refused bytes become %XX. Encoded names over 120 bytes keep their beginning and end in `~` and
    a hash of the full name; their full text is kept inside the tables. An empty name is refused.
    """
    if not name:
        raise BadInput("a category, prompt or augprompt is empty; give it a name.")
    last = len(name) - 1
    encoded = "".join(
        "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        if char in _REFUSED or ord(char) > 126 or (char in ". " and at in (0, last))
        else char
        for at, char in enumerate(name)
    )
    if encoded.split(".")[0].lower() in _RESERVED:
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if len(encoded) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        head = encoded[: _LONGEST - 17]
        cut = head.rfind("%", len(head) - 2)  # never end in the middle of an escape
        encoded = f"{head[:cut] if cut >= 0 else head}{_SHORTENED}{digest}"
    return encoded


def display_name(name: str) -> str | None:
    """The text that `portable_name` encoded, None for a shortened name (tables know it)."""
    if _SHORTENED in name:
        return None
    return unquote_to_bytes(name).decode("utf-8", "surrogatepass")


def atomic_write(path: Path, content: bytes | Callable[[Path], None]) -> None:
    """Write a file so that it exists whole or not at all, even if the program or machine stops.

    `content` is the bytes, or a function that writes the file at the path it is given (which has
    the same suffix). Raises ChorusError when the disk is full; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:80]}.{os.getpid()}.tmp{path.suffix}")
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {path} could not be written. Free some space and run the same "
                "command again; everything finished before is kept."
            ) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_files(folder: Path) -> list[Path]:
    """Files that an interrupted `atomic_write` left in a folder."""
    return sorted(folder.glob(".*.tmp*")) if folder.is_dir() else []


class DiskFull(ChorusError):
    """No space is left for results; ends the run, since further samples would fail too."""


@dataclass(frozen=True)
class ResultsTree:
    """Paths below one results folder. `images` may lie elsewhere than in <root>/images."""

    root: Path
    images: Path | None = None

    def folder(self, name: str) -> Path:
        """The folder of one kind of result ("images", "segmentations", ...)."""
        return self.images if name == "images" and self.images else self.root / name

    def table(self, name: str, shard: ShardKey) -> Path:
        """The table of one shard, e.g. table("humans", shard)."""
        model, category, prompt, augprompt = map(portable_name, shard)
        return self.folder(name) / model / category / prompt / f"{augprompt}.parquet"

    def image(self, key: SampleKey, suffix: str) -> Path:
        """The file of one generated image."""
        return self.table("images", key.shard).with_suffix("") / f"{key.index:06d}{suffix}"

    def aggregation(self, model: str, category: str, prompt: str, name: str) -> Path:
        """The folder of one aggregation; `name` as SPEC 0, `prompt` may be TOTAL."""
        parts = map(portable_name, (model, category, prompt, name))
        return self.folder("aggregations").joinpath(*parts)

    def shards(
        self, name: str, model: str, categories: Sequence[str] = (), prompts: Sequence[str] = ()
    ) -> list[ShardKey]:
        """All shards that have a table of this kind, sorted; of the given categories and prompts.

        Raises BadInput for a category that has none, with the categories that have.
        """
        from chorus.tables import read_key

        found = []
        for path in sorted((self.folder(name) / portable_name(model)).glob("*/*/*.parquet")):
            if path.name.startswith("."):
                continue
            parts = [display_name(p) for p in (*path.parts[-3:-1], path.stem)]
            shard = read_key(path) if None in parts else ShardKey(model, *parts)
            found.append(shard)
        present = {shard.category for shard in found}
        for category in categories:
            if category not in present:
                where = self.folder(name) / portable_name(model)
                if not present:
                    raise BadInput(f"no {name} in {where}: run the stage that makes them first.")
                raise unknown_name(f"category in {where}:", category, present)
        return [
            shard
            for shard in found
            if (not categories or shard.category in categories)
            and (not prompts or shard.prompt in prompts)
        ]

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold the lock of one artefact; waits while another run on this tree holds it.

        The lock is the operating system's, so a killed run leaves none behind. Temporary files of
        earlier, killed runs for this artefact are removed.
        """
        from filelock import FileLock

        relative = os.path.relpath(path, self.root)
        name = hashlib.sha256(relative.encode()).hexdigest()[:24]
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{name}.lock"):
            if path.parent.is_dir():
                for leftover in path.parent.glob(f".{glob_escape(path.stem[:80])}.*.tmp*"):
                    leftover.unlink(missing_ok=True)
            yield


def glob_escape(text: str) -> str:
    """`text` with the characters escaped that a glob pattern would interpret."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
