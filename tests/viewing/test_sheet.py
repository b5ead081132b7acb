"""Captions of the contact sheet: what tells its images apart."""

from __future__ import annotations

import pytest

from chorus.records.keys import SampleKey
from chorus.viewing.sheet import _shared_words, caption

RIDES, PUSHES = "A person rides a motorcycle", "A person pushes a motorcycle"


@pytest.mark.parametrize(
    ("prompts", "augprompt", "expected"),
    [
        ([RIDES, PUSHES], ", side view", "rides, side view"),
        ([RIDES, PUSHES], "original", "rides"),
        ([RIDES], ", bottom view", "bottom view"),
        ([RIDES], "original", "original"),
        ([RIDES, f"{RIDES} uphill"], ", side view", "side view"),
        ([RIDES, "Somebody waits"], "original", RIDES),
    ],
)
def test_a_caption_has_what_is_not_shared(prompts, augprompt, expected):
    key = SampleKey("m", "motorcycle", RIDES, augprompt, 0)
    assert caption(key, _shared_words(prompts)) == expected
