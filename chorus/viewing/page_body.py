"""What the page of distributions needs to pose the body, carry fields along, and show contacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from chorus.body.model import BodyModel, star_body, star_pose
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.skinning_field import skinning_field
from chorus.viewing.contact_figure import ContactScale
from chorus.viewing.lettering import printable
from chorus.viewing.packing import data_address, pack_bytes
from chorus.viewing.retained_poses import RetainedPose

FIELD_RESOLUTION = 48
"""Of the skinning field in the page: that of distributions but for some ablations."""
POSE_HEIGHT = 112
"""Of the images that poses are from, pixels."""
CONTACT_STEPS = 63
"""Steps of a contact probability in the page; finer ones cannot be told apart."""


@dataclass(frozen=True, eq=False)
class PageBody:
    """What a page of distributions knows of their body beyond its surface."""

    model: BodyModel
    """The body that the page shows."""
    poses: Sequence[RetainedPose]
    """Poses that the page offers."""
    contacts: Sequence[Float[np.ndarray, " V"] | str]
    """Of every distribution the vertices' probabilities of contact, or in a sentence why it does
    not belong to this body in its star pose; it then stays as it is."""
    side: float = 3.0
    """Of the distributions' grids, metres."""
    cache_dir: Path | None = None
    """Where skinning fields are kept."""


def pack_motion(about: PageBody) -> dict:
    """Skeleton, skinning weights and poses for the page's script; without poses nothing else.

    Weights are in 255 steps, of joints 1 to 23 one after another; joint 0 has the rest.
    """
    if not about.poses:
        return {"poses": []}
    body = about.model
    star = star_body(body)
    grid = VoxelGrid(FIELD_RESOLUTION, about.side)
    field = skinning_field(star.vertices, body.weights, grid, cache_dir=about.cache_dir)
    _, joints = body.rest()
    return {
        "parents": list(body.parents),
        "joints": _rounded(joints.cpu().numpy(), 6),
        "star": _rounded(star_pose().numpy(), 7),
        "weights": _pack_weights(body.weights.cpu().numpy()),
        "field": {"resolution": grid.resolution, "side": grid.side}
        | _pack_weights(field.cpu().numpy()),
        "poses": [_pack_pose(pose) for pose in about.poses],
    }


def pack_contact(contact: Float[np.ndarray, " V"] | str) -> dict:
    """The vertices' probabilities in steps up to the top of their colour scale; or why not."""
    if isinstance(contact, str):
        return {"fault": printable(contact)}
    top = ContactScale(float(contact.max(initial=0))).top
    steps = np.rint(CONTACT_STEPS * np.minimum(contact / top, 1)).astype(np.uint8)
    return {"top": top, "steps": CONTACT_STEPS, **pack_bytes(steps, True)}


def _pack_weights(weights: Float[np.ndarray, "P 24"]) -> dict:
    return pack_bytes(np.rint(255 * weights[:, 1:].T).astype(np.uint8), True)


def _pack_pose(pose: RetainedPose) -> dict:
    return {
        "prompt": pose.key.prompt,
        "name": printable(pose.name),
        "text": printable(pose.text),
        "pose": _rounded(pose.pose, 4),
        "image": "" if pose.image is None else _small(pose.image),
    }


def _rounded(array: np.ndarray, digits: int) -> list[float]:
    return np.asarray(array, float).round(digits).ravel().tolist()


def _small(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    size = max(round(width * POSE_HEIGHT / height), 1), POSE_HEIGHT
    return data_address(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
