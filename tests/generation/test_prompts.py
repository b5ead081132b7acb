"""Prompt files, near names, replies of a language model (method.md 1)."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus.errors import BadInput, ChorusError
from chorus.generation import prompts
from chorus.vocabulary import PAPER_CATEGORIES

REPOSITORY = Path(__file__).resolve().parents[2]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_reading_rules(tmp_path):
    path = write(
        tmp_path / "kite.txt",
        "\ufeff# a comment\r\n\r\n  A person flies a kite.  \r\nA boy lifts a kite\r\n"
        "A person flies a kite\r\n#A dog bites a kite\n\tA girl folds a kite. \n"
        "La niña lanza una cometa",
    )
    assert prompts.read_prompts(path) == [
        "A person flies a kite",
        "A boy lifts a kite",
        "A girl folds a kite",
        "La niña lanza una cometa",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "holds no prompt"),
        ("# only a comment\n\n", "holds no prompt"),
        (b"A person\nA \xff person\n", "line 2: byte 0xff is not UTF-8"),
        (
            "A person carries a kite\nA person\x00 carries a kite\n",
            r"line 2: control character U\+0000",
        ),
        ("A person\tcarries a kite", r"control character U\+0009"),
        ("A person\u2028carries a kite", r"control character U\+2028"),
        ("A person carries a kite\n" + "very " * 100 + "long\n", "line 2: 504 characters"),
        ("...\n", "no word in it"),
        ("A person carries a kite\n12.\n", "line 2: '12' has no word in it"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path, content, expected):
    path = write(tmp_path / "kite.txt", content)
    with pytest.raises(BadInput, match=expected) as raised:
        prompts.read_prompts(path)
    assert str(path) in str(raised.value)


def test_unreadable_paths(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        prompts.read_prompts(tmp_path / "absent.txt")
    with pytest.raises(BadInput, match="cannot be read"):
        prompts.read_prompts(tmp_path)


sentence = st.text(string.ascii_letters + " .,'äß#", min_size=1, max_size=80)


@given(st.lists(sentence, max_size=8))
def test_what_is_written_is_read_again(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("prompts") / "kite.txt"
    try:
        written = prompts.write_prompts(path, lines)
    except BadInput:
        assert not path.exists()
        return
    assert prompts.read_prompts(path) == written
    assert len(set(written)) == len(written)


def test_writing_refuses_comments_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "kite.txt"
    prompts.write_prompts(path, ["A person flies a kite."])
    with pytest.raises(BadInput, match="marks a comment"):
        prompts.write_prompts(path, ["A person flies a kite", "# A boy"])
    assert prompts.read_prompts(path) == ["A person flies a kite"]
    assert [p.name for p in tmp_path.iterdir()] == ["kite.txt"]


def test_demo_category_falls_back(tmp_path):
    write(tmp_path / "surfboard.txt", "A person carries a surfboard\n")
    assert prompts.find_prompt_file(tmp_path, "surfboard-demo").name == "surfboard.txt"
    write(tmp_path / "surfboard-demo.txt", "A person carries a surfboard\n")
    assert prompts.find_prompt_file(tmp_path, "surfboard-demo").name == "surfboard-demo.txt"
    assert prompts.prompt_categories(tmp_path) == ["surfboard", "surfboard-demo"]


def test_missing_prompt_file_suggests(tmp_path):
    with pytest.raises(BadInput, match="has no prompt files"):
        prompts.find_prompt_file(tmp_path, "surfboard")
    write(tmp_path / "surfboard.txt", "A person carries a surfboard\n")
    with pytest.raises(BadInput, match="did you mean 'surfboard'"):
        prompts.find_prompt_file(tmp_path, "surfbord")
    with pytest.raises(BadInput, match="there are surfboard;"):
        prompts.find_prompt_file(tmp_path, "zzz")


def test_category_cannot_leave_the_folder(tmp_path):
    assert prompts.prompt_file(tmp_path, "../../etc/passwd").parent == tmp_path
    with pytest.raises(ChorusError):
        prompts.find_prompt_file(tmp_path, "../../etc/passwd")


def test_template_prompts(caplog):
    known = ["A person carries a kite", "A person flies a kite"]
    assert prompts.template_prompts("kite", known) == known
    assert prompts.template_prompts("kite", known, 1) == known[:1]
    assert prompts.template_prompts("kite", known, 5) == known
    assert "5 prompts asked for, 2 known" in caplog.text
    with pytest.raises(BadInput, match="no interaction is known"):
        prompts.template_prompts("kite", [])
    with pytest.raises(BadInput, match="at least 1"):
        prompts.template_prompts("kite", known, 0)


@pytest.mark.parametrize(
    "line",
    [
        "1. A person flies a kite.",
        "12) A person flies a kite",
        "(3) A person flies a kite",
        "4: A person flies a kite",
        "#5 A person flies a kite",
        "- A person flies a kite.",
        "* A person flies a kite",
        "•A person flies a kite",
        '1. "A person flies a kite."',
        "“A person flies a kite”.",
        "**1. A person flies a kite**",
        "1. **A person flies a kite.**",
        "   A person flies a kite   ",
    ],
)
def test_one_line_of_a_reply(line):
    assert prompts.clean_reply(line) == ["A person flies a kite"]


def test_whole_reply():
    reply = (
        "Sure! Here are some prompts:\n\n```\n1. A boy flies a kite.\n2. A boy flies a kite\n"
        "3 friends lift a kite\n```\n"
    )
    assert prompts.clean_reply(reply) == ["A boy flies a kite", "3 friends lift a kite"]
    assert prompts.clean_reply("") == []
    assert prompts.clean_reply('\n \n""\n1.\n') == []


def test_shipped_prompts():
    demo = prompts.read_prompts(REPOSITORY / "prompts/demo/surfboard.txt")
    assert demo == [
        f"A person {verb} a surfboard" for verb in ("balances on", "carries", "paddles on")
    ]
    for category in PAPER_CATEGORIES:
        found = prompts.read_prompts(
            prompts.find_prompt_file(REPOSITORY / "prompts/chorus", category)
        )
        assert len(found) >= 10
