"""The person around whom an object is placed: the star pose, a file of poses, a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from chorus.errors import BadInput
from chorus.geometry import masks
from chorus.records.rows import Camera
from chorus.settings import OptionGroup

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.recorded_poses import RecordedPose
    from chorus.reconstruction.placement_terms import ObjectView
    from chorus.records.gathering import Retained


Samples = Callable[[], "Retained"]
"""Reads the retained samples of the tree."""


@dataclass(frozen=True)
class PersonOptions(OptionGroup):
    """Which person."""

    poses: Path | None = None
    """The person's pose: an .npz of `chorus perceive`, or any file of poses that `chorus import`
    reads; the star pose if left out."""
    person: int = 0
    """Which person of --poses, from 0."""
    mask: Path | None = None
    """PNG of the object's pixels in the image that --poses is of."""
    sample: int | None = None
    """Instead of --poses: the person, the camera and the object's mask of so manieth a retained
    sample of the tree, from 0, in the order of its tables."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample is not None and (self.poses or self.mask):
            raise BadInput(
                "--sample has a pose and a mask of its own; leave out --poses and --mask, or it."
            )
        if self.mask is not None and self.poses is None:
            raise BadInput("--mask is of the image that --poses is of; give both.")
        if self.person < 0 or (self.sample or 0) < 0:
            raise BadInput("--person and --sample count from 0.")


class Person(NamedTuple):
    """A pose, and where the object is seen if that is known."""

    pose: Float[np.ndarray, "24 3"]
    """Axis-angle, radians; the global rotation does not matter."""
    name: str
    """Where it is from, for people."""
    view: ObjectView | None = None
    notes: tuple[str, ...] = ()
    """What people should know, a sentence each."""


def person_of(options: PersonOptions, samples: Samples, body: BodyModel) -> Person:
    """The person that the options name; BadInput if there is none."""
    if options.sample is not None:
        return _of_sample(samples(), options.sample)
    if options.poses is not None:
        return _of_file(options.poses, options.person, options.mask, body)
    from chorus.body.model import star_pose

    return Person(star_pose().numpy(), "star pose")


def _of_sample(samples: Retained, at: int) -> Person:
    from chorus.reconstruction.placement_terms import ObjectView

    if at >= len(samples):
        raise BadInput(
            f"--sample {at}: the tree has {len(samples)} retained samples of these; they count "
            "from 0."
        )
    counts, height, width = samples.mask[at]
    seen = np.zeros((height, width), bool)
    for instance in counts:
        seen |= masks.decode(instance, height, width).astype(bool)
    view = ObjectView(seen, Camera(samples.R[at], samples.t[at], samples.K[at]))
    return Person(np.asarray(samples.pose[at]).reshape(24, 3), str(samples.keys[at]), view)


def _of_file(path: Path, number: int, mask: Path | None, body: BodyModel) -> Person:
    from chorus.perception.pose_files import read_poses

    recording = read_poses(path)
    poses = recording.poses
    if number >= len(poses):
        raise BadInput(
            f"--person {number}: {path} has {len(poses)} persons with a pose; they count from 0."
        )
    recorded = poses[number]
    name = f"{path.name}, person {number}"
    notes = list(recording.notes)
    view = None if mask is None else _view(recorded, mask, body, path)
    if view is not None and not _in_the_middle(view):
        height, width = view.mask.shape
        notes.append(
            f"--mask {mask} has {width} x {height} pixels, but the camera of {path} looks at the "
            f"pixel {view.camera.K[0, 2]:.0f}, {view.camera.K[1, 2]:.0f}: it may be the mask of "
            "another image."
        )
    return Person(recorded.pose, name, view, tuple(notes))


def _in_the_middle(view: ObjectView) -> bool:
    """Whether the camera looks at the middle of the image, to a tenth of its sides."""
    size = np.array(view.mask.shape[::-1])
    return bool((np.abs(view.camera.K[:2, 2] - size / 2) <= 0.1 * size).all())


def _view(recorded: RecordedPose, mask: Path, body: BodyModel, path: Path) -> ObjectView:
    from chorus.perception.mask_files import mask_of_png
    from chorus.perception.recorded_poses import PinholeCamera
    from chorus.reconstruction.placement_terms import ObjectView

    try:
        seen = mask_of_png(mask.read_bytes())
    except OSError as problem:
        raise BadInput(f"--mask {mask} cannot be read: {problem.strerror}.") from problem
    except BadInput as problem:
        raise BadInput(f"--mask {mask}: {problem}; give a PNG of the object's pixels.") from problem
    camera = recorded.camera
    if not isinstance(camera, PinholeCamera):
        raise BadInput(
            f"the persons of {path} have weak-perspective cameras, in which depth has no scale; a "
            "mask needs a pinhole camera, as `chorus perceive` finds. Leave out --mask."
        )
    return ObjectView(seen, body_to_camera(recorded, body, (seen.shape[1], seen.shape[0])))


def body_to_camera(recorded: RecordedPose, body: BodyModel, size: tuple[int, int]) -> Camera:
    """A recorded pinhole camera of an image of (width, height), as it sees the zero-shape body in
    the recorded pose."""
    from chorus.evaluation.known_camera import body_camera
    from chorus.perception.recorded_persons import betas_for, origin_of
    from chorus.perception.recorded_poses import pinhole_matrix

    K, betas = pinhole_matrix(recorded.camera, size), betas_for(recorded, body)
    place = origin_of(recorded, body)
    seen = body_camera(body, recorded.pose, betas, place, np.eye(3), np.zeros(3), K)
    return Camera(seen.R, seen.t, K)
