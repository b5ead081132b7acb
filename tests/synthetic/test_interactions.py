"""Interactions are data: the package's own hold, and damaged files are told where and why."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from scipy.spatial import cKDTree

from chorus.body.skeleton import JOINT_NAMES, SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.synthetic.look.rendering import SETTINGS
from chorus.synthetic.world import objects
from chorus.synthetic.world.arranging import arrange
from chorus.synthetic.world.expressions import parse_direction, swap_sides
from chorus.synthetic.world.interactions import (
    DATA,
    categories,
    find_interaction,
    interactions,
    known_prompts,
    read_interactions,
)
from chorus.synthetic.world.posing import LIMBS, Skeleton, angles_to_matrix
from chorus.synthetic.world.scenes import draw_object
from chorus.vocabulary import QUANTITATIVE_CATEGORIES

PROMPTS = Path(__file__).parents[2] / "prompts"
EVERY = [(category, sided) for category in categories() for sided in interactions(category)]
NAMES = [f"{category}: {sided.plain.name}" for category, sided in EVERY]


def test_the_quantitative_categories_have_interactions():
    assert QUANTITATIVE_CATEGORIES.keys() <= set(categories())
    for category in categories():
        assert len(interactions(category)) >= 2
        for prompt in known_prompts(category):
            assert prompt in find_interaction(category, prompt).plain.prompts


def test_the_demo_prompts_are_known():
    for prompt in (PROMPTS / "demo" / "surfboard.txt").read_text().split("\n"):
        if prompt:
            assert find_interaction("surfboard", prompt).plain.prompts == (prompt,)


@pytest.mark.parametrize("category", categories())
def test_prompts_of_the_paper_s_form_are_understood(category):
    """Sentences of the prompt files mean the interaction whose verb they use, whoever acts."""
    lines = (PROMPTS / "chorus" / f"{category}.txt").read_text().splitlines()
    found = 0
    for line in filter(None, lines):
        try:
            sided = find_interaction(category, line)
        except BadInput:
            continue
        found += 1
        assert any(f" {phrase} " in f" {line.lower()} " for phrase in sided.plain.phrases)
    assert found >= 4
    for prompt in known_prompts(category):
        assert prompt.lower().endswith(category) and len(prompt.split()) >= 4


@pytest.mark.parametrize(("category", "sided"), EVERY, ids=NAMES)
def test_settings_and_kinds_exist(category, sided):
    assert sided.plain.settings.keys() <= SETTINGS.keys()
    assert objects.kind(sided.plain.object.kind)
    assert sided.mirrored.mirrored and not sided.plain.mirrored


@pytest.mark.parametrize(("category", "sided"), EVERY, ids=NAMES)
def test_objects_do_not_sink_into_bodies(body, category, sided):
    """At most a few vertices, but for hands that hold, are inside the object."""
    parts = body.part_of_vertex.numpy()
    hands = [i for i, name in enumerate(SEGMENT_NAMES) if "Hand" in name]
    for seed in range(2):
        interaction = (sided.plain, sided.mirrored)[seed % 2]
        rng = np.random.default_rng(seed)
        _, mesh = draw_object(interaction.object, rng)
        made = arrange(body, interaction, mesh, rng)
        inverse = np.linalg.inv(made.transform)
        points = made.person.vertices @ inverse[:3, :3].T + inverse[:3, 3]
        inside = objects.contains(mesh, points) & ~np.isin(parts, hands)
        assert inside.mean() < 0.01
        # It touches or nearly touches the person.
        surface, _ = trimesh.sample.sample_surface(mesh, 2000, seed=seed)
        world = surface @ made.transform[:3, :3].T + made.transform[:3, 3]
        apart, _ = cKDTree(world).query(made.person.vertices[::5])
        assert apart.min() < 0.05


def test_feet_stand_on_the_board_and_arm_holds_it(body):
    for prompt, joint in (("balances on", "left_ankle"), ("carries", "right_wrist")):
        interaction = find_interaction("surfboard", f"A person {prompt} a surfboard").plain
        for seed in range(5):
            rng = np.random.default_rng(seed)
            _, mesh = draw_object(interaction.object, rng)
            made = arrange(body, interaction, mesh, rng)
            world = mesh.vertices @ made.transform[:3, :3].T + made.transform[:3, 3]
            place = made.person.joints[JOINT_NAMES.index(joint)]
            assert np.linalg.norm(world - place, axis=1).min() < 0.25


def placed(body, category, name, seed=1):
    """Interaction, arrangement and the world's vertices of the object."""
    found = next(s.plain for s in interactions(category) if s.plain.name == name)
    rng = np.random.default_rng(seed)
    _, mesh = draw_object(found.object, rng)
    made = arrange(body, found, mesh, rng)
    return made, mesh.vertices @ made.transform[:3, :3].T + made.transform[:3, 3]


