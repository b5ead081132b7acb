"""PAP as method.md 12 words it, one threshold, voxel and pixel at a time: for comparison only."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def coverage(mask, h: int, w: int) -> np.ndarray:
    """(h, w): how much of each cell is covered, as exact fractions."""
    height, width = mask.shape
    small = np.zeros((h, w), object)
    for i in range(h):
        for j in range(w):
            top, bottom = Fraction(i * height, h), Fraction((i + 1) * height, h)
            left, right = Fraction(j * width, w), Fraction((j + 1) * width, w)
            covered = sum(
                (min(bottom, y + 1) - max(top, y)) * (min(right, x + 1) - max(left, x))
                for y in range(int(top), -(-bottom // 1))
                for x in range(int(left), -(-right // 1))
                if mask[y, x]
            )
            small[i, j] = covered / ((bottom - top) * (right - left))
    return small


def masks_at(values, points, R, t, K, image, grid, thresholds) -> np.ndarray:
    """(T, h, w): which pixels some point in front of the camera, with enough value, lands in."""
    scale = min(grid) / min(image)
    on = np.zeros((len(thresholds), *grid), bool)
    for value, point in zip(values, points, strict=True):
        x, y, z = R @ point + t
        if z <= 0:
            continue
        u = (K[0, 0] * x / z + K[0, 2]) * scale
        v = (K[1, 1] * y / z + K[1, 2]) * scale
        if 0 <= u < grid[1] and 0 <= v < grid[0]:
            for number, threshold in enumerate(thresholds):
                on[number, int(v), int(u)] |= value >= threshold
    return on


def average_precision(on, target, ignored=None, closed=False, strict=False) -> float:
    """The walk over thresholds (T, h, w), upwards; NaN for an empty target."""
    keep = np.ones_like(target) if ignored is None else ~ignored
    wanted = (target & keep).sum()
    if not wanted:
        return float("nan")
    total, best, before = 0.0, 0.0, None
    for mask in on:
        predicted, hits = (mask & keep).sum(), (mask & target & keep).sum()
        recall = hits / wanted
        if before is not None and not (strict and predicted == 0):
            total += (before - recall) * best
        best, before = max(best, hits / predicted if predicted else 0.0), recall
    return total + before * best if closed else total
