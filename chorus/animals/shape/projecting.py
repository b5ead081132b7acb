"""Where a prediction has the template's points in the crop, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chorus.animals.articulation import Order, blend, part_transforms
from chorus.animals.shape.network import Prediction
from chorus.animals.template import Template

_EPSILON = 0.0016


@dataclass(frozen=True, eq=False)
class PosedTemplate:
    """A template as tensors, and how its parts follow each other."""

    vertices: Float[Tensor, "V 3"]
    membership: Float[Tensor, "V P"]
    centres: Float[Tensor, "P 3"]
    limits: Float[Tensor, "P 2"]
    moving: Bool[Tensor, " P"]
    parents: tuple[int, ...]
    keypoints: Tensor
    order: Order

    @staticmethod
    def of(template: Template, order: Order, device: str) -> PosedTemplate:
        """The tensors of a template."""
        names = ("vertices", "membership", "centres", "limits", "moving")
        arrays = {name: torch.tensor(getattr(template, name), device=device) for name in names}
        return PosedTemplate(
            **arrays,
            parents=template.parents,
            keypoints=torch.tensor(template.keypoint_vertices, device=device),
            order=order,
        )

    def posed(self, prediction: Prediction, rows: Tensor | None = None) -> Float[Tensor, "B C V 3"]:
        """The template's vertices, or those of `rows`, posed by each camera's parts."""
        angles = prediction.angles * self.moving
        turns = roma.rotvec_to_rotmat(angles[..., None] * prediction.axes)
        transforms = part_transforms(
            turns, self.centres, self.parents, self.order, prediction.shifts
        )
        vertices, membership = self.vertices, self.membership
        if rows is not None:
            vertices, membership = vertices[rows], membership[rows]
        return blend(vertices, membership, transforms)

    def projected_keypoints(self, prediction: Prediction) -> Float[Tensor, "B C K 2"]:
        """The keypoints in the crop, -1 to 1."""
        return project(self.posed(prediction, self.keypoints), prediction)[..., :2]


def project(points: Float[Tensor, "B C V 3"], prediction: Prediction) -> Float[Tensor, "B C V 3"]:
    """Points of the posed template in the crop: x and y, -1 to 1, y down, and a depth."""
    turned = points @ prediction.rotation.mT
    placed = prediction.scale[..., None, None] * turned
    return torch.cat([placed[..., :2] + prediction.shift[..., None, :], placed[..., 2:]], dim=-1)


def rigid(prediction: Prediction) -> Prediction:
    """The prediction with all parts at rest."""
    return prediction._replace(
        angles=torch.zeros_like(prediction.angles), shifts=torch.zeros_like(prediction.shifts)
    )


def keypoint_loss(
    found: Float[Tensor, "B C K 2"],
    wanted: Float[Tensor, "B K 2"],
    confidence: Float[Tensor, "B K"],
) -> Float[Tensor, "B C"]:
    """Squared distances of keypoints, weighed by confidence, per image and camera."""
    square = (found - wanted[:, None]).square().sum(-1)
    weight = confidence[:, None]
    return (weight * square).sum(-1) / (weight.sum(-1) + _EPSILON)


def limit_loss(
    angles: Float[Tensor, "B C P"], limits: Float[Tensor, "P 2"]
) -> Float[Tensor, "B C"]:
    """How far hinges turn beyond their limits, squared radians, summed over parts."""
    over = (angles - limits[:, 1]).clamp(min=0) + (limits[:, 0] - angles).clamp(min=0)
    return (over * (limits[:, 1] > limits[:, 0])).square().sum(-1)


def mean_over_cameras(
    loss: Float[Tensor, "B C"], log_probability: Float[Tensor, "B C"]
) -> Float[Tensor, ""]:
    """The expected loss under the cameras' probabilities, meaned over images."""
    return (log_probability.exp() * loss).sum(1).mean()


def likeliest(prediction: Prediction) -> Prediction:
    """The prediction of each image's likeliest camera alone."""
    best = prediction.log_probability.argmax(1)
    rows = torch.arange(len(best), device=best.device)

    def chosen(values: Tensor) -> Tensor:
        return values[rows, best][:, None]

    # each image may take another camera's axes: they join the angles
    axes = prediction.axes[best][:, None]
    return Prediction(
        chosen(prediction.scale),
        chosen(prediction.shift),
        chosen(prediction.rotation),
        chosen(prediction.angles),
        axes,
        chosen(prediction.shifts),
        chosen(prediction.log_probability),
    )
