"""One description of the picture, drawn alike by every renderer: cameras, shells, colours, light.

The distribution is drawn as nested shells, the outermost at the display threshold, coloured by
probability and more opaque towards the core. Each shell is seen from outside only, so drawing them
from the core outwards needs no sorting. Light is fixed to the camera. Colours are computed here per
vertex; renderers only interpolate them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from chorus.geometry.cameras import to_camera
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution, spread_directions
from chorus.viewing.surfaces import Surface, isosurface, refine

COLOUR_MAP = "plasma"
"""Perceptually uniform matplotlib map: violet where unlikely, yellow where likely."""
COLOURS_START = 0.3
"""Colours vary from this share of the scale on; what is less likely is seldom shown."""
BACKGROUND = (1.0, 1.0, 1.0)
BODY_COLOUR = (0.80, 0.79, 0.775)
SHELL_STEPS = (0.0, 0.14, 0.28, 0.43, 0.58, 0.73, 0.88)
"""Shell levels as shares of the way from the display threshold to the peak."""
SHELL_OPACITY = (0.13, 0.10, 0.11, 0.14, 0.20, 0.32, 0.92)
THRESHOLD_SHARE = 0.66
"""Default display threshold, as a share of the distribution's peak."""
FRAMED_SHELL = 1
"""Number of the shell, from outside, that a picture must hold whole."""
MARGIN = 1.07
"""Air around the composition, as a factor on the half width and height of the picture."""
KEY_LIGHT = np.array([-0.45, -0.65, -0.62])
FILL_LIGHT = np.array([0.80, -0.05, -0.60])
TOP_LIGHT = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Shell:
    """One level of the distribution: its surface, colour (3,) in [0, 1] and opacity."""

    surface: Surface
    level: float
    colour: np.ndarray
    opacity: float


@dataclass(frozen=True)
class Composition:
    """Everything in a picture but the camera."""

    body: DisplayedBody | None
    shells: tuple[Shell, ...]
    """From the innermost outwards, the order in which they are drawn."""
    centre: np.ndarray
    """(3,) what the camera looks at, on the vertical axis through the origin."""
    outline: np.ndarray
    """(P, 3) points that the picture must hold."""


@dataclass(frozen=True)
class View:
    """A pinhole camera that looks at a composition's centre (docs/conventions.md, Azimuth)."""

    azimuth_degrees: float
    """0 at the person's left, 90 in front, 270 behind."""
    elevation_degrees: float = 12.0
    distance: float = 6.0
    """From the composition's centre, metres; see `frame`."""
    field_of_view_degrees: float = 24.0
    """Vertical; narrow, so that bodies look undistorted."""

    @property
    def rotation(self) -> np.ndarray:
        """R (3, 3), body frame to camera orientation."""
        azimuth, elevation = np.radians([self.azimuth_degrees, self.elevation_degrees])
        level = np.cos(elevation)
        away = np.array(
            [np.cos(azimuth) * level, np.sin(elevation), np.sin(azimuth) * level], dtype=float
        )
        right = np.cross(-away, (0.0, 1.0, 0.0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(-away, right), -away])

    def camera(
        self, composition: Composition, width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """R (3, 3), t (3,) body frame to camera (metres) and K (3, 3) pixels."""
        R = self.rotation
        t = np.array([0.0, 0.0, self.distance]) - R @ composition.centre
        focal = height / 2 / np.tan(np.radians(self.field_of_view_degrees) / 2)
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return R, t, K


def frame(composition: Composition, views: Sequence[View], aspect: float = 1.0) -> list[View]:
    """The views moved to one common distance from which each holds the whole composition.

    `aspect` is the picture's width over its height.
    """
    points = composition.outline - composition.centre
    nearest = 0.1
    for view in views:
        slope = np.tan(np.radians(view.field_of_view_degrees) / 2) / MARGIN
        right, down, along = view.rotation @ points.T
        needed = np.maximum(np.abs(right) / (slope * aspect), np.abs(down) / slope) - along
        nearest = max(nearest, float(needed.max()))
    return [replace(view, distance=nearest) for view in views]


class ColourScale:
    """Colours of probabilities from 0 to `top`, the peak rounded up to a twentieth."""

    def __init__(self, peak: float) -> None:
        self.top = float(min(max(np.ceil(20 * peak - 0.02) / 20, 0.05), 1.0))

    @property
    def ticks(self) -> list[float]:
        """Round values from 0 to at most `top`, four to six of them."""
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if self.top / s <= 5.01)
        return [round(i * step, 2) for i in range(int(self.top / step + 0.01) + 1)]

    @cached_property
    def table(self) -> np.ndarray:
        """(256, 3) colours in [0, 1] from probability 0 to `top`."""
        from matplotlib import colormaps

        share = np.linspace(0, 1, 256)
        position = np.clip((share - COLOURS_START) / (1 - COLOURS_START), 0, 1)
        return colormaps[COLOUR_MAP](0.03 + 0.94 * position)[:, :3]

    def __call__(self, probability: float) -> np.ndarray:
        """Colour (3,) of one probability."""
        return self.table[round(255 * min(max(probability / self.top, 0.0), 1.0))]


