"""Names of files beside others: whole names, and none that a file system refuses."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from chorus.files import beside

SUFFIX = ".overlay.jpg"


def test_a_suffix_follows_the_whole_name():
    assert beside(Path("out/a.b.png"), ".json") == Path("out/a.b.png.json")


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_no_name_is_too_long(text):
    name = os.fsencode(text * 20)[:255].decode("utf-8", "ignore")
    if not name or name in (".", ".."):
        return
    made = beside(Path("out") / name, SUFFIX)
    assert made.parent == Path("out") and made.name.endswith(SUFFIX)
    assert len(os.fsencode(made.name)) <= 255


def test_long_names_that_differ_at_their_end_stay_apart(tmp_path):
    one, other = ("é" * 120 + f"{number}.jpg" for number in range(2))
    made = {beside(tmp_path / name, SUFFIX) for name in (one, other)}
    assert len(made) == 2
    for path in made:
        path.write_bytes(b"")
