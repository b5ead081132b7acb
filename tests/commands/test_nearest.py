"""Which prompt a sentence is nearest to: words of grammar say nothing."""

from __future__ import annotations

import pytest

from chorus.commands.touching.nearest import likeness, ranked, stems


@pytest.mark.parametrize(
    "sentence",
    [
        "somebody who has been carrying the surfboard",
        "she is carrying some surfboards over there",
        "They carry it: a surfboard",
    ],
)
def test_words_of_grammar_do_not_count(sentence):
    assert likeness(sentence, "carry surfboard") == 1
    prompts = {"a": "A person carries a surfboard", "b": "A person has fallen off this surfboard"}
    assert ranked(sentence, prompts)[0][0] == "a"


def test_words_of_what_is_done_count():
    assert stems("A person picks up the ball") == ["person", "pick", "up", "ball"]
    assert likeness("a person up on a bench", "a person on a bench") < 1
