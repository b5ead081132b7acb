"""One door to numba, so that a place without a writable cache folder only loses the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled at first call and kept on disk if possible; it runs without the GIL.

    Multiplications and additions may be fused (the results stay the same for every thread count
    and batch size); no other liberty is taken with floating point.
    """
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder it may write its cache to
        return numba.njit(**options)(function)
