"""English nouns and prompts from the table of verbs."""

from __future__ import annotations

import pytest

from chorus.generation.language_model import fault
from chorus.generation.nouns import mentions, with_article
from chorus.generation.prompts import read_prompts, write_prompts
from chorus.generation.templates import sentences, verbs
from chorus.vocabulary import COCO_NAMES, PAPER_CATEGORIES


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("surfboard", "a surfboard"),
        ("umbrella", "an umbrella"),
        ("apple", "an apple"),
        ("unicycle", "a unicycle"),
        ("ukulele", "a ukulele"),
        ("urn", "an urn"),
        ("uninflated ball", "an uninflated ball"),
        ("one-wheeled scooter", "a one-wheeled scooter"),
        ("hourglass", "an hourglass"),
        ("horse", "a horse"),
        ("SUV", "an SUV"),
        ("TV", "a TV"),
        ("X-ray", "an X-ray"),
        ("tv", "a tv"),
        ("skis", "skis"),
        ("sunglasses", "sunglasses"),
        ("scissors", "scissors"),
        ("football boots", "football boots"),
        ("pair of boots", "a pair of boots"),
        ("glass of water", "a glass of water"),
        ("broccoli", "broccoli"),
        ("bus", "a bus"),
        ("wine glass", "a wine glass"),
        ("lens", "a lens"),
        ("gas", "a gas"),
        ("tennis racket", "a tennis racket"),
        ("sports ball", "a sports ball"),
        ("mice", "mice"),
        ("fish", "a fish"),
    ],
)
def test_articles(noun, expected):
    assert with_article(noun) == expected


@pytest.mark.parametrize(
    ("sentence", "noun"),
    [
        ("A person rides surfboards", "surfboard"),
        ("A boy drops a phone", "cell phone"),
        ("A boy drops a cellphone", "cell phone"),
        ("A man wears a pair of skis", "skis"),
        ("A man breaks a ski", "skis"),
        ("A woman ties two scarves", "scarf"),
        ("A woman drinks from wine glasses", "wine glass"),
        ("A woman lifts a box", "boxes"),
        ("A cook cuts tomatoes", "tomato"),
        ("A cook cuts a tomato", "tomatoes"),
        ("A girl packs cherries", "cherry"),
        ("A man holds knives", "knife"),
        ("A man pets mice", "mouse"),
        ("A man drinks water", "glass of water"),
        ("A cook lifts a C++ book", "C++ book"),
    ],
)
def test_sentences_that_mention_a_noun(sentence, noun):
    assert mentions(sentence, noun)


@pytest.mark.parametrize(
    ("sentence", "noun"),
    [
        ("A boy plays tennis", "tennis racket"),
        ("A boy throws a baseball", "baseball glove"),
        ("A man wears a hatband", "hat"),
        ("A man opens a bottle", "bench"),
    ],
)
def test_sentences_that_do_not(sentence, noun):
    assert not mentions(sentence, noun)


@pytest.mark.parametrize("category", [*PAPER_CATEGORIES, *COCO_NAMES[1:], "hour hand", "ocarina"])
def test_every_noun_has_prompts_that_count(category, tmp_path):
    found = sentences(category)
    assert 8 <= len(found) == len(set(found))
    assert [fault(sentence, category) for sentence in found] == [""] * len(found)
    assert write_prompts(tmp_path / "x.txt", found) == read_prompts(tmp_path / "x.txt") == found


def test_the_papers_categories_have_verbs_of_their_own():
    assert all(verbs(category) != verbs("ocarina") for category in PAPER_CATEGORIES)
    assert sentences("skis")[0] == "A person rides on skis"
    assert sentences("Umbrella")[0] == "A person holds an Umbrella"