def default_threshold(peak: float) -> float:
    """Display threshold for a distribution with this highest probability."""
    return max(THRESHOLD_SHARE * peak, 1.5 / 255)


def outermost_level(field: np.ndarray, threshold: float | None = None) -> float:
    """Level of the outermost surface of a refined field (N, N, N): the threshold, if any is given.

    The default is a share of the refined field's peak, not of the voxels': refining takes a third
    and more off the probability of an object that is one voxel thin.
    """
    return default_threshold(float(field.max())) if threshold is None else threshold


def compose(
    distribution: DisplayedDistribution, body: DisplayedBody | None, threshold: float | None = None
) -> Composition:
    """Shells from `threshold` (None: the default share of the peak) to the distribution's peak."""
    field = refine(distribution.probability)
    peak = float(field.max())
    scale = ColourScale(distribution.peak)
    low = outermost_level(field, threshold)
    shells = []
    if not distribution.is_empty and peak > low:
        for step, opacity in zip(SHELL_STEPS, SHELL_OPACITY, strict=True):
            level = low + step * (peak - low)
            surface = isosurface(field, level, distribution.side)
            if not surface.is_empty:
                shells.append(Shell(surface, level, scale(level), opacity))
    return _composed(body, shells)


def compose_body(body: DisplayedBody) -> Composition:
    """The body alone."""
    return _composed(body, [])


def _composed(body: DisplayedBody | None, shells: list[Shell]) -> Composition:
    shown = [] if body is None else [body.vertices]
    # the faint outermost shells may have far islands; the picture is framed without them
    shown += [shells[min(FRAMED_SHELL, len(shells) - 1)].surface.vertices] if shells else []
    cloud = np.concatenate(shown) if shown else np.array([[-1.0, -1, -1], [1, 1, 1]])
    # the farthest points in many directions stand for all of them, to a hundredth of the size
    outline = cloud[np.unique((cloud @ spread_directions(400).T).argmax(0))]
    centre = np.array([0.0, (outline[:, 1].min() + outline[:, 1].max()) / 2, 0.0])
    return Composition(body, tuple(reversed(shells)), centre, outline)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def body_colours(body: DisplayedBody, R: np.ndarray) -> np.ndarray:
    """(V, 4) opaque matte colours of the body seen by a camera with rotation R."""
    normals = body.normals @ R.T
    key = np.clip(normals @ _unit(KEY_LIGHT), 0, 1)
    fill = np.clip(normals @ _unit(FILL_LIGHT), 0, 1)
    sky = 0.5 + 0.5 * body.normals @ TOP_LIGHT
    openness = body.openness**0.85
    light = openness * (0.34 + 0.20 * sky + 0.22 * fill) + 0.42 * key * (0.55 + 0.45 * openness)
    own = np.array(BODY_COLOUR) if body.colours is None else body.colours
    rgb = np.clip(light[:, None] * own, 0, 1)
    return np.concatenate([rgb, np.ones((len(rgb), 1))], axis=1).astype(np.float32)


def shell_colours(shell: Shell, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(V, 4) colours of a shell: glassy, denser where it is seen edge-on, with a soft highlight."""
    normals = shell.surface.normals @ R.T
    towards = -_unit(to_camera(shell.surface.vertices, R, t))
    facing = np.clip((normals * towards).sum(1), 0, 1)
    key = np.clip(normals @ _unit(KEY_LIGHT), 0, 1)
    half = _unit(_unit(KEY_LIGHT) + towards)
    shine = np.clip((normals * half).sum(1), 0, 1) ** 40
    light = 0.76 + 0.34 * key
    rgb = np.clip(light[:, None] * shell.colour + 0.18 * shine[:, None], 0, 1)
    alpha = shell.opacity + (1 - shell.opacity) * (0.45 * (1 - facing) ** 3 + 0.20 * shine)
    return np.concatenate([rgb, alpha[:, None]], axis=1).astype(np.float32)
