"""What a page remembers of its making, so that a rerun can tell whether to make it anew."""

from __future__ import annotations

import re
from pathlib import Path


def remembered(page: Path) -> str | None:
    """The digest in a page's `<meta name="made-from">`; None if there is no page, or none in it."""
    try:
        with page.open(encoding="utf-8") as text:
            match = re.search('<meta name="made-from" content="([0-9a-f]+)">', text.read(4096))
    except (OSError, UnicodeDecodeError):
        return None
    return match and match[1]
