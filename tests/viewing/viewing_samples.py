"""A small body and made-up distributions for the tests of pictures and pages."""

from __future__ import annotations

import numpy as np

from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution

PROMPT = "A person balances on a surfboard"


def blob(n: int = 24, peak: float = 0.8, side: float = 3.0) -> np.ndarray:
    """(n, n, n) soft ellipsoid below the body, in steps of peak / 255 like the page stores it."""
    x = (np.arange(n) + 0.5) / n * side - side / 2
    X, Y, Z = np.meshgrid(x, x, x, indexing="ij")
    r = np.sqrt((X / 0.35) ** 2 + ((Y + 0.9) / 0.2) ** 2 + (Z / 0.9) ** 2)
    share = np.clip(1.2 - 0.5 * r, 0, 1)
    return (np.rint(share * 255) / 255 * peak).astype(np.float32)


def displayed(part: str = "all", prompt: str = PROMPT, **changes) -> DisplayedDistribution:
    settings = {"probability": blob(), "category": "surfboard", "samples": 312, **changes}
    return DisplayedDistribution(prompt=prompt, part=part, **settings)


def empty_distribution(**changes) -> DisplayedDistribution:
    return displayed(probability=np.zeros((24, 24, 24)), samples=0, **changes)


def box_body() -> DisplayedBody:
    """A box of a person's size, closed, faces counter-clockwise from outside."""
    corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    return DisplayedBody(corners * (0.25, 0.8, 0.15), np.array(faces))
