"""The page of an evaluation: whole, self-contained, versioned, and safe against odd names."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from chorus.errors import BadInput
from chorus.viewing.pap_page import (
    PICTURE_SIDE,
    Category,
    Example,
    Row,
    Section,
    example_pictures,
    pap_page,
)

CURVE = np.array([[1.0, 0.25], [0.5, 0.75]])


def example(image: bool = True, size=(60, 80), cells=(32, 42)) -> Example:
    mask = np.zeros(size, bool)
    mask[20:40, 10:30] = True
    likelihood = np.full(cells, -1, np.float32)
    likelihood[:, 30:] = 0.5
    human = np.zeros(cells, bool)
    human[25:, :] = True
    photograph = np.full((*size, 3), 200, np.uint8) if image else None
    return Example("best", "a.jpg", 0.5, mask, likelihood, human, photograph)


def section(name: str = "surfboard", examples=(), note: str = "") -> Section:
    figures = np.array([[0.5, 0.4, 0.6], [np.nan] * 3])
    return Section(
        heading="pap/v2 on synthetic",
        about="settings",
        metric="pap/v2",
        header=["category", "mPAP (pap/v2)", "mPAP_hoa (pap/v2)"],
        rows=[Row([name], figures), Row(["mean of 1 category"], figures, "mean")],
        categories=[Category(name, CURVE, CURVE[:0], "mPAP (pap/v2) 50.0 %", examples, note)],
    )


class Outline(HTMLParser):
    """Counts elements, and collects addresses and text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_a_mean_of_one_image_has_no_interval():
    figures = np.array([[0.5, np.nan, np.nan]])
    header = ["category", "mPAP (pap/v2)"]
    page = pap_page("PAP", [Section("", "", "pap/v2", header, [Row(["tie"], figures)], [])])
    assert "50.0" in Outline(page).text and "nan" not in page and "[" not in Outline(page).text


def test_the_page_holds_everything_itself_and_names_its_version():
    page = pap_page("PAP", [section(examples=[example(), example(image=False)])], "0123abcd")
    outline = Outline(page)
    assert outline.tags.count("img") == 4 and "script" not in outline.tags
    assert all(one.startswith("data:image/jpeg;base64,") for one in outline.addresses)
    assert "http:" not in page and "https:" not in page
    assert '<meta name="made-from" content="0123abcd">' in page
    assert "50.0[40.0, 60.0]" in outline.text and "–" in outline.text
    assert "best" in outline.text and "a.jpg · PAP 50.0 % (pap/v2)" in outline.text
    assert not re.findall(r"mPAP\w*(?! ?\(pap|\w)", outline.text)
    points = re.findall(r'polyline points="([^"]*)"', page)
    assert points == ["", "174.0,118.5 99.0,43.5"]


def test_names_and_reasons_are_text_not_markup():
    odd = '<script>alert("1")</script>'
    outline = Outline(pap_page(odd, [section(odd, note=odd), section()], odd))
    assert "script" not in outline.tags and outline.tags.count("section") == 2
    assert outline.addresses == ["#section-0", "#section-1"]
    assert outline.text.count(odd) >= 4


@pytest.mark.parametrize(("size", "cells"), [((60, 80), (32, 42)), ((90, 41), (70, 32))])
def test_likelihood_and_target_lie_where_the_image_has_them(size, cells):
    one = example(size=size, cells=cells)
    one.likelihood[:] = -1
    one.likelihood[: cells[0] // 2, :] = 0.5
    photograph, chance = example_pictures(one, 0.5)
    assert photograph.shape == chance.shape and max(photograph.shape) == PICTURE_SIDE
    bright = chance.astype(int).sum(axis=2)
    assert bright[: len(bright) // 4, 60:-20].min() > 500 > 400 > bright[-30:, 60:].max()
    row, column = (int(30 * PICTURE_SIDE / max(size)), int(10 * PICTURE_SIDE / max(size)))
    red, green, blue = photograph[row, column + 1].astype(int)
    assert blue > green > red  # the target's outline
    assert (photograph[5, 5] == 200).all()


def test_without_a_photograph_person_and_target_are_drawn():
    photograph, chance = example_pictures(example(image=False), 0.5)
    assert len(np.unique(photograph[-20:, -40:-10])) == 1
    assert photograph[-5, -30, 0] < photograph[5, 5, 0]
    assert chance.shape == photograph.shape


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(BadInput, match="at least one table"):
        pap_page("PAP", [])
    one = example()
    small = Example(*[getattr(one, n) for n in ("rank", "name", "pap")], one.mask[:-1],
                    one.likelihood, one.human, one.image)  # fmt: skip
    with pytest.raises(BadInput, match="80 x 60 pixels, its mask 80 x 59"):
        example_pictures(small, 1.0)
