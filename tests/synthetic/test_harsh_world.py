"""Worlds other than the default: lenses, sizes and clothes change, nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from chorus.errors import BadInput
from chorus.evaluation.truth_scores import body_scale
from chorus.synthetic.look.appearance import body_map, draw_look, tailored
from chorus.synthetic.look.rendering import render
from chorus.synthetic.look.truth import truth_row
from chorus.synthetic.world.arranging import draw_betas, growth
from chorus.synthetic.world.interactions import categories, interactions
from chorus.synthetic.world.scene_settings import HARSH, WORLDS, SceneSettings
from chorus.synthetic.world.scenes import sample_scene

PROMPT = "A person carries a surfboard"


def scenes(body, settings, count, prompt=PROMPT):
    return [
        sample_scene("surfboard", prompt, "original", seed, body, settings) for seed in range(count)
    ]


def field_of_view(scene) -> float:
    return float(np.degrees(2 * np.arctan(scene.camera.height / 2 / scene.camera.K[1, 1])))


def test_the_default_world_draws_what_it_always_drew(body):
    scene = sample_scene("surfboard", PROMPT, "side view", 7, body)
    person = scene.persons[0]
    np.testing.assert_allclose(person.betas[:3], [-0.620475, 0.489842, 0.356887], atol=1e-4)
    np.testing.assert_allclose(person.joints[21], [0.259834, 0.884113, -0.070882], atol=1e-4)
    np.testing.assert_allclose(scene.camera.t, [0.112305, 0.823777, 2.482948], atol=1e-4)
    assert scene.camera.K[0, 0] == pytest.approx(469.3054331310724)
    assert person.look_seed == 1939983780


def test_only_what_differs_is_recorded():
    assert WORLDS["default"].recorded() == {}
    assert WORLDS["harsh"].recorded() == {
        "world": {
            "shape_spread": 1.5,
            "field_of_view": [25.0, 75.0],
            "stature": [0.6, 1.1],
            "cloth_thickness": 0.04,
        }
    }


def test_lenses_lie_between_the_ends(body):
    settings = replace(SceneSettings(), field_of_view=(25.0, 75.0))
    angles = np.array([field_of_view(scene) for scene in scenes(body, settings, 10)])
    assert 25 <= angles.min() < 35 and 65 < angles.max() <= 75


def test_another_lens_changes_the_camera_alone(body):
    usual = scenes(body, SceneSettings(), 4)
    wide = scenes(body, replace(SceneSettings(), field_of_view=(70.0, 70.0)), 4)
    for one, other in zip(usual, wide, strict=True):
        assert field_of_view(other) == pytest.approx(70)
        assert (one.fault, one.setting) == (other.fault, other.setting)
        for a, b in zip(one.persons[:1], other.persons[:1], strict=True):
            np.testing.assert_array_equal(a.vertices, b.vertices)


@pytest.mark.parametrize("stature", [0.6, 1.15])
def test_people_are_as_large_as_asked(body, stature):
    usual, scaled = (
        draw_betas(np.random.default_rng(3), body, 0.0, size) for size in (1.0, stature)
    )
    assert not usual.any()
    assert body_scale(body, scaled) == pytest.approx(stature, abs=0.02)
    vertices, joints = (points.numpy() for points in body.rest(torch.from_numpy(scaled)))
    template, pelvis = (points.numpy() for points in body.rest())
    wanted = pelvis[0] + stature * (template - pelvis[0])
    off = np.linalg.norm(vertices - wanted, axis=1)
    assert off.mean() < 0.02 and off.max() < 0.06
    np.testing.assert_allclose(joints[1:3, 0], [joints[1, 0], -joints[1, 0]], atol=2e-3)


def test_growth_is_linear_and_fits_smaller_shape_spaces(body):
    few = replace(body, shapedirs=body.shapedirs[..., :3])
    assert growth(few).shape == (10,) and not growth(few)[3:].any()
    assert body_scale(few, 0.1 * growth(few)[:3]) == pytest.approx(1.1, abs=0.02)


def test_sizes_change_with_the_world_and_the_truth_stays_consistent(body):
    settings = replace(HARSH, width=64, height=64)
    sizes = []
    for scene in scenes(body, settings, 8):
        for person in scene.persons[:1]:
            sizes.append(body_scale(body, person.betas))
            posed = body.pose(torch.from_numpy(person.pose), torch.from_numpy(person.betas))
            np.testing.assert_allclose(
                posed.vertices.numpy() + person.translation, person.vertices, atol=1e-4
            )
    assert min(sizes) < 0.8 and max(sizes) > 0.95


def test_people_hold_the_board_whatever_their_size(body):
    settings = SceneSettings(
        **dict.fromkeys(
            ("no_person", "no_object", "second_person", "second_object", "wrong_interaction"), 0
        )
    )
    for stature in (0.6, 1.1):
        away = []
        for scene in scenes(body, replace(settings, stature=(stature, stature)), 3):
            person, item = scene.persons[0], scene.objects[0]
            board = item.mesh.vertices @ item.transform[:3, :3].T + item.transform[:3, 3]
            away.append(cKDTree(board).query(person.vertices)[0].min())
        assert max(away) < 0.06


@pytest.mark.parametrize("category", categories())
def test_every_category_has_scenes_in_the_harsh_world(body, category):
    settings = replace(HARSH, width=48, height=48, no_person=0)
    prompt = interactions(category)[0].plain.prompts[0]
    scene = sample_scene(category, prompt, "original", 3, body, settings)
    eye = -scene.camera.R.T @ scene.camera.t
    assert eye[1] > 0.1 and np.isfinite(scene.persons[0].vertices).all()
    assert np.linalg.norm(scene.persons[0].vertices - eye, axis=1).min() > 0.2


def test_wide_clothes_stand_off_the_body_in_places(body):
    rest = body.v_template.numpy()
    joints = body.rest()[1].numpy()
    people = body_map(rest, body.faces.numpy(), joints)
    look = draw_look(["casual"], 1)
    usual, same, wide = (tailored(rest, people, look, extra) for extra in (0.0, 0.0, 0.04))
    np.testing.assert_array_equal(usual, same)
    off = np.linalg.norm(wide - usual, axis=1)
    assert off.max() <= 0.04 + 1e-5
    clothed = off > 0.0155
    assert 0.2 < clothed.mean() < 0.9 and np.ptp(off[clothed]) > 0.02
    assert (off[people.vertices[:, 1] > joints[15, 1] + 0.1] == 0).all()  # the head is bare
    suit = draw_look(["wetsuit"], 1)
    np.testing.assert_array_equal(tailored(rest, people, suit, 0.04), tailored(rest, people, suit))


def test_the_mask_exceeds_the_body_by_the_clothes(body):
    settings = SceneSettings(width=96, height=96, no_person=0, no_object=0)
    seed = next(s for s in range(20) if scenes_setting(body, settings, s) == "beach")
    areas = []
    for extra in (0.0, 0.05):
        chosen = replace(settings, cloth_thickness=extra)
        scene = sample_scene("surfboard", PROMPT, "full body photo", seed, body, chosen)
        rendering = render(scene, body)
        truth = truth_row(scene, rendering, body)
        assert np.isfinite(truth["persons"][0]["keypoints"]).all()
        areas.append((rendering.instance == 0).sum())
    assert areas[1] > areas[0]


def scenes_setting(body, settings, seed):
    scene = sample_scene("surfboard", PROMPT, "full body photo", seed, body, settings)
    return scene.setting if scene.fault == "" else ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("field_of_view", (75.0, 25.0)),
        ("field_of_view", (0.0, 50.0)),
        ("field_of_view", (50.0, float("nan"))),
        ("stature", (0.1, 1.0)),
        ("stature", (1.0, 2.0)),
        ("cloth_thickness", -0.01),
        ("cloth_thickness", 0.5),
    ],
)
def test_worlds_that_cannot_be_are_refused(name, value):
    with pytest.raises(BadInput, match=name):
        SceneSettings(**{name: value})
