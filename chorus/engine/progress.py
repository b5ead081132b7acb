"""Progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[..., Any] | None
"""tqdm, something that is called alike, or None for silence."""

Advance = Callable[[int], object]
"""To be called with how much more is done."""


@contextmanager
def progress_bar(
    progress: Progress, total: int | None, desc: str, unit: str, **more: Any
) -> Iterator[Advance]:
    """Show a bar while the block runs; gives the function that moves it on."""
    if progress is None:
        yield _ignore
        return
    bar = progress(total=total, desc=desc, unit=unit, **more)
    try:
        yield bar.update
    finally:
        bar.close()


def _ignore(count: int) -> None:
    del count
