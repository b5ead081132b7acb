"""Sentences found in replies, whatever these wrap them in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.generation.prompt_form import fault
from chorus.generation.reply_parsing import parse_reply

GOOD = [f"A person {verb} a kite" for verb in ("flies", "holds", "folds", "throws", "drops")]
THOUGHT = "Okay, a kite.\nA person eats a kite\nHmm, that makes no sense.\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"prompts": GOOD}), GOOD),
        (json.dumps(GOOD), GOOD),
        ("```json\n" + json.dumps({"prompts": GOOD}, indent=2) + "\n```", GOOD),
        ("```\n" + "\n".join(GOOD) + "\n```", GOOD),
        ('{"prompts": ["1. A person flies a kite.", 7, null]}', GOOD[:1]),
        ('{"prompts": ["A person flies a kite"], "note": "A person eats a kite"}', GOOD[:1]),
        ('{"sentences": ["A person flies a kite"]}', GOOD[:1]),
        ('{"prompts": "A person flies a kite"}', GOOD[:1]),
        ("Here you are:\n\n```json\n" + json.dumps({"prompts": GOOD}, indent=2) + "\n```\n", GOOD),
        ("Of course! " + json.dumps(GOOD) + " Let me know if you need more!", GOOD),
        (json.dumps([{"id": n, "prompt": line} for n, line in enumerate(GOOD)]), GOOD),
        ("\n".join(json.dumps({"prompt": line}) for line in GOOD), GOOD),
        ('[{"subject": "A person", "verb": "flies", "object": "a kite"}]', GOOD[:1]),
        ("['A person flies a kite', 'A person holds a kite']", GOOD[:2]),
        ('{"prompts": [\n  "A person flies a kite",\n  "A person holds a kite",\n]}', GOOD[:2]),
        ('For ["kite"]:\nA person flies a kite', [GOOD[0]]),
        ("[1] A person flies a kite\n[2] A person holds a kite", GOOD[:2]),
        ("<li>A person flies a kite</li><li>A person holds a kite</li>", GOOD[:2]),
        ('Prompts:\n1) "A person flies a kite."', GOOD[:1]),
    ],
)
def test_forms_of_replies(text, expected):
    assert [s for s in parse_reply(text) if not fault(s, "kite")] == expected


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n{}</think>\n{}",
        "{}</think>\n{}",  # the opening tag is in the request
        "<thinking>{}</thinking>{}",
        "<seed:think>{}</seed:think>{}",
        "[THINK]{}[/THINK]{}",
        "◁think▷{}◁/think▷{}",
        "<|START_THINKING|>{}<|END_THINKING|>{}",
        "<|begin_of_thought|>{}<|end_of_thought|>{}",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}",
        "<|channel>thought\n{}<channel|>{}",
        "analysis{}assistantfinal{}",
    ],
)
def test_thoughts_are_no_part_of_the_answer(text):
    assert parse_reply(text.format(THOUGHT, "\n".join(GOOD))) == GOOD


@pytest.mark.parametrize(
    "text", ["<think>\n{}", "[THINK]{}", "<|channel|>analysis<|message|>{}", "{}</think>"]
)
def test_a_reply_that_is_all_thoughts_has_no_sentence(text):
    assert parse_reply(text.format(THOUGHT)) == []


def test_the_last_line_of_a_cut_off_reply_is_left_out():
    text = "A person flies a kite\nA person paints a kite on"
    assert parse_reply(text, truncated=True) == ["A person flies a kite"]
    assert len(parse_reply(text)) == 2


@given(st.lists(st.sampled_from(GOOD), unique=True), st.sampled_from([None, 0, 2]), st.data())
def test_json_is_found_wherever_it_stands(sentences, indent, data):
    around = st.text(st.characters(categories=("L", "N", "Zs"), include_characters="\n:.!`"))
    reply = data.draw(around) + json.dumps({"prompts": sentences}, indent=indent)
    found = parse_reply(reply + data.draw(around))
    if sentences:
        assert found == sentences


@given(st.text(st.sampled_from("{}[]\"',: \naA person flies kite<think>/|")))
def test_no_marks_reach_a_prompt(reply):
    for sentence in parse_reply(reply):
        if not fault(sentence, "kite"):
            assert not set(sentence) & set('{}[]"<>|')


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "<think>" * 50_000, "[1," * 9999]
)
def test_a_reply_of_nothing_but_brackets_ends(text):
    assert [s for s in parse_reply(text) if not fault(s, "kite")] == []
