"""What is asked, what of a reply counts, when the model is asked again (method.md 1)."""

from __future__ import annotations

from collections import Counter

import pytest

from chorus.errors import BadInput, Unavailable
from chorus.generation.language_model import (
    MAX_TRIES,
    SUBJECTS,
    Reply,
    Task,
    ask,
    draw_task,
    request_messages,
    shortfall,
)

GOOD = [f"A person {verb} a kite" for verb in ("flies", "holds", "folds", "throws", "drops")]


def model(*texts):
    """A reply function that says these in turn, the last again and again; remembers requests."""
    asked = []

    def reply(messages):
        asked.append(messages)
        said = texts[min(len(asked), len(texts)) - 1]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else Reply(said)

    return reply, asked


def task(count, noun="kite"):
    return Task(noun, count, "category")


def test_m_is_uniform_from_3_to_20_and_both_subjects_come():
    drawn = [draw_task("kite", seed) for seed in range(3600)]
    counts = Counter(each.count for each in drawn)
    assert sorted(counts) == list(range(3, 21))
    assert all(140 < count < 270 for count in counts.values())  # 200 expected, five sigma is 69
    subjects = Counter(each.subject for each in drawn)
    assert sorted(subjects) == sorted(SUBJECTS) and min(subjects.values()) > 1600


def test_a_task_belongs_to_seed_and_noun():
    assert draw_task("kite", 42) == draw_task("kite", 42)
    assert len({draw_task(noun, 42).count for noun in ("kite", "bed", "tie", "hat", "mug")}) > 1
    given = draw_task("kite", 42, 7)
    assert given.count == 7 and given.subject == draw_task("kite", 42).subject
    with pytest.raises(BadInput, match="at least 1"):
        draw_task("kite", 42, 0)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_request_says_what_the_specification_says(subject):
    (message,) = request_messages(Task("kite", 12, subject))
    text = message["content"]
    assert message["role"] == "user"
    for part in (
        "at most 12",
        "subject, verb, object",
        "'kite'",
        "diverse, general words",
        "pronoun",
        "common sense",
        "physical interaction",
        "simple verbs",
        SUBJECTS[subject],
    ):
        assert part in text
    assert "JSON" not in text
    assert '"prompts"' in request_messages(task(3), structured=True)[0]["content"]


def test_the_first_good_reply_ends_the_asking():
    reply, asked = model("\n".join(f"{n}. {line}." for n, line in enumerate(GOOD, 1)))
    answer = ask(task(5), reply)
    assert answer.prompts == GOOD and answer.tries == 1 and len(asked) == 1
    assert shortfall(task(5), answer) == ""


def test_more_lines_are_cut_and_fewer_asked_for_again():
    reply, asked = model("\n".join(GOOD))
    assert ask(task(3), reply).prompts == GOOD[:3]
    reply, asked = model("\n".join(GOOD[:2]), "\n".join(GOOD[1:]))
    answer = ask(task(4), reply)
    assert answer.prompts == GOOD[:4] and answer.tries == 2
    second = asked[1][0]["content"]
    assert "at most 2" in second and all(line in second for line in GOOD[:2])
    assert answer.dropped == {"repetitions": 1}


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("", "empty replies"),
        (" \n\n", "empty replies"),
        ("I'm sorry, I can't help with that.", "refusals"),
        ("I’m sorry, but I cannot write about a kite.", "refusals"),
        ("As an AI language model, I do not fly a kite.", "refusals"),
        (Reply("", refused=True), "refusals"),
        (Reply("\n".join(GOOD), refused=True), "refusals"),
        ("Here are some kite prompts for you!", "replies without a usable sentence"),
        ('{"prompts": ["A person flies a', "replies without a usable sentence"),
    ],
)
def test_poor_replies_are_asked_again(first, kind):
    reply, asked = model(first, "\n".join(GOOD))
    answer = ask(task(5), reply)
    assert answer.prompts == GOOD and len(asked) == 2
    assert answer.poor == {kind: 1}
    assert asked[0] == asked[1]


def test_the_asking_is_bounded_and_keeps_what_was_good():
    reply, asked = model(GOOD[0], "I'm sorry, I can't.", "")
    answer = ask(task(5), reply)
    assert answer.prompts == GOOD[:1] and len(asked) == MAX_TRIES
    said = shortfall(task(5), answer)
    assert f"1 of 5 prompts after asking {MAX_TRIES} times" in said
    assert "1 refusals" in said and "4 empty replies" in said and "dropped" not in said


def test_kept_replies_use_up_no_tries():
    kept = [Reply("I'm sorry, I can't.", kept=True)] * 9
    reply, asked = model(*kept, "", "\n".join(GOOD))
    answer = ask(task(5), reply, tries=2)
    assert answer.prompts == GOOD and len(asked) == answer.tries == 11


def test_an_error_keeps_what_was_good():
    reply, _ = model("\n".join(GOOD[:2]), Unavailable("the server is gone."))
    answer = ask(task(5), reply)
    assert answer.prompts == GOOD[:2]
    assert isinstance(answer.failure, Unavailable)
    assert shortfall(task(5), answer) == "2 of 5 prompts after asking 2 times; the server is gone."


def test_repetitions_differ_in_more_than_case_and_punctuation():
    reply, _ = model("A person flies a kite\na Person, flies a kite!\nA person holds a kite")
    answer = ask(task(2), reply)
    assert answer.prompts == ["A person flies a kite", "A person holds a kite"]
    assert answer.dropped["repetitions"] == 1
