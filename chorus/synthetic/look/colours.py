"""Colours for the synthetic pictures: light is added in linear RGB, shown in sRGB."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

# Linear values are clipped here before the tone curve; brighter is white anyway.
_BRIGHTEST = 4.0
_LEVELS = 8192


def linear(code: str) -> np.ndarray:
    """'#rrggbb' (sRGB) as linear RGB, (3,) float32 in 0..1."""
    value = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def pick(codes: Iterable[str], rng: np.random.Generator) -> np.ndarray:
    """One of the colours, slightly varied in brightness, linear RGB (3,)."""
    codes = list(codes)
    chosen = linear(codes[int(rng.integers(len(codes)))])
    return np.clip(chosen * rng.uniform(0.88, 1.1), 0, 1).astype(np.float32)


def mix(first, second, share) -> np.ndarray:
    """first where share is 0, second where it is 1; share (...,) against colours (..., 3)."""
    share = np.asarray(share, np.float32)[..., None]
    return first + (second - first) * share


def smoothstep(low, high, value) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; `high` may lie below `low` (then it falls)."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def display(light: np.ndarray) -> np.ndarray:
    """Linear light (..., 3) as sRGB uint8, through a curve that rolls highlights off softly."""
    index = np.clip(light, 0, _BRIGHTEST) * np.float32((_LEVELS - 1) / _BRIGHTEST)
    return _curve()[index.astype(np.uint16)]


@lru_cache(maxsize=1)
def _curve() -> np.ndarray:
    x = np.linspace(0, _BRIGHTEST, _LEVELS)
    # Linear up to the shoulder at 0.6, then an exponential approach to white.
    shoulder = 0.6
    rolled = np.where(
        x < shoulder, x, shoulder + (1 - shoulder) * (1 - np.exp(-(x - shoulder) / (1 - shoulder)))
    )
    encoded = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return np.round(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
