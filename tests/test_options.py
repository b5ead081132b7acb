"""Every command shows the options that it heeds, and no others."""

from __future__ import annotations

import importlib
from dataclasses import fields

import pytest

from chorus.cli import COMMANDS, main

# What each shared option is for: a command that has it must use it, one that has not must not
# accept it silently.
ONLY = {
    "shard": {
        *("images", "segment", "humans", "keypoints", "filter", "refine", "quality", "calibrate"),
        *("aggregate", "run", "testset", "prune", "evaluate"),
    },
    "seed": {
        *("prompts", "images", "segment", "humans", "keypoints", "quality", "testset", "ablate"),
        "run",
    },
    "device": {
        *("images", "segment", "humans", "keypoints", "refine", "quality", "calibrate"),
        *("aggregate", "truth", "ablate", "run", "doctor", "hands"),
    },
    "engine": {
        *("images", "segment", "humans", "keypoints", "filter", "refine", "quality", "calibrate"),
        *("aggregate", "testset", "truth", "ablate", "run"),
    },
}


def options_of(command: str) -> set[str]:
    return {each.name for each in fields(importlib.import_module(COMMANDS[command][0]).Options)}


@pytest.mark.parametrize("option", ONLY)
def test_an_option_is_where_it_is_heeded(option):
    assert {command for command in COMMANDS if option in options_of(command)} == ONLY[option]


@pytest.mark.parametrize(
    ("command", "option"),
    [("import", "--shard"), ("status", "--workers"), ("verify", "--overwrite"), ("view", "--seed")],
)
def test_an_option_that_is_not_heeded_is_refused(command, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, option, "1"])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err
