"""Regressing persons crop by crop: what FrankMocap's regressor and HMR2.0 have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.joint_sets import JointSource
from chorus.geometry.weak_perspective import project_weak
from chorus.perception.person_crops import Crop, normalised
from chorus.records.rows import Image, Person

TOO_SMALL = "too small to regress"


class Prediction(NamedTuple):
    """What a network answers for B crops.

    rotations (B, 24, 3, 3), the first one global; betas (B, 10); camera (B, 3) = (s, tx, ty), crop
    coordinate in [-1, 1] = s * (X, Y) + (tx, ty).
    """

    rotations: Float[Tensor, "B 24 3 3"]
    betas: Float[Tensor, "B 10"]
    camera: Float[Tensor, "B 3"]


class CropRegressor:
    """A `HumanRegressor` of a network on crops, for all persons of all images of a batch at once.

    network: crops (B, 3, S, S) of `normalised` to a `Prediction`. crop: image and box to the crop,
    or None. body: gives the 24 joints that are projected. at_once: the most crops that are on the
    device together, whatever an image holds. project: the network's own way from joints, cameras,
    and the crops' centres and sides to pixels.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Prediction],
        crop: Callable[[np.ndarray, np.ndarray], Crop | None],
        body: JointSource,
        device: str,
        at_once: int,
        project: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = project_weak,
    ):
        self._network = network
        self._crop = crop
        self._body = body.to(device)
        self._device = device
        self._at_once = at_once
        self._project = project

    def regress(
        self, images: Sequence[Image], boxes: Sequence[np.ndarray]
    ) -> list[list[Person | str]]:
        """For each image and its person boxes (P, 4), P persons in the same order.

        TOO_SMALL for a person whose crop is under 20 px or outside the image.
        """
        boxes = [np.asarray(of_image, np.float32).reshape(-1, 4) for of_image in boxes]
        by_image: list[list[Person | str]] = [[TOO_SMALL] * len(of_image) for of_image in boxes]

        def crops() -> Iterator[tuple[int, int, Crop]]:
            for at, (image, of_image) in enumerate(zip(images, boxes, strict=True)):
                for number, box in enumerate(of_image):
                    crop = self._crop(image.pixels, box)
                    if crop is not None:
                        yield at, number, crop

        coming = crops()
        while chunk := list(islice(coming, self._at_once)):
            persons = self._persons(
                [crop for *_, crop in chunk], [boxes[at][number] for at, number, _ in chunk]
            )
            for (at, number, _), person in zip(chunk, persons, strict=True):
                by_image[at][number] = person
        return by_image

    @torch.inference_mode()
    def _persons(self, crops: list[Crop], boxes: list[np.ndarray]) -> list[Person]:
        prediction = self._network(normalised(crops, self._device))
        centre = torch.from_numpy(np.stack([crop.centre for crop in crops])).to(self._device)
        side = torch.tensor([crop.side for crop in crops], device=self._device)
        joints = self._project(
            self._body.posed_joints(prediction.rotations, prediction.betas),
            prediction.camera,
            centre,
            side,
        )
        pose = roma.rotmat_to_rotvec(prediction.rotations.double()).float()
        pose, betas, camera, joints = (
            value.cpu().numpy() for value in (pose, prediction.betas, prediction.camera, joints)
        )
        return [
            Person(
                box=boxes[at],
                pose=pose[at],
                betas=betas[at],
                camera=camera[at],
                crop_centre=crop.centre,
                crop_side=crop.side,
                joints=joints[at],
            )
            for at, crop in enumerate(crops)
        ]
