"""Body parts found in who touches what, their names, and prompts of one interaction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chorus.body.skeleton import SEGMENT_NAMES
from chorus.errors import BadInput
from chorus.occupancy import part_discovery as module
from chorus.occupancy.part_discovery import discover, joined_prompts, prompt_difference
from chorus.occupancy.part_names import part_names
from chorus.occupancy.presets import DiscoverySettings

FEET = ("leftFoot", "rightFoot", "leftToeBase", "rightToeBase")
RIGHT_ARM = ("rightForeArm", "rightHand", "rightHandIndex1")
HEAD = ("neck", "head")
QUICK = DiscoverySettings(resamples=20)


def touching(*samples: tuple[tuple[str, ...], int]) -> np.ndarray:
    """(24, S): for every (segments, number) that many samples that touch those segments."""
    columns = [np.isin(SEGMENT_NAMES, segments) for segments, _ in samples]
    return np.repeat(np.array(columns), [number for _, number in samples], axis=0).T


SEPARATED = touching((FEET, 20), (RIGHT_ARM, 15), (HEAD, 10))


def test_separated_interactions_are_found_named_and_perfectly_stable():
    found = discover(SEPARATED)
    assert found.samples == 45
    assert [(one.name, one.segments, one.samples) for one in found.parts] == [
        ("feet", FEET, 20),
        ("rightForearmHand", RIGHT_ARM, 15),
        ("wholeHead", HEAD, 10),
    ]
    assert all(one.stability == 1 and one.stable for one in found.parts)


def test_one_interaction_is_one_part():
    (only,) = discover(touching((FEET, 9))).parts
    assert (only.name, only.stability, only.samples) == ("feet", 1, 9)
    (only,) = discover(touching((FEET, 9), ((), 9))).parts
    assert (only.name, only.stability, only.samples) == ("feet", 1, 9)


def test_two_segments_that_avoid_each_other_are_two_parts():
    found = discover(touching((("head",), 10), (("hips",), 10))).parts
    assert [one.name for one in found] == ["hips", "head"]
    both = discover(touching((("head", "hips"), 10), ((), 10))).parts
    assert [one.segments for one in both] == [("hips", "head")]


def test_a_part_that_chance_makes_is_told_to_be_unstable():
    rng = np.random.default_rng(3)
    noise = np.zeros((24, 30), bool)
    noise[:8] = rng.random((8, 30)) < 0.5
    found = discover(noise).parts
    assert found and not any(one.stable for one in found)
    assert all(0 < one.stability < 0.75 for one in found)


@pytest.mark.parametrize(
    ("touched", "parts"),
    [
        (np.zeros((24, 0), bool), []),
        (np.zeros((24, 1), bool), []),
        (np.zeros((24, 7), bool), []),
        (touching((FEET, 1)), ["feet"]),
        (np.ones((24, 1), bool), ["wholeBody"]),
        (np.ones((24, 9), bool), ["wholeBody"]),
        (touching((("head",), 3)), ["head"]),
        (touching((("head",), 1), ((), 20)), []),
    ],
)
def test_few_samples_and_few_segments(touched, parts):
    assert [one.name for one in discover(touched).parts] == parts


def test_what_is_nearly_always_touched_is_a_part_of_its_own():
    touched = touching((HEAD + FEET, 20), (HEAD + RIGHT_ARM, 19), (RIGHT_ARM, 1))
    names = [one.name for one in discover(touched).parts]
    assert names == ["wholeHead", "feet", "rightForearmHand"]


def test_the_number_of_sets_is_bounded():
    touched = touching(*(((name,), 10) for name in SEGMENT_NAMES[:8]))
    assert len(discover(touched, DiscoverySettings(max_sets=3)).parts) == 3
    assert len(discover(touched, DiscoverySettings(max_sets=40)).parts) == 8
    assert len(discover(touched, DiscoverySettings(max_sets=1)).parts) == 1


@settings(max_examples=25, deadline=None)
@given(arrays(bool, st.tuples(st.just(24), st.integers(0, 12))), st.randoms())
def test_sets_are_apart_finite_and_do_not_depend_on_the_order_of_samples(touched, random):
    found = discover(touched, QUICK)
    segments = [segment for one in found.parts for segment in one.segments]
    assert len(segments) == len(set(segments))
    assert len({one.name.lower() for one in found.parts}) == len(found.parts)
    for one in found.parts:
        assert one.name.isalnum() and one.name not in ("all", "fullbody")
        assert 0 <= one.stability <= 1 and 0 < one.samples <= touched.shape[1]
    order = list(range(touched.shape[1]))
    random.shuffle(order)
    assert discover(touched[:, order], QUICK) == found


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(24)))
def test_other_segments_in_the_same_samples_make_the_same_sets(order):
    found = discover(SEPARATED[order], QUICK).parts
    renamed = {name: SEGMENT_NAMES[order.index(at)] for at, name in enumerate(SEGMENT_NAMES)}
    expected = [{renamed[name] for name in group} for group in (FEET, RIGHT_ARM, HEAD)]
    assert [set(one.segments) for one in found] == expected
    assert [one.stability for one in found] == [1, 1, 1]


def test_the_silhouette_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(7, 2))
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    label = np.array([1, 1, 2, 2, 2, 3, 1])
    widths = []
    for i in range(7):
        mean = {
            k: np.mean([distance[i, j] for j in range(7) if j != i and label[j] == k] or [0])
            for k in (1, 2, 3)
        }
        own = mean.pop(label[i])
        other = min(mean.values())
        widths.append(0 if (label == label[i]).sum() == 1 else (other - own) / max(own, other))
    assert module._silhouette(distance, label) == pytest.approx(np.mean(widths))
    assert module._silhouette(distance, np.ones(7, int)) == 0


def test_phi_is_the_correlation():
    rng = np.random.default_rng(1)
    touched = rng.random((24, 40)) < 0.4
    share, joint = module._frequencies(*module._patterns(touched))
    assert np.allclose(1 - module._avoidance(share, joint), np.corrcoef(touched), atol=1e-8)


def test_names():
    def name(*segments):
        return part_names([segments])[0]

    assert name("leftHand", "leftHandIndex1") == "wholeLeftHand"
    assert name("leftForeArm", "leftHand") == "leftForearmHand"
    assert name("rightUpLeg", "rightLeg") == "rightThighShin"
    assert name("rightArm", "rightForeArm", "rightHandIndex1") == "wholeRightArm"
    assert name("leftUpLeg", "rightUpLeg") == "thighs"
    assert name("leftToeBase", "rightFoot") == "feet"
    assert name("leftFoot", "rightLeg", "rightFoot") == "legs"
    assert name("spine", "spine2") == "torso" and name("spine", "spine1") == "belly"
    assert name("neck", "head") == "wholeHead" and name("neck", "head", "hips") == "wholeHeadHips"
    assert name("neck", "spine2", "rightShoulder") == "neckChest"
    assert name("neck", "spine2", "rightToeBase") == "neckSpine2RightToeBase"
    assert name("hips", "spine", "rightForeArm", "rightHand") == "torsoRightForearmHand"
    upper = ("head", "spine", "hips", "leftArm", "leftHand", "rightHand")
    assert name(*upper) == "upperBody" and name(*upper, "rightUpLeg") == "upperBodyRightUpLeg"
    assert name(*SEGMENT_NAMES) == "wholeBody"
    assert part_names([("spine", "hips"), ("spine1", "spine2"), ("head",)]) == [
        "torso",
        "torso2",
        "head",
    ]
    with pytest.raises(BadInput, match="did you mean 'leftHand'"):
        part_names([("leftHnd",)])


@pytest.mark.parametrize("segment", SEGMENT_NAMES)
def test_a_part_of_one_segment_has_its_name(segment):
    assert part_names([(segment,)]) == [segment]


@given(st.lists(st.sampled_from(SEGMENT_NAMES), min_size=2, unique=True))
def test_a_part_of_several_segments_never_has_a_segments_name(segments):
    (name,) = part_names([segments])
    assert name.isalnum() and name.isascii()
    assert name.lower() not in {segment.lower() for segment in SEGMENT_NAMES}


def test_prompts_of_one_interaction_are_joined_and_others_are_not():
    ride = touching((FEET, 18), (FEET[:2], 2))
    stand = touching((FEET, 25), (FEET[:2], 4))
    carry = touching((RIGHT_ARM, 20))
    prompts = {"ride": ride, "carry": carry, "stand": stand, "nobody": np.zeros((24, 0), bool)}
    assert joined_prompts(prompts) == [("ride", "stand")]
    assert joined_prompts({"ride": ride}) == joined_prompts({}) == []
    untouched = {"a": np.zeros((24, 3), bool), "b": np.zeros((24, 5), bool)}
    assert joined_prompts(untouched) == [("a", "b")]


def test_in_a_group_any_two_prompts_are_alike():
    settings = DiscoverySettings(max_difference=0.3, significance=0)
    steps = {str(n): touching((FEET, 10 + 2 * n), ((), 10 - 2 * n)) for n in range(4)}
    for group in joined_prompts(steps, settings):
        assert len(group) == 2
    assert len(joined_prompts(steps, settings)) == 2


def test_a_difference_is_told_with_its_chance():
    size, chance = prompt_difference(touching((FEET, 10)), touching((RIGHT_ARM, 10)))
    assert size == 1 and chance == pytest.approx(0.001)
    size, chance = prompt_difference(touching((FEET, 10)), touching((FEET, 4)))
    assert (size, chance) == (0, 1)
    few, many = touching((FEET, 5), ((), 5)), touching((FEET, 12), ((), 8))
    assert prompt_difference(few, many)[0] == pytest.approx(0.1)
    assert prompt_difference(few, many) == pytest.approx(prompt_difference(many, few))


def test_chance_is_even_where_there_is_no_difference():
    rng = np.random.default_rng(2)
    base = np.repeat(rng.random((8, 40)) < 0.5, 3, axis=0)  # segments go together in threes
    chances = []
    for _ in range(80):
        order = rng.permutation(40)
        chances.append(prompt_difference(base[:, order[:15]], base[:, order[15:]])[1])
    assert np.mean(np.array(chances) <= 0.05) == pytest.approx(0.05, abs=0.06)
    assert np.mean(chances) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "touched", [np.zeros((23, 4), bool), np.zeros((24, 4)), np.zeros(24, bool)]
)
def test_other_arrays_are_refused(touched):
    with pytest.raises(BadInput, match=r"bool of shape \(24, samples\); found"):
        discover(touched)
    with pytest.raises(BadInput, match="`touched_segments` makes them"):
        joined_prompts({"a": touched})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"min_share": 0}, "found a min_share of 0"),
        ({"min_share": 0.9, "max_share": 0.5}, "max_share of 0.5"),
        ({"max_share": float("nan")}, "max_share of nan"),
        ({"max_sets": 0}, "found a max_sets of 0"),
        ({"resamples": 0}, "0 resamples"),
        ({"min_stability": 1.5}, "a min_stability from 0 to 1, found 1.5; the usual is 0.75"),
        ({"significance": float("nan")}, "found nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, sentence):
    with pytest.raises(BadInput, match=sentence):
        DiscoverySettings(**wrong)
