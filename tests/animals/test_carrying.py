"""A quadruped as a body, and what is learned around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chorus.animals.articulation import pose_template
from chorus.animals.body import body_camera, quadruped_body, quadruped_pose
from chorus.animals.carrying import agreement, learn_carried
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.pasture.scenes import LABELLED, sample_scene
from chorus.animals.pasture.tack import tack, tack_inside, tack_mask, tack_views
from chorus.body.model import star_body
from chorus.cli import main
from chorus.errors import BadInput

CELLS = 40


def test_the_body_poses_as_the_template():
    template = free_quadruped("horse", CELLS)
    body = quadruped_body(template)
    angles = np.random.default_rng(0).uniform(-0.4, 0.4, (3, 7))
    angles[:, 0] = 0
    pose = torch.from_numpy(quadruped_pose(template, angles)).float()
    posed = body.pose(pose).vertices.numpy()
    assert np.allclose(posed, pose_template(template, angles) - template.centres[0], atol=1e-5)
    assert np.allclose(star_body(body).vertices, body.v_template, atol=1e-5)
    with pytest.raises(BadInput, match="parts"):
        quadruped_body(replace(template, parts=(*template.parts[:6], "tail")))


def test_a_body_camera_sees_what_the_world_camera_sees():
    scene = sample_scene("horse", 4, replace(LABELLED, spread=0.0))
    animal, camera = scene.animals[0], scene.camera
    R, t = body_camera(animal.template, animal.turn, animal.place, camera.R, camera.t)
    seen = animal.in_world() @ camera.R.T + camera.t
    own = (animal.posed() - animal.template.centres[0]) @ R.T + t
    assert np.allclose(seen, own, atol=1e-4)


def test_an_object_moves_with_its_animal_and_hides_behind_it():
    settings = replace(LABELLED, spread=0.0, width=96, height=80)
    carried = tack("horse", "saddle")
    scenes = [sample_scene("horse", seed, settings) for seed in range(4)]
    views = tack_views(scenes, carried)
    assert views.pose.shape == (4, 24, 3) and len(views.masks) == 4
    assert all(mask.any() and mask.mean() < 0.3 for mask in views.masks)
    hidden = replace(scenes[0], occluder=(scenes[0].animals[0].in_world() * 1.0, np.zeros((0, 3))))
    assert np.array_equal(tack_mask(hidden, carried), views.masks[0])


def test_unknown_objects_are_refused():
    with pytest.raises(BadInput, match="saddle"):
        tack("horse", "sadle")
    with pytest.raises(BadInput, match="horse"):
        tack("bear", "saddle")
    with pytest.raises(BadInput, match="one sample"):
        learn_carried("horse", "saddle", 0, 0, "quotient", 1, lambda _: None)


def test_agreement_by_hand():
    inside = np.zeros((2, 2, 2), bool)
    inside[0] = True
    probability = np.where(inside, 0.8, 0.0)
    found = agreement(probability, inside)
    assert (found.inside, found.outside, found.overlap) == (pytest.approx(0.8), 0, 1)
    probability[1] = 0.8
    assert agreement(probability, inside).overlap == 0.5
    assert agreement(np.zeros((2, 2, 2)), inside).overlap == 0


def test_a_saddle_is_found_where_it_is(tmp_path, capsys):
    asked = ("--category", "horse", "--object", "saddle", "--samples", "24", "--workers", "1")
    more = ("--root", str(tmp_path), "--estimator", "quotient")
    assert main(["animals", "distribution", *asked, *more]) == 0
    text = capsys.readouterr().out
    inside, outside = (
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("mean prob")
    )
    assert inside > 0.4 and outside < 0.05
    made = {path.suffix for path in (tmp_path / "distributions").iterdir()}
    assert made == {".npz", ".png", ".html"}
    centre = tack("horse", "saddle").balls[1:2, :3] - free_quadruped("horse", CELLS).centres[0]
    assert tack_inside("horse", tack("horse", "saddle"), centre).all()
