"""Augprompts: the built-in list, files of them, leaving some out (method.md 2)."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.generation.augprompts import (
    AUGPROMPTS,
    AugpromptTable,
    canonical_augprompt,
    full_text,
    read_augprompts,
)

PROMPT = "A person carries a surfboard"


def test_built_in_list():
    assert len(AUGPROMPTS) == len(set(AUGPROMPTS)) == 22
    assert all(canonical_augprompt(a) == a for a in AUGPROMPTS)
    assert full_text(PROMPT, "original") == PROMPT
    assert full_text(PROMPT, ", side view") == "A person carries a surfboard, side view"


@pytest.mark.parametrize(
    ("text", "name"),
    [("side view", ", side view"), (" , side view ", ", side view"), ("original", "original")],
)
def test_canonical_names(text, name):
    assert canonical_augprompt(text) == name


def test_common_file(tmp_path):
    path = tmp_path / "aug.txt"
    path.write_text("# header\nAUGPROMPT_COMMON\n\noriginal\n, side view\nat night\n, side view\n")
    table = read_augprompts(path)
    assert table.of("kite", "A person flies a kite") == ("original", ", side view", ", at night")


def test_per_prompt_file(tmp_path):
    path = tmp_path / "aug.txt"
    path.write_text(
        "AUGPROMPT_PER_PROMPT\ncategory: surfboard\nPROMPT: A person carries a surfboard.\n"
        "original\n, side view\nPROMPT: A person paddles on a surfboard\n, top view\n"
        "category: kite\nPROMPT: A person flies a kite\noriginal\n"
    )
    table = read_augprompts(path)
    assert table.of("surfboard", PROMPT) == ("original", ", side view")
    assert table.of("surfboard-demo", PROMPT) == ("original", ", side view")
    assert table.of("kite", "A person flies a kite") == ("original",)
    with pytest.raises(BadInput, match="nearest there is 'A person carries a surfboard'"):
        table.of("surfboard", "A person carried a surfboard")
    less = table.without(["side view"])
    assert less.of("surfboard", PROMPT) == ("original",)
    with pytest.raises(BadInput, match="no augprompt is left for 'A person paddles"):
        table.without([", top view"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "starts with 'nothing'"),
        ("original\n", "starts with 'original'"),
        ("AUGPROMPT_COMMON\n# none\n", "lists no augprompt"),
        ("AUGPROMPT_COMMON\nPROMPT: A person\n", "line 2: 'PROMPT: A person' belongs"),
        ("AUGPROMPT_COMMON\n, side\x07 view\n", r"line 2: control character U\+0007"),
        ("AUGPROMPT_PER_PROMPT\n", "lists no prompt"),
        ("AUGPROMPT_PER_PROMPT\nPROMPT: A person\n", "line 2: a 'category:' line"),
        ("AUGPROMPT_PER_PROMPT\ncategory: kite\n, side view\n", "line 3: a 'PROMPT:' line"),
        ("AUGPROMPT_PER_PROMPT\ncategory: kite\nPROMPT: A b\n", "has no augprompt below it"),
        (
            "AUGPROMPT_PER_PROMPT\ncategory: kite\nPROMPT: A b\noriginal\nPROMPT: A b\n",
            "line 5: prompt 'A b' of 'kite' is listed twice",
        ),
    ],
)
def test_malformed_files(tmp_path, content, expected):
    path = tmp_path / "aug.txt"
    path.write_text(content)
    with pytest.raises(BadInput, match=expected) as raised:
        read_augprompts(path)
    assert str(path) in str(raised.value)


def test_leaving_out():
    table = AugpromptTable()
    kept = table.without(["selfie", ", hand only"]).of("kite", "A person flies a kite")
    assert len(kept) == 20
    assert ", selfie" not in kept
    assert table.without([]) == table
    with pytest.raises(BadInput, match="did you mean ', side view'"):
        table.without(["sid view"])
    with pytest.raises(BadInput, match="no augprompt is left"):
        table.without(AUGPROMPTS)
