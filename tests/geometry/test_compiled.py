"""Compilation works with and without a place for numba's cache."""

from __future__ import annotations

import numba
import pytest

from chorus.geometry import compiled as module


def double(x):
    return 2 * x


@pytest.mark.parametrize("writable", [True, False])
def test_a_missing_cache_folder_only_loses_the_cache(monkeypatch, writable):
    njit = numba.njit

    def without_folder(*functions, **options):
        if options.pop("cache", False) and not writable:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return njit(*functions, **options)

    monkeypatch.setattr(numba, "njit", without_folder)
    assert module.compiled(double)(4) == 8
