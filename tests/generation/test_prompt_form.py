"""Which sentences are prompts of the form asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from chorus.files import display_name
from chorus.generation.prompt_form import LONGEST, fault
from chorus.generation.prompts import read_prompts
from chorus.generation.templates import sentences
from chorus.synthetic.world.interactions import categories, known_prompts
from chorus.vocabulary import PAPER_CATEGORIES

PUBLISHED = sorted((Path(__file__).parents[2] / "prompts" / "chorus").glob("*.txt"))


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("A person flies a kite", ""),
        ("Two children carry kites", ""),
        ("People fly kites on a beach", ""),
        ("A man riding on a kite", ""),
        ("The kids are holding a big kite", ""),
        ("A KITE FLYER HOLDS A KITE", ""),
        ("He flies a kite", "pronoun"),
        ("She's holding a kite", "pronoun"),
        ("Someone folds a kite", "pronoun"),
        ("They fly kites", "pronoun"),
        ("A person flies a drone", "without the word 'kite'"),
        ("A person rides a kitesurfer", "without the word 'kite'"),
        ("Kite", "not a sentence"),
        ("Flying kite", "not a sentence"),
        ("Sure, here is a list about a kite", "not a sentence"),
        ("Does a person fly a kite?", "not a sentence"),
        ("I can't describe a kite", "refusals"),
        ("Sorry, no kite for you today", "refusals"),
        ("# A person flies a kite", "#"),
        ("A person flies " + "very " * 70 + "high with a kite", "not a short line"),
        ("A person flies " + "very " * LONGEST + "high with a kite", "longer than 12 words"),
        ("A person\x00 flies a kite", "not a short line"),
        ('A person carries a kite",', "marks"),
        ('{"prompts": ["A person flies a kite', "marks"),
        ("The subject must be 'A person' and the object a kite", "not subject, verb and object"),
        ("Maybe carrying comes first, everybody carries a kite", "not subject, verb and object"),
        ("Eating a kite makes nobody happy", "not subject, verb and object"),
        ("The user wants lines about a kite", "not subject, verb and object"),
        ("A kite is in the sky", "not subject, verb and object"),
        ("Carries a kite", "not subject, verb and object"),
        ("A person a kite", "not subject, verb and object"),
    ],
)
def test_what_is_no_prompt(sentence, reason):
    found = fault(sentence, "kite")
    assert reason in found and bool(found) == bool(reason)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_every_published_prompt_has_the_form(path):
    noun = display_name(path.stem)
    assert {prompt: why for prompt in read_prompts(path) if (why := fault(prompt, noun))} == {}


@pytest.mark.parametrize("category", [*PAPER_CATEGORIES, "ukulele", "pair of pliers"])
def test_our_own_prompts_have_the_form(category):
    every = [*sentences(category), *(known_prompts(category) if category in categories() else ())]
    assert {prompt: why for prompt in every if (why := fault(prompt, category))} == {}
