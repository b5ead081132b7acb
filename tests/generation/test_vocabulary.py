"""Category names and their COCO numbers."""

from __future__ import annotations

import pytest

from chorus.errors import BadInput
from chorus.vocabulary import (
    COCO,
    COCO_NAMES,
    PAPER_CATEGORIES,
    QUANTITATIVE_CATEGORIES,
    Category,
    resolve_category,
)


def test_coco_table():
    names, ids = zip(*COCO, strict=True)
    assert len(set(names)) == len(set(ids)) == 80
    assert list(ids) == sorted(ids)
    # The ids that COCO never used.
    assert set(range(1, 91)) - set(ids) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def test_paper_categories():
    assert len(PAPER_CATEGORIES) == 24
    assert len(QUANTITATIVE_CATEGORIES) == 14
    assert set(QUANTITATIVE_CATEGORIES) <= set(PAPER_CATEGORIES) & set(COCO_NAMES)


def test_resolving():
    assert resolve_category("surfboard") == Category("surfboard", "surfboard", 42, 37)
    assert resolve_category("surfboard-demo") == Category("surfboard-demo", "surfboard", 42, 37)
    assert resolve_category("hat", "lvis") == Category("hat", "hat")
    assert resolve_category("garden gnome", "open").label == "garden gnome"
    assert resolve_category("surfboard", "open").coco_id == 42


def test_unknown_coco_name_suggests_and_points_further():
    with pytest.raises(BadInput, match="did you mean 'surfboard'") as raised:
        resolve_category("surfbord-demo")
    assert "--mode lvis" in str(raised.value)
    with pytest.raises(BadInput, match="open vocabulary"):
        resolve_category("sunglasses")


@pytest.mark.parametrize("name", ["", " ", "-demo", "!!", "a\nb", " kite", "x" * 200, "person"])
@pytest.mark.parametrize("mode", ["coco", "open"])
def test_not_a_category(name, mode):
    with pytest.raises(BadInput):
        resolve_category(name, mode)


def test_unknown_mode():
    with pytest.raises(BadInput, match="did you mean 'coco'"):
        resolve_category("kite", "cocoo")