def joint(made, name):
    return made.person.joints[JOINT_NAMES.index(name)]


def test_hands_and_feet_are_where_the_object_has_its_places(body):
    made, bike = placed(body, "motorcycle", "rides")
    for side in ("left", "right"):
        assert np.linalg.norm(bike - joint(made, f"{side}_hand"), axis=1).min() < 0.08
        assert 0.2 < joint(made, f"{side}_ankle")[1] < 0.5
    made, _ = placed(body, "bench", "sits on")
    for side in ("left", "right"):  # `level`: the feet stand on the floor that the bench stands on
        assert joint(made, f"{side}_ankle")[1] == pytest.approx(0.08, abs=0.04)
    made, skis = placed(body, "skis", "rides on")
    for side in ("left", "right"):
        assert np.linalg.norm(skis - joint(made, f"{side}_foot"), axis=1).min() < 0.1
    made, phone = placed(body, "cell phone", "talks on")
    assert np.linalg.norm(phone.mean(0) - joint(made, "head")) < 0.16
    made, tie = placed(body, "tie", "wears")
    assert np.linalg.norm(tie - joint(made, "neck"), axis=1).min() < 0.12
    assert tie[:, 1].min() > joint(made, "pelvis")[1] - 0.15


def test_gloves_are_worn_on_the_hand_they_are_made_for():
    assert all(sided.mirror_rate == 0 for sided in interactions("baseball glove"))


def test_most_carry_under_the_right_arm_and_some_under_the_left():
    assert 0 < find_interaction("surfboard", "a man carries a surfboard").mirror_rate < 0.3


def test_unknown_names_suggest_near_ones():
    with pytest.raises(BadInput, match="did you mean 'surfboard'"):
        interactions("surfbord")
    with pytest.raises(BadInput, match="A person carries a surfboard"):
        find_interaction("surfboard", "A person carrys a surfboard")


def damaged(tmp_path, change):
    source = yaml.safe_load((DATA / "surfboard.yaml").read_text())
    change(source)
    path = tmp_path / "surfboard.yaml"
    path.write_text(yaml.safe_dump(source, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["interactions"][0].update(mirror=2), r"balances on.*mirror.*0 to 1.*2"),
        (lambda s: s["interactions"][1].pop("settings"), r"carries.*'settings' is missing"),
        (lambda s: s["interactions"][1].update(setings={}), r"setings.*did you mean 'settings'"),
        (lambda s: s["interactions"][0]["place"].update(top="upward"), r"'top'.*'upward'.*'up'"),
        (lambda s: s["interactions"][0]["place"].pop("top"), r"exactly two.*\['long'\]"),
        (lambda s: s["interactions"][0]["place"]["at"].update(sole=1), r"unknown place 'sole'"),
        (lambda s: s["interactions"][2]["poses"][0].update(weight="2"), r"weight.*number.*'2'"),
        (lambda s: s["interactions"][2]["ground"].update(what="air"), r"what.*body.*'air'"),
        (lambda s: s.update(interactions=[]), r"interactions.*list.*\[\]"),
    ],
)
def test_damaged_files_are_told_where_and_why(tmp_path, change, message):
    with pytest.raises(BadInput) as caught:
        read_interactions(damaged(tmp_path, change))
    assert "surfboard.yaml" in str(caught.value)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_broken_yaml_is_bad_input(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: [1\n")
    with pytest.raises(BadInput, match=r"x\.yaml"):
        read_interactions(path)


def test_directions_and_mirror():
    direction = parse_direction("torso: up 1 left 0.5 back 2")
    assert direction.frame == "torso" and direction.vector == (0.5, 1.0, -2.0)
    assert swap_sides({"left_arm": "right_sole -> left_sole", "twist": 3, "bend": 2}) == {
        "right_arm": "left_sole -> right_sole",
        "twist": -3,
        "bend": 2,
    }
    assert swap_sides("leftFoot") == "rightFoot"
    assert swap_sides(swap_sides("body: left 0.3 up 1")) == "body: left 0.3 up 1"


def test_a_limb_reaches_its_place(body):
    skeleton = Skeleton.at_rest(body.rest()[1].numpy())
    skeleton.turn("spine1", angles_to_matrix(10, 20, 5))
    for limb, joints in LIMBS.items():
        _, before = skeleton.forward()
        start = before[JOINT_NAMES.index(joints[0])]
        target = start + np.array([0.1, -0.3, 0.2])
        skeleton.reach(limb, target, np.array([0.0, 0.0, 1.0]))
        _, after = skeleton.forward()
        np.testing.assert_allclose(after[JOINT_NAMES.index(joints[2])], target, atol=1e-6)
