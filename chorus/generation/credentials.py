"""Keys and addresses of services, from the environment or a `.env` file; never shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from chorus.errors import BadInput

HIDDEN = "[key]"
_SHORTEST_KEY = 6  # shorter ones are placeholders such as "x" or "EMPTY", and parts of any text

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
_QUOTED = re.compile(r"(['\"])(.*?)\1\s*(?:#.*)?$")
_TOKEN = re.compile(r"\b(?:sk|hf|gsk)[-_][\w*.-]{4,}")


def read_dotenv(path: Path) -> dict[str, str]:
    """Values of a `.env` file, empty if there is none.

    Lines are KEY=VALUE, also with `export`; a value may be quoted; `#` starts a comment. Other
    lines belong to other programs and are passed over. Raises BadInput if the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text; save it as plain text.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
    values = {}
    for line in text.splitlines():
        if entry := _LINE.match(line):
            name, value = entry.groups()
            quoted = _QUOTED.match(value)
            values[name] = quoted[2] if quoted else re.split(r"(?:^|\s)#", value)[0].strip()
    return values


def setting(name: str) -> str:
    """A value of the environment, else of `.env` in the working directory, else empty."""
    return os.environ.get(name, "").strip() or read_dotenv(Path(".env")).get(name, "")


def secret(name: str) -> str:
    """Like `setting`, for a key; BadInput, without showing it, if no HTTP header can carry it."""
    key = setting(name)
    if not all("!" <= char <= "~" for char in key):
        raise BadInput(
            f"{name} holds a blank, a line break, an accent or a curly quote, which no key has; "
            "copy the key again (its value is not shown here)."
        )
    return key


def redact(text: str, key: str = "") -> str:
    """A text without the key, and without anything that has the form of one."""
    if len(key) >= _SHORTEST_KEY:
        text = text.replace(key, HIDDEN)
    return _TOKEN.sub(HIDDEN, text)


def without_login(url: str) -> str:
    """An address without user, password and query, where keys may stand."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
