"""Batches that shrink when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from chorus.errors import Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

# How the CPU's allocators word it; they raise a plain RuntimeError.
_SIGNS = ("not enough memory", "can't allocate memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class ShrinkingBatches:
    """Calls a function on as large a part of a batch as memory allows.

    When memory runs out the batch is halved, which is logged, and stays so for later calls.
    `advice` says what helps if a single item does not fit.
    """

    def __init__(self, advice: str):
        self._advice = advice
        self._limit: int | None = None

    def run(
        self, items: Sequence[Item], call: Callable[[Sequence[Item]], Sequence[Result]]
    ) -> Iterator[Result]:
        """Results of all items, in order. Unavailable if one item alone does not fit."""
        start = 0
        while start < len(items):
            size = min(self._limit or len(items), len(items) - start)
            results = self._attempt(items[start : start + size], call)
            if results is not None:
                yield from results
                start += size

    def _attempt(self, items, call):
        """Results, or None after the limit was lowered."""
        try:
            return call(items)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
        # Only here, where the error and the tensors its traceback holds are gone, memory is free.
        _release()
        if len(items) == 1:
            raise Unavailable(f"one image does not fit into memory ({reason}): {self._advice}")
        self._limit = len(items) // 2
        log.warning(
            "out of memory with %d images at once; going on with %d.", len(items), self._limit
        )
        return None


def _release() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
