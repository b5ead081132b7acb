"""Cameras from the words of an augprompt (method.md 2), by the distributions of viewpoints.yaml.

A camera never stands inside a body, inside an object or under the ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from chorus.errors import BadInput, unknown_name
from chorus.synthetic.world.arranging import Arrangement
from chorus.synthetic.world.expressions import Figure, known_place
from chorus.synthetic.world.posing import angles_to_matrix, unit
from chorus.synthetic.world.reading import Entry, read_yaml
from chorus.synthetic.world.scene import SceneCamera

_LOWEST_EYE = 0.12  # metres over the ground
_CLEARANCE = 0.3  # metres between the camera and any skin or object
_ROLL_DEGREES = 1.5
_AIM = 0.05  # standard deviation of the aim, in image sizes


@dataclass(frozen=True)
class Framing:
    """What fills the image: `around` is group, person or a place; either `fill`, image size over
    subject size, or `extent`, metres from top to bottom of the image."""

    around: str
    fill: tuple[float, float] | None
    extent: tuple[float, float] | None


@dataclass(frozen=True)
class View:
    """A camera distribution. azimuths: (weight, mean, spread) degrees from the person's facing;
    elevation: mean and spread, degrees; framings: weights; obeys: how often it is followed."""

    name: str
    words: tuple[str, ...]
    obeys: float
    azimuths: tuple[tuple[float, float, float], ...]
    elevation: tuple[float, float]
    framings: Mapping[str, float]


@dataclass(frozen=True)
class Viewpoints:
    """All views by name, the framings they draw from, and the lens (mean, spread, low, high)."""

    views: Mapping[str, View]
    framings: Mapping[str, Framing]
    lens: tuple[float, float, float, float]


@cache
def viewpoints() -> Viewpoints:
    """The viewpoints that come with the package."""
    return read_viewpoints(
        Path(str(resources.files("chorus.synthetic"))) / "data" / "viewpoints.yaml"
    )


def read_viewpoints(path: Path) -> Viewpoints:
    """Read a viewpoints file; BadInput names file, view, field, found and expected."""
    top = read_yaml(path)
    lens = top.parsed("lens", lambda value: _numbers(value, 4))
    framings = {name: _framing(entry) for name, entry in top.entries("framings").items()}
    rows = top.entries("views")
    if "original" not in rows:
        raise BadInput(f"{path.name}: the view 'original' is missing; the others fall back on it.")
    original = _view("original", rows["original"], framings, None)
    views = {
        name: original if name == "original" else _view(name, entry, framings, original)
        for name, entry in rows.items()
    }
    top.finish()
    return Viewpoints(views, framings, lens)


def find_view(augprompt: str) -> View:
    """The view that an augprompt's words ask for, longest words first; `original` if none do."""
    text = augprompt.lower()
    matches = [
        (len(word), view)
        for view in viewpoints().views.values()
        for word in view.words
        if word in text
    ]
    return max(matches, key=lambda item: item[0])[1] if matches else viewpoints().views["original"]


@dataclass(frozen=True)
class Subject:
    """What is looked at: a person with its figure and heading, and the object's vertices (N, 3)."""

    figure: Figure | None
    heading: np.ndarray
    object_vertices: np.ndarray

    @classmethod
    def of(
        cls, arrangement: Arrangement | None, figure: Figure | None, object_vertices: np.ndarray
    ) -> Subject:
        """From an arrangement; without a person the object alone, facing world z."""
        heading = np.array([0.0, 0, 1]) if arrangement is None else arrangement.heading
        return cls(figure, heading, object_vertices)

    def points(self, around: str) -> np.ndarray:
        """Vertices (N, 3) that have to fit into the image."""
        parts = [] if self.figure is None else [self.figure.vertices]
        if around == "group" or self.figure is None:
            parts.append(self.object_vertices)
        return np.concatenate(parts)[::7]


def sample_camera(
    augprompt: str,
    subject: Subject,
    rng: np.random.Generator,
    size: tuple[int, int],
    field_of_view: float | None = None,
) -> SceneCamera:
    """Draw a camera for a subject; size: image width and height in pixels.

    field_of_view: vertical, degrees, instead of what the lens of viewpoints.yaml draws.
    """
    known = viewpoints()
    view = find_view(augprompt)
    if rng.random() > view.obeys:
        view = known.views["original"]
    azimuths = np.array(view.azimuths)
    row = azimuths[rng.choice(len(azimuths), p=azimuths[:, 0] / azimuths[:, 0].sum())]
    azimuth = rng.uniform(-180, 180) if row[2] >= 180 else rng.normal(row[1], row[2])
    elevation = np.clip(rng.normal(*view.elevation), -30, 80)
    names = list(view.framings)
    weights = np.array([view.framings[name] for name in names])
    framing = known.framings[names[rng.choice(len(names), p=weights / weights.sum())]]
    if subject.figure is None:
        framing = replace(framing, around="group", fill=framing.fill or (1.1, 2.0), extent=None)
    mean, spread, low, high = known.lens
    usual = np.clip(rng.normal(mean, spread), low, high)  # drawn anyway: the rest stays the same
    field_of_view = np.radians(usual if field_of_view is None else field_of_view)
    level = angles_to_matrix(0, azimuth, 0) @ subject.heading
    toward_eye = np.cos(np.radians(elevation)) * level + np.array(
        [0, np.sin(np.radians(elevation)), 0]
    )
    target, distance = _aim(framing, subject, unit(toward_eye), field_of_view, rng)
    return _camera(subject, target, distance * unit(toward_eye), field_of_view, rng, size)


