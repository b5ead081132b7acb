"""`blazepose` as a body regressor: BlazePose's landmarks, and a body fitted to them.

The networks know 33 landmarks in the image and in metres and no body; `refinement.landmark_fit`
makes a pose and a shape of them, `refinement.girth` fills the person's mask with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.joint_sets import JointSource
from chorus.body.model import BodyModel
from chorus.geometry import cameras
from chorus.perception.recorded_persons import nearest_weak_camera
from chorus.records.rows import Image, Person
from chorus.refinement.girth import GirthFitter
from chorus.refinement.landmark_fit import FittedBodies, LandmarkFitter, Landmarks

if TYPE_CHECKING:
    from chorus.perception.blazepose import Found

NOT_FOUND = "no person found where its box is, or one too small to regress"
LEAST_AGREEMENT = 0.6
"""Intersection over union of body and mask below which the body is refused (docs/perception.md)."""


class Networks(Protocol):
    """What is asked of the networks; `perception.blazepose.Blazepose` is one."""

    def look_at(self, image: np.ndarray, boxes: Float[np.ndarray, "P 4"]) -> list[Found | None]:
        """The person of each box, or None."""


@dataclass(frozen=True)
class PerceivedBody:
    """A body in an image.

    pose (24, 3) axis-angle, the first row the global rotation in the image's camera; betas (S,);
    root (3,) the pelvis joint in that camera, metres; K (3, 3) pixels; error: root mean squared
    distance of the landmarks from their pixels as a share of the person's extent; agreement:
    intersection over union of body and mask. straight (3,): the global rotation as a camera that
    looks straight at the person has it.
    """

    pose: Float[Tensor, "24 3"]
    betas: Float[Tensor, " S"]
    root: Float[Tensor, " 3"]
    K: Float[Tensor, "3 3"]
    error: float
    agreement: float
    straight: Float[Tensor, " 3"]


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if the package or a weight is missing."""
    from chorus.perception import blazepose

    blazepose.check(name, source, imports_dir)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, body: JointSource
) -> BlazeposeRegressor:
    """The regressor; the networks and the fit run on the CPU whatever the device.

    body: gives the 24 joints that are projected, and is the body that is fitted.
    """
    from chorus.perception.blazepose import Blazepose

    return BlazeposeRegressor(Blazepose(imports_dir), body)


class BodyFitter:
    """Bodies of the persons that the networks found in one image."""

    def __init__(self, body: BodyModel):
        self._landmarks = LandmarkFitter(body)
        self._girth = GirthFitter(body)

    def __call__(self, found: Sequence[Found], size: tuple[int, int]) -> list[PerceivedBody | None]:
        """The bodies of persons in an image of (width, height); None for one that is not finite."""
        if not found:
            return []
        fitted = self._landmarks(
            Landmarks(
                pixels=_tensor([one.landmarks[:, :2] for one in found]),
                metres=_tensor([one.world for one in found]),
                visibility=_tensor([one.landmarks[:, 3] for one in found]),
                image_size=torch.tensor([size] * len(found), dtype=torch.float32),
            )
        )
        pose = fitted.pose.clone()
        pose[:, 0] = roma.rotmat_to_rotvec(fitted.R)
        K = _intrinsics(fitted, size)
        betas, agreements = self._girth(
            pose, fitted.betas, fitted.root, K, [one.mask for one in found]
        )
        finite = pose.isfinite().flatten(1).all(1)
        return [
            PerceivedBody(
                pose=pose[at],
                betas=betas[at],
                root=fitted.root[at],
                K=K[at],
                error=float(fitted.error[at]),
                agreement=agreements[at],
                straight=fitted.pose[at, 0],
            )
            if finite[at]
            else None
            for at in range(len(found))
        ]


class BlazeposeRegressor:
    """A `HumanRegressor`."""

    def __init__(self, networks: Networks, body: JointSource):
        self._networks = networks
        self._joints = body
        self._body = body if isinstance(body, BodyModel) else body.body
        self._fit = BodyFitter(self._body)

    def regress(
        self, images: Sequence[Image], boxes: Sequence[np.ndarray]
    ) -> list[list[Person | str]]:
        """For each image and its person boxes (P, 4), P persons in the same order, or why not."""
        return [self._of_image(*each) for each in zip(images, boxes, strict=True)]

    def _of_image(self, image: Image, boxes: np.ndarray) -> list[Person | str]:
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        found = self._networks.look_at(image.pixels, boxes)
        height, width = image.pixels.shape[:2]
        bodies = iter(self._fit([one for one in found if one is not None], (width, height)))
        answers: list[Person | str] = []
        for one, box in zip(found, boxes, strict=True):
            if one is None:
                answers.append(NOT_FOUND)
                continue
            perceived = next(bodies)
            reason = one.doubt or doubt(perceived)
            answers.append(reason or self._person(perceived, box))
        return answers

    def _person(self, perceived: PerceivedBody, box: Float[np.ndarray, " 4"]) -> Person:
        pose = perceived.pose.clone()
        pose[0] = perceived.straight
        joints = self._joints.posed_joints(pose, perceived.betas)
        pelvis = self._body.posed_joints(pose, perceived.betas)[0]
        straight, turned = roma.rotvec_to_rotmat(torch.stack([pose[0], perceived.pose[0]]))
        R = turned @ straight.mT
        pixels = cameras.project(joints, R, perceived.root - R @ pelvis, perceived.K)[0].numpy()
        camera = nearest_weak_camera(joints, pixels, box)
        return Person(
            box=box,
            pose=pose.numpy(),
            betas=perceived.betas.numpy(),
            camera=np.asarray(camera.camera, np.float32),
            crop_centre=np.asarray(camera.centre, np.float32),
            crop_side=camera.side,
            joints=pixels,
        )


def doubt(body: PerceivedBody | None) -> str:
    """Why a fitted body should not be believed, for people; empty if it may be."""
    if body is None:
        return "the body fitted to it is not finite"
    if body.agreement < LEAST_AGREEMENT:
        return f"body and mask disagree (IoU {body.agreement:.2f})"
    return ""


def _intrinsics(fitted: FittedBodies, size: tuple[int, int]) -> Float[Tensor, "P 3 3"]:
    return cameras.intrinsics(fitted.focal / size[0], size[0], size[1])


def _tensor(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
