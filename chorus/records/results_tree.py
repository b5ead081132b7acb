"""The results tree: where every artefact lies, under which name, and how it is written.

    <root>/<folder>/<model key>/<category>/<prompt>/<augprompt>.parquet   one table per shard
    <root>/images/<model key>/<category>/<prompt>/<augprompt>/000000.jpg  the images themselves
    <root>/aggregations/<model key>/<category>/<prompt>/<aggregation>/    distributions and counts

Names are portable (docs/conventions.md); writing is atomic; a shard in work is locked.

A tree may lie on another one: its file `base.json` names the tree below and the folders it makes
itself, and all others are read below. So a variant of an experiment holds only what it changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chorus.errors import BadInput, StaleResults, unknown_name
from chorus.files import atomic_write, display_name, parsed_json, portable_name, temporary_files
from chorus.pipeline import maker
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.tables import read_key

log = logging.getLogger(__name__)

_BASE = "base.json"


@dataclass(frozen=True)
class ResultsTree:
    """Paths below one results folder. `images` may lie elsewhere than in <root>/images."""

    root: Path
    images: Path | None = None

    @classmethod
    def on(cls, base: ResultsTree, root: Path, makes: Sequence[str]) -> ResultsTree:
        """The tree at `root` that makes the named folders and reads all others in `base`.

        StaleResults if the tree that is there makes others.
        """
        path = root / _BASE
        below = Path(os.path.relpath(base.root, root)).as_posix()
        content = {"base": below, "makes": sorted(makes)}
        if path.is_file():
            existing = _read_base(path)
            if existing != content:
                raise StaleResults(
                    f"{path} says {existing}, expected {content}; delete the folder {root} or give "
                    "another --results_dir."
                )
        else:
            atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())
        return cls(root, base.images)

    @cached_property
    def _below(self) -> tuple[ResultsTree, frozenset[str]] | None:
        path = self.root / _BASE
        if not path.is_file():
            return None
        content = _read_base(path)
        root = Path(os.path.normpath(self.root / content["base"]))
        return ResultsTree(root, self.images), frozenset(content["makes"])

    @property
    def base(self) -> ResultsTree | None:
        """The tree that this one lies on, None if it stands alone."""
        return self._below[0] if self._below else None

    def folder(self, name: str) -> Path:
        """The folder of one kind of result ("images", "segmentations", ...)."""
        if name == "images" and self.images:
            return self.images
        if self._below and name not in self._below[1]:
            return self._below[0].folder(name)
        return self.root / name

    def table(self, name: str, shard: ShardKey) -> Path:
        """The table of one shard, e.g. table("humans", shard)."""
        model, category, prompt, augprompt = map(portable_name, shard)
        return self.folder(name) / model / category / prompt / f"{augprompt}.parquet"

    def image(self, key: SampleKey, suffix: str) -> Path:
        """The file of one generated image."""
        return self.table("images", key.shard).with_suffix("") / f"{key.index:06d}{suffix}"

    def aggregation(self, model: str, category: str, prompt: str, name: str) -> Path:
        """The folder of one aggregation; `name` as method.md 0, `prompt` may be TOTAL."""
        parts = map(portable_name, (model, category, prompt, name))
        return self.folder("aggregations").joinpath(*parts)

    def shards(
        self,
        name: str,
        model: str,
        categories: Sequence[str] = (),
        prompts: Sequence[str] = (),
        required: bool = True,
    ) -> list[ShardKey]:
        """All shards that have a table of this kind, sorted; of the given categories and prompts.

        Raises BadInput for a category or prompt that has none, and, where they are `required`, if
        there is none at all.
        """
        shards = []
        for path in sorted((self.folder(name) / portable_name(model)).glob("*/*/*.parquet")):
            if path.name.startswith("."):
                continue
            parts = [display_name(p) for p in (*path.parts[-3:-1], path.stem)]
            try:
                shards.append(read_key(path) if None in parts else ShardKey(model, *parts))
            except BadInput as error:  # a shortened name whose table cannot tell the full one
                log.warning("%s It is left out.", error)
        present = {shard.category for shard in shards}
        if not shards and required:
            raise BadInput(self.nothing_of(name, model))
        for category in categories:
            if category not in present:
                where = self.folder(name) / portable_name(model)
                raise unknown_name(f"category in {where}:", category, present)
        for prompt in prompts:
            if prompt not in {shard.prompt for shard in shards}:
                where = self.folder(name) / portable_name(model)
                raise unknown_name(f"prompt in {where}:", prompt, {s.prompt for s in shards})
        return [
            shard
            for shard in shards
            if (not categories or shard.category in categories)
            and (not prompts or shard.prompt in prompts)
        ]

    def model_keys(self, name: str) -> list[str]:
        """The model keys that have something of this kind, sorted."""
        folders = self.folder(name).glob("[!.]*") if self.folder(name).is_dir() else ()
        keys = (display_name(path.name) for path in folders if path.is_dir())
        return sorted(key for key in keys if key is not None)

    def other_keys(self, name: str, model: str, sentence: str) -> str:
        """`sentence` with the other model keys that have something of this kind in its braces, or
        nothing where there are none."""
        keys = [key for key in self.model_keys(name) if key != model]
        return sentence.format(" or ".join(keys)) if keys else ""

    def nothing_of(self, name: str, model: str) -> str:
        """The sentence that says that there is nothing of this kind under a model key, and under
        which keys there is."""
        others = self.other_keys(name, model, "it has those of --model_key {}; else ")
        return (
            f"no {name} in {self.folder(name) / portable_name(model)}: {others}run chorus "
            f"{maker(name).name} first, or give the --results_dir and --profile they were made "
            "with."
        )

    @contextmanager
    def lock(self, path: Path, *swept: Path) -> Iterator[None]:
        """Hold the lock of one artefact; waits while another run on this tree holds it.

        An artefact is a table with the folder of its name, or a folder. The lock is the operating
        system's, so a killed run leaves none behind. What such a run left in temporary files for
        this artefact, and for those in `swept`, is removed. BadInput for an artefact of the tree
        below.
        """
        from filelock import FileLock

        if self.base is not None and not path.is_relative_to(self.root):
            raise BadInput(
                f"{path} belongs to the tree below {self.root}; change it with --results_dir "
                f"{self.base.root}."
            )
        relative = os.path.relpath(path, self.root)
        name = hashlib.sha256(relative.encode()).hexdigest()[:24]
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{name}.lock"):
            for artefact in (path, *swept):
                own_folder = artefact if artefact.is_dir() else artefact.with_suffix("")
                for leftover in (
                    *temporary_files(artefact.parent, artefact.stem),
                    *temporary_files(own_folder),
                ):
                    leftover.unlink(missing_ok=True)
            yield


def _read_base(path: Path) -> dict:
    """What a `base.json` says; BadInput if that is something else."""
    try:
        content = parsed_json(path.read_text(encoding="utf-8"))
        texts = [content["base"], *content["makes"]]
        if content.keys() != {"base", "makes"} or not all(isinstance(t, str) for t in texts):
            raise ValueError("expected a folder as base and names as makes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is damaged ({error}); delete its folder and make it again."
        ) from error
    return content
