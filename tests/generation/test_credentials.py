"""Keys from the environment and `.env`, and that they are not shown."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.generation.credentials import read_dotenv, redact, secret, setting, without_login

KEY = "sk-proj-abcdef_0123456789"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("  A = spaced  ", "spaced"),
        ("export A=exported", "exported"),
        ('A="quoted # text"', "quoted # text"),
        ("A='single'  # a remark", "single"),
        ("A=value # a remark", "value"),
        ("A=with#hash", "with#hash"),
        ("A=a=b", "a=b"),
        ("A=", ""),
        ("A=# a remark", ""),
        ("A=first\nA=second", "second"),
        ("\ufeffA=marked\r\n", "marked"),
    ],
)
def test_lines_of_a_dotenv_file(tmp_path, line, value):
    path = tmp_path / ".env"
    path.write_bytes(f"{line}\n".encode())
    assert read_dotenv(path) == {"A": value}


def test_other_lines_are_passed_over(tmp_path):
    path = tmp_path / ".env"
    path.write_text("# A=1\n\nnonsense\n=2\n3B=4\n")
    assert read_dotenv(path) == {}
    assert read_dotenv(tmp_path / "absent") == {}
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_dotenv(path)


def test_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert setting("OPENAI_API_KEY") == ""
    (tmp_path / ".env").write_text("OPENAI_API_KEY='from file'\n")
    assert setting("OPENAI_API_KEY") == "from file"
    monkeypatch.setenv("OPENAI_API_KEY", "from environment")
    assert setting("OPENAI_API_KEY") == "from environment"


@pytest.mark.parametrize("key", ["sk-“curly”", "two words-12345", "sk-line\nbreak"])
def test_a_key_that_no_header_carries_is_told_without_showing_it(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(BadInput, match="OPENAI_API_KEY holds a blank") as raised:
        secret("OPENAI_API_KEY")
    assert key not in str(raised.value)


def test_redaction():
    assert redact(f"Incorrect key {KEY}, see", KEY) == "Incorrect key [key], see"
    assert redact("Incorrect key sk-proj-****6789.") == "Incorrect key [key]"
    assert redact("my-own-server-key", "my-own-server-key") == "[key]"
    assert redact("A person skips a task-force x", "x") == "A person skips a task-force x"
    assert without_login("http://me:word@host:80/v1?key=1#x") == "http://host:80/v1"
