"""How stout a person is: the direction among shapes, and what the mask tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chorus.refinement.girth import GirthFitter, stouter
from chorus.rendering.raycast import cast
from references.stick_body import shaped_stick_body, stick_body

BODY = shaped_stick_body()
POSE = torch.zeros(1, 24, 3)
POSE[0, 0] = torch.tensor([np.pi, 0, 0])  # upright before the camera, whose y points down
ROOT = torch.tensor([[0.0, -0.2, 3.0]])
K = torch.tensor([[[300.0, 0, 160], [0, 300.0, 200], [0, 0, 1]]])


def mask_of(betas):
    posed = BODY.pose(POSE[0], betas)
    vertices = posed.vertices - posed.joints[0] + ROOT[0]
    return cast(
        [(vertices.numpy(), BODY.faces.numpy())], np.eye(3), np.zeros(3), K[0], 320, 400
    ).found


def test_stouter_is_the_shape_that_leaves_the_joints():
    direction = stouter(BODY)
    assert direction[1] > 0.99 and direction.norm() == pytest.approx(1)


@pytest.mark.parametrize("true", [-1.5, 0.0, 1.5])
def test_the_mask_tells_how_stout_a_person_is(true):
    betas = torch.zeros(1, 10)
    stout = true * GirthFitter(BODY).direction[None]
    found, agreements = GirthFitter(BODY)(POSE, betas, ROOT, K, [mask_of(stout[0])])
    assert (found @ GirthFitter(BODY).direction)[0] == pytest.approx(true, abs=0.6)
    assert agreements[0] > 0.8


def test_nothing_to_compare_with_leaves_the_shape():
    betas = torch.zeros(2, 10)
    empty, whole = np.zeros((400, 320), bool), mask_of(betas[0])
    fitter = GirthFitter(BODY)
    twice = [torch.cat([value, value]) for value in (POSE, ROOT, K)]
    found, agreements = fitter(twice[0], betas, *twice[1:], [empty, whole])
    assert np.isnan(agreements[0]) and (found[0] == 0).all() and agreements[1] > 0.8
    faceless = replace(stick_body(), faces=BODY.faces[:0])
    found, agreements = GirthFitter(faceless)(POSE, betas[:1], ROOT, K, [whole])
    assert np.isnan(agreements[0]) and (found == 0).all()