def _aim(
    framing: Framing,
    subject: Subject,
    toward_eye: np.ndarray,
    field_of_view: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """The point (3,) to look at and the distance of the eye from it, metres."""
    half = np.tan(field_of_view / 2)
    if framing.extent is not None:
        return subject.figure.place(framing.around), rng.uniform(*framing.extent) / 2 / half
    points = subject.points(framing.around)
    target = (points.max(0) + points.min(0)) / 2
    view = _view_axes(toward_eye)
    right, up, nearer = ((points - target) @ view.T).T
    span = np.maximum(np.abs(right), np.abs(up))
    return target, float((span * rng.uniform(*framing.fill) / half + nearer).max())


def _camera(
    subject: Subject,
    target: np.ndarray,
    offset: np.ndarray,
    field_of_view: float,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> SceneCamera:
    width, height = size
    reach = np.linalg.norm(offset)
    image_size = 2 * reach * np.tan(field_of_view / 2)
    axes = _view_axes(unit(offset))
    wander = np.clip(rng.normal(0, _AIM, 2), -2 * _AIM, 2 * _AIM) * image_size
    target = target + wander @ axes[:2]
    eye = _clear(target + offset, unit(offset), subject)
    right, up, back = _view_axes(unit(eye - target))
    roll = np.radians(rng.normal(0, _ROLL_DEGREES))
    right, up = np.cos(roll) * right + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * right
    R = np.stack([right, -up, -back])
    focal = height / 2 / np.tan(field_of_view / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return SceneCamera(R=R, t=-R @ eye, K=K, width=width, height=height)


def _clear(eye: np.ndarray, back: np.ndarray, subject: Subject) -> np.ndarray:
    """The eye (3,) over the ground and, stepping back if need be, clear of everything solid."""
    solid = subject.points("group")
    for _ in range(20):
        eye[1] = max(eye[1], _LOWEST_EYE)
        if len(solid) == 0 or ((solid - eye) ** 2).sum(1).min() > _CLEARANCE**2:
            break
        eye = eye + 0.12 * back
    return eye


def _view_axes(toward_eye: np.ndarray) -> np.ndarray:
    """Rows right, up, back (3, 3) of an upright image whose eye lies in that direction."""
    right = unit(np.cross([0.0, 1.0, 0.0], toward_eye))
    return np.stack([right, np.cross(toward_eye, right), toward_eye])


def _framing(entry: Entry) -> Framing:
    around = entry.text("around")
    if around not in ("group", "person"):
        known_place(around)
    framing = Framing(
        around,
        entry.optional("fill", lambda value: _numbers(value, 2)),
        entry.optional("extent", lambda value: _numbers(value, 2)),
    )
    fits = framing.fill if around in ("group", "person") else framing.extent
    if fits is None or (framing.fill and framing.extent):
        raise BadInput(
            f"{entry.where}: expected 'fill' for group or person, 'extent' for a place on the body."
        )
    entry.finish()
    return framing


def _view(name: str, entry: Entry, framings: Mapping[str, Framing], base: View | None) -> View:
    """A view; what it does not say is taken from `base`."""
    for framing in entry.mapping("framings"):
        if framing not in framings:
            raise BadInput(f"{entry.where}: {unknown_name('framing', framing, framings)}")
    azimuths = entry.optional(
        "azimuths", lambda rows: tuple(_numbers(row, 3) for row in _rows(rows))
    )
    elevation = entry.optional("elevation", lambda value: _numbers(value, 2))
    if base is None and (azimuths is None or elevation is None):
        raise BadInput(f"{entry.where}: the view needs both 'azimuths' and 'elevation'.")
    view = View(
        name=name,
        words=tuple(word.lower() for word in entry.texts("words", [])),
        obeys=entry.number("obeys", 1.0),
        azimuths=azimuths or base.azimuths,
        elevation=elevation or base.elevation,
        framings=entry.numbers("framings"),
    )
    entry.finish()
    return view


def _rows(value: object) -> list:
    if not isinstance(value, list) or not value:
        raise BadInput(f"expected rows of [weight, mean, spread], found {value!r}")
    return value


def _numbers(value: object, count: int) -> tuple[float, ...]:
    good = isinstance(value, list) and len(value) == count
    if not good or not all(isinstance(item, int | float) for item in value):
        raise BadInput(f"expected {count} numbers, found {value!r}")
    return tuple(float(item) for item in value)
