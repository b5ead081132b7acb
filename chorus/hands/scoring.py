"""Scores of predicted hands against FreiHAND's or HO-3D's ground truth.

Preset `official` computes what the servers' scripts computed: unaligned, aligned by Procrustes with
reflections allowed (a mirrored hand scores 0), and for HO-3D scale and translation. `corrected`
allows no reflection and adds what neither script reports, errors relative to the wrist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from chorus.hands import metrics
from chorus.hands.joints import ORDERS, gather
from chorus.hands.metrics import Points

Preset = Literal["corrected", "official"]
_CLEAR = 0.7  # an explanation must lower the error to this part of it
_AT_ORIGIN = 0.2  # metres: a hand whose middle is nearer to the camera is not before it
_WRIST, _MIDDLE = "wrist", "middle1"


@dataclass(frozen=True)
class HandTruth:
    """Ground truth of N samples. opengl: whether its axes are OpenGL's (HO-3D), else the camera's
    (FreiHAND); the joints' order follows."""

    joints: Float[np.ndarray, "N 21 3"]
    vertices: Float[np.ndarray, "N V 3"]
    opengl: bool

    @property
    def order(self) -> str:
        """The order of its joints."""
        return "ho3d" if self.opengl else "freihand"


@dataclass(frozen=True)
class Row:
    """One alignment's figures.

    joint_errors (N, 21), vertex_errors (N, V) metres, None where the mesh has other vertices or the
    alignment is of joints alone; f_scores (N, 2), None for joints alone.
    """

    name: str
    joint_errors: Float[np.ndarray, "N 21"]
    vertex_errors: Float[np.ndarray, "N V"] | None
    f_scores: Float[np.ndarray, "N 2"] | None

    def figures(self) -> dict[str, float]:
        """Means in millimetres, areas and F-scores in 0..1; -1 for the error of a mesh of other
        vertices, as the official scripts have it."""
        figures = {
            "mpjpe": 1e3 * float(self.joint_errors.mean()),
            "joint_auc": metrics.area_under_curve(self.joint_errors),
        }
        if self.f_scores is not None:
            errors = self.vertex_errors
            figures["mpvpe"] = -1.0 if errors is None else 1e3 * float(errors.mean())
            figures["vertex_auc"] = -1.0 if errors is None else metrics.area_under_curve(errors)
            figures["f5"], figures["f15"] = (float(f) for f in self.f_scores.mean(axis=0))
        return figures


def score_hands(
    truth: HandTruth, joints: Points, vertices: Points, preset: Preset = "corrected"
) -> list[Row]:
    """The rows of a preset for predicted joints (N, 21, 3) and vertices (N, V, 3)."""
    rows = [_row("unaligned", truth, joints, vertices)]
    own = ORDERS[truth.order]
    if preset == "corrected":
        wrist = own.index(_WRIST)
        shift = (truth.joints - joints)[:, wrist : wrist + 1]
        rows.append(_row("wrist", truth, joints + shift, vertices + shift))
    if truth.opengl:
        moved = metrics.scale_translation_aligned(truth.joints, joints, own.index(_MIDDLE))
        rows.append(
            Row("scale and translation", metrics.point_errors(truth.joints, moved), None, None)
        )
    rows.append(_procrustes(truth, joints, vertices, official=preset == "official"))
    return rows


def _row(name: str, truth: HandTruth, joints: Points, vertices: Points) -> Row:
    return Row(
        name,
        metrics.point_errors(truth.joints, joints),
        metrics.point_errors(truth.vertices, vertices)
        if vertices.shape == truth.vertices.shape
        else None,
        metrics.f_scores(truth.vertices, vertices),
    )


def _procrustes(truth: HandTruth, joints: Points, vertices: Points, official: bool) -> Row:
    """Joints and mesh each by their own similarity; a mesh of other vertices by the joints'."""
    of_joints = metrics.best_similarity(truth.joints, joints, official)
    if vertices.shape == truth.vertices.shape:
        aligned = metrics.best_similarity(truth.vertices, vertices, official)(vertices)
    elif official:
        centred = joints - joints.mean(axis=1, keepdims=True)
        size = np.linalg.norm(centred, axis=(1, 2))
        aligned = metrics.officially_carried(vertices, of_joints, size)
    else:
        aligned = of_joints(vertices)
    return _row("procrustes", truth, of_joints(joints), aligned)


def likely_mistakes(truth: HandTruth, joints: Points) -> list[str]:
    """What would explain large errors of joints, in sentences: hands without a place before the
    camera, another order of joints, the other hand, the other axes."""
    found = []
    if _distance(joints) < _AT_ORIGIN and _distance(truth.joints) > 2 * _AT_ORIGIN:
        found.append(
            "the hands lie about the origin, not before the camera, as TempCLR's and HaMeR's do: "
            "unaligned errors say nothing."
        )
    given = _aligned_error(truth.joints, joints)
    sorted_again = {
        order: joints[:, gather(order, truth.order)] for order in ORDERS if order != truth.order
    }
    errors = {order: _aligned_error(truth.joints, each) for order, each in sorted_again.items()}
    order = min(errors, key=lambda name: errors[name])
    if errors[order] < _CLEAR * given:
        found.append(
            f"the joints are in the order of {order}, not in that of {truth.order}, which this "
            "ground truth has: errors of joints are wrong, those of the mesh are not."
        )
        joints, given = sorted_again[order], errors[order]
    mirrored = _aligned_error(truth.joints, joints * [-1.0, 1.0, 1.0])
    if mirrored < _CLEAR * given:
        found.append(
            "the hands are mirror images of the true ones (left hands for right ones): the "
            "official alignment, which allows reflections, hides it."
        )
    relative = [points - points[:, :1] for points in (truth.joints, joints)]
    turned = metrics.point_errors(relative[0], relative[1] * [1.0, -1.0, -1.0]).mean()
    if turned < _CLEAR * metrics.point_errors(*relative).mean():
        axes = ("OpenGL's axes (y up, z backward)", "the camera's axes (y down, z forward)")
        right, wrong = axes if truth.opengl else axes[::-1]
        found.append(f"the predictions are in {wrong}, the ground truth in {right}.")
    return found


def _distance(points: Points) -> float:
    """Median distance of hands from the origin, metres."""
    return float(np.median(np.linalg.norm(points.mean(axis=1), axis=1)))


def _aligned_error(truth: Points, predicted: Points) -> float:
    aligned = metrics.best_similarity(truth, predicted)(predicted)
    return float(metrics.point_errors(truth, aligned).mean())
