"""Scenes: repeatable, with the promised rates, seen by sensible cameras."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from chorus.errors import BadInput
from chorus.generation.augprompts import AugpromptTable
from chorus.synthetic.look.truth import project_points, world_to_body
from chorus.synthetic.world.interactions import find_interaction
from chorus.synthetic.world.scene_settings import SceneSettings
from chorus.synthetic.world.scenes import FAULTS, sample_scene
from chorus.synthetic.world.viewpoints import find_view, viewpoints

PROMPT = "A person carries a surfboard"
COUNT = 300


@pytest.fixture(scope="module")
def many(body):
    """Scenes of all kinds of faults, seen as the prompt alone asks."""
    return [sample_scene("surfboard", PROMPT, "original", seed, body) for seed in range(COUNT)]


def test_a_seed_gives_one_scene(body):
    first, again = (sample_scene("surfboard", PROMPT, "side view", 7, body) for _ in range(2))
    other = sample_scene("surfboard", PROMPT, "side view", 8, body)
    np.testing.assert_array_equal(first.persons[0].vertices, again.persons[0].vertices)
    np.testing.assert_array_equal(first.objects[0].transform, again.objects[0].transform)
    np.testing.assert_array_equal(first.camera.t, again.camera.t)
    assert not np.array_equal(first.camera.t, other.camera.t)


def test_faults_come_at_their_rates(many):
    counts = Counter(scene.fault for scene in many)
    for fault, rate in zip(FAULTS, SceneSettings().fault_rates(), strict=True):
        assert abs(counts[fault] / COUNT - rate) < 4 * np.sqrt(rate * (1 - rate) / COUNT)


def test_faults_are_what_they_say(many):
    sizes = {
        "": (1, 1),
        "no person": (0, 1),
        "no object": (1, 0),
        "second person": (2, 1),
        "second object": (1, 2),
        "wrong interaction": (1, 1),
    }
    for scene in many:
        assert (len(scene.persons), len(scene.objects)) == sizes[scene.fault]


def test_cameras_stay_outside_everything(many):
    for scene in many:
        eye = -scene.camera.R.T @ scene.camera.t
        assert eye[1] > 0.1
        np.testing.assert_allclose(scene.camera.R @ scene.camera.R.T, np.eye(3), atol=1e-6)
        for person in scene.persons[:1]:
            assert np.linalg.norm(person.vertices - eye, axis=1).min() > 0.2
        focal = scene.camera.K[0, 0] / scene.camera.height
        assert 34 < np.degrees(2 * np.arctan(0.5 / focal)) < 61


def test_the_person_carries_on_the_right_as_often_as_the_data_say(many, body):
    right = [
        (world_to_body(s.persons[0], body) @ s.objects[0].transform)[0, 3] < 0
        for s in many
        if s.fault == ""
    ]
    rate = 1 - find_interaction("surfboard", PROMPT).mirror_rate
    assert abs(np.mean(right) - rate) < 4 * np.sqrt(rate * (1 - rate) / len(right))


def azimuth(scene):
    """Degrees from the way the first person faces; 0 sees the face."""
    turn = scene.persons[0].vertices.mean(0) + scene.camera.R.T @ scene.camera.t
    eye = -turn
    facing = np.cross(scene.persons[0].joints[1] - scene.persons[0].joints[2], [0, 1.0, 0])
    facing = facing / np.linalg.norm(facing)
    left = np.cross([0, 1.0, 0], facing)
    return np.degrees(np.arctan2(eye @ left, eye @ facing))


@pytest.mark.parametrize(("words", "centre"), [("front view", 0), ("back view", 180)])
def test_view_words_turn_the_camera(body, words, centre):
    settings = SceneSettings(no_person=0)
    off = []
    for seed in range(60):
        angle = azimuth(sample_scene("surfboard", PROMPT, words, seed, body, settings))
        off.append(abs((angle - centre + 180) % 360 - 180))
    assert 0.6 < np.mean(np.array(off) < 70) < 1.0


def test_close_words_cut_the_person(body):
    settings = SceneSettings(no_person=0, second_person=0)
    inside = {}
    for words in ("full body photo", "face only"):
        shares = []
        for seed in range(40):
            scene = sample_scene("surfboard", PROMPT, words, seed, body, settings)
            pixels, _ = project_points(scene.camera, scene.persons[0].joints)
            shares.append(((pixels >= 0) & (pixels < 512)).all(1).mean())
        inside[words] = np.mean(shares)
    assert inside["full body photo"] > 0.9
    assert inside["face only"] < 0.6


def test_every_augprompt_of_the_paper_has_a_view():
    names = AugpromptTable().of("surfboard", PROMPT)
    assert len(names) == 22
    original = viewpoints().views["original"]
    free = [name for name in names if find_view(name) is original]
    assert [name.strip(", ") for name in free] == ["original", "realistic photo"]


def test_unknown_categories_prompts_and_rates_are_refused(body):
    with pytest.raises(BadInput, match="surfboard"):
        sample_scene("surfbord", PROMPT, "original", 0, body)
    with pytest.raises(BadInput, match="did you mean"):
        sample_scene("surfboard", "A person eats a surfboard", "original", 0, body)
    with pytest.raises(BadInput, match="at most 1"):
        SceneSettings(no_person=0.9, no_object=0.9)
