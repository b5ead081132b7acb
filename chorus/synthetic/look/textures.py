"""Repeating noise textures, made once per process, looked up bilinearly at metric positions."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_SIDE = 512


@lru_cache(maxsize=8)
def noise(slope: float = 1.2, stretch: float = 1.0) -> np.ndarray:
    """A tile (512, 512, 3) float32 of three independent noises, mean 0, deviation 1, seamless.

    slope: how fast the amplitude falls with frequency (0 white, 2 cloudy). stretch: how much
    longer its grains are along x than along y.
    """
    rng = np.random.default_rng(20230821)
    frequency = np.fft.fftfreq(_SIDE)
    radius = np.hypot(frequency[:, None], stretch * frequency[None, :])
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((3, _SIDE, _SIDE))) / radius**slope
    spectrum[:, 0, 0] = 0
    tile = np.moveaxis(np.fft.ifft2(spectrum).real, 0, -1)
    return np.ascontiguousarray(tile / tile.std((0, 1)), dtype=np.float32)


@lru_cache(maxsize=1)
def waves() -> np.ndarray:
    """A tile (512, 512, 3) float32: a rippled surface's slope in x, slope in y, height."""
    height = noise(1.9, 0.45)[..., 0] + 0.35 * noise(1.5, 2.2)[..., 1]
    slope_y, slope_x = np.gradient(np.pad(height, 1, mode="wrap"))
    slopes = np.stack([slope_x, slope_y], -1)[1:-1, 1:-1]
    return np.ascontiguousarray(
        np.concatenate([slopes / slopes.std(), height[..., None]], -1), dtype=np.float32
    )


def look_up(tile: np.ndarray, x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """The tile (512, 512, C) at positions x, y (...), repeating every `period`: (..., C)."""
    # The interpolator takes pictures of at most 32767 pixels a side, so lists are folded.
    padding = -x.size % _SIDE
    turns = [np.pad(np.ravel(axis).astype(np.float32) / period, (0, padding)) for axis in (x, y)]
    wrapped = [((turn - np.floor(turn)) * _SIDE).reshape(-1, _SIDE) for turn in turns]
    values = cv2.remap(tile, *wrapped, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return values.reshape(-1, tile.shape[-1])[: x.size].reshape(*x.shape, tile.shape[-1])
