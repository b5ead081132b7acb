"""The agreement of a body's surface with a mask, by hand, and what is doubted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from chorus.geometry import cameras
from chorus.refinement.agreement import (
    DISAGREE,
    NOT_EXPLAINED,
    agreement,
    body_surface,
    doubt,
    surface_pixels,
)
from chorus.refinement.settings import RefinementSettings
from chorus.rendering.raycast import cast
from references.stick_body import stick_body

BODY = stick_body()
EMPTY = np.zeros((120, 160), bool)


def rectangle(left, top, right, bottom):
    mask = EMPTY.copy()
    mask[top:bottom, left:right] = True
    return mask


def points(left, top, right, bottom):
    """Every half pixel of a rectangle."""
    x, y = np.meshgrid(np.arange(left, right, 0.5), np.arange(top, bottom, 0.5))
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)


@pytest.mark.parametrize(
    ("person", "thing", "expected"),
    [
        (rectangle(20, 20, 60, 100), EMPTY, 1.0),
        (rectangle(20, 60, 60, 100), EMPTY, 0.5),
        (rectangle(40, 20, 80, 100), EMPTY, 1 / 3),
        (rectangle(80, 20, 120, 100), EMPTY, 0.0),
        (rectangle(20, 60, 60, 100), rectangle(0, 0, 160, 60), 1.0),  # the object hides the rest
        (rectangle(0, 0, 160, 120), EMPTY, 40 * 80 / (160 * 120)),
    ],
)
def test_by_hand(person, thing, expected):
    assert agreement(points(20, 20, 60, 100), person, thing) == pytest.approx(expected, abs=0.04)


def test_what_lies_outside_the_image_does_not_count():
    assert agreement(points(-300, -50, 20, 200), rectangle(0, 0, 20, 120), EMPTY) == 1.0


def test_nothing_to_compare_with_is_nan():
    inside, person = points(20, 20, 60, 100), rectangle(20, 20, 60, 100)
    assert math.isnan(agreement(inside, EMPTY, EMPTY))
    assert math.isnan(agreement(inside, person, person))
    assert math.isnan(agreement(np.full((9, 2), np.nan), person, EMPTY))
    assert agreement(inside + 1000, person, EMPTY) == 0.0
    assert agreement(np.array([[0.5, 0.5]]), np.ones((1, 1), bool), np.zeros((1, 1), bool)) == 1.0


def test_the_points_draw_what_rays_see():
    eye = torch.tensor([0.5, 0.3, 3.0])
    R, t = cameras.look_at(eye, torch.zeros(3))
    K = cameras.intrinsics(torch.tensor(1.2), 640, 480)
    seen = cast([(BODY.v_template.numpy(), BODY.faces.numpy())], R, t, K, 640, 480).found
    surface, rest = body_surface(BODY), BODY.skinning_transforms(torch.zeros(1, 24, 3))
    drawn = surface_pixels(surface, rest, R[None], t[None], K[None])[0].numpy()
    assert agreement(drawn, seen, np.zeros_like(seen)) > 0.9
    behind = surface_pixels(surface, rest, R[None], -t[None], K[None])
    assert behind.isnan().all()


def test_the_points_are_even_and_follow_the_joints():
    surface = body_surface(BODY, 2400)
    share = surface.weights.mean(0)  # every joint has one of 24 equal boxes
    torch.testing.assert_close(share, torch.full((24,), 1 / 24), atol=2e-3, rtol=0)
    pose = 0.3 * torch.randn(2, 24, 3)
    posed = surface.posed(BODY.skinning_transforms(pose))
    joints = BODY.posed_joints(pose)[:, surface.weights.argmax(1)]
    assert (posed - joints).norm(dim=-1).max() < 0.06 * 3**0.5 + 1e-4
    assert torch.equal(surface.rest, body_surface(BODY, 2400).rest)


def test_a_body_without_triangles_has_no_surface():
    assert body_surface(replace(BODY, faces=BODY.faces[:0])) is None


def test_doubts():
    settings = RefinementSettings(doubt_residual=0.05, doubt_agreement=0.4)
    nan = math.nan
    assert [doubt(*values, settings) for values in ((0.05, 0.4), (0.01, nan))] == ["", ""]
    assert doubt(0.06, 0.9, settings) == doubt(nan, 0.9, settings) == NOT_EXPLAINED
    assert doubt(0.01, 0.39, settings) == DISAGREE
