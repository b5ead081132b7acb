"""Replies of a language model kept as JSON, so that a rerun gives the same prompts without asking.

One file per category: a list of requests, without keys, each with what was answered, word for word:
the record of `ChatModel.complete`, or `structured_refused` with the server's reason.
"""

from __future__ import annotations

import json
from pathlib import Path

from chorus.errors import BadInput
from chorus.files import atomic_write, parsed_json, portable_name

FOLDER = ".replies"
VERSION = 1
_NEEDED = {"text", "refusal", "finish_reason"}


def replies_file(prompt_dir: str | Path, category: str) -> Path:
    """Where the replies for a category are kept: <prompt_dir>/.replies/<category>.json."""
    return Path(prompt_dir) / FOLDER / f"{portable_name(category)}.json"


class Replies:
    """The replies of one category, found by their whole request; written after each one."""

    def __init__(self, path: Path, forget: bool = False):
        """Read the file if it is there; with `forget` begin anew, the next reply replaces it.

        Raises BadInput if the file is not what this class writes.
        """
        self._path = path
        self._pairs: list[dict] = []
        if forget or not path.is_file():
            return
        try:
            content = parsed_json(path.read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}")
            self._pairs = [_checked(pair) for pair in content["pairs"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path} does not hold replies in this version's form "
                f"({type(error).__name__}: {error}); delete it, or ask anew with --overwrite."
            ) from None

    def find(self, request: dict) -> dict | None:
        """The reply to a request, None if it has not been asked."""
        return next((pair["reply"] for pair in self._pairs if pair["request"] == request), None)

    def add(self, request: dict, reply: dict) -> None:
        """Keep a reply and write the file."""
        self._pairs.append({"request": request, "reply": reply})
        content = {"version": VERSION, "pairs": self._pairs}
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
        atomic_write(self._path, f"{text}\n".encode("utf-8", "replace"))


def _checked(pair: dict) -> dict:
    """A pair of the file if it has the form it was written in; ValueError and the like if not."""
    request, reply = dict(pair["request"]), dict(pair["reply"])
    if "structured_refused" not in reply and not set(reply) >= _NEEDED:
        raise ValueError(f"a reply has {', '.join(reply) or 'nothing'}")
    if not all(isinstance(value, str) for value in reply.values()):
        raise ValueError("a reply is no text")
    return {"request": request, "reply": reply}
