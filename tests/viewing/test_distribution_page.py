"""The page of distributions: self-contained, safe against its texts, true to its data, alive."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from page_reading import data_of, state_of, with_script
from PIL import Image
from viewing_samples import PROMPT, blob, box_body, displayed, empty_distribution

from chorus.errors import BadInput
from chorus.viewing.displayed import PAPERS_RECIPE, DisplayedBody
from chorus.viewing.distribution_page import (
    Gallery,
    cluster_names,
    pack_body,
    pack_volume,
    write_page,
)
from chorus.viewing.scene import compose

HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror="alert(1)">@@data@@'


def unpack_volume(packed: dict) -> np.ndarray:
    """Probabilities (n, m, l) of the cropped grid of `pack_volume`."""
    raw = base64.b64decode(packed["bytes"])
    raw = gzip.decompress(raw) if packed["packing"] == "gzip" else raw
    steps = np.frombuffer(raw, dtype=np.uint8).reshape(packed["shape"])
    return steps.astype(np.float32) / 255 * packed["top"]


class Tags(HTMLParser):
    """Names of all elements of a page, in `names`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.names.append(tag)


def test_page_is_self_contained(tmp_path):
    path = write_page(tmp_path / "index.html", [displayed()], box_body())
    page = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"""(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s"'`)<]*""", page))
    # the name of XHTML, not a place; comments name three.js's licence nowhere as an address
    assert addresses <= {"http://www.w3.org/1999/xhtml"}
    assert not re.search(r"<(link|iframe|object|embed|base)\b", page)
    assert not re.search(r"<(script|img)[^>]+src=", page)
    assert "default-src 'none'" in page
    assert path.stat().st_size < 1_500_000
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def test_policy_allows_exactly_the_two_scripts(tmp_path):
    page = write_page(tmp_path / "r.html", [displayed()], None).read_text(encoding="utf-8")
    allowed = re.findall(r"'sha256-([^']+)'", page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert allowed == hashes and len(hashes) == 2


def test_texts_cannot_become_markup(tmp_path):
    hostile = displayed(prompt=HOSTILE, part=HOSTILE, category=HOSTILE, facts=((HOSTILE, HOSTILE),))
    path = write_page(
        tmp_path / "r.html", [hostile], box_body(), title=HOSTILE, facts=[(HOSTILE, HOSTILE)]
    )
    page = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.names.count("script") == 3 and "img" not in tags.names
    assert f"<title>{html.escape(HOSTILE)}</title>" in page
    data = data_of(page)
    assert data["title"] == HOSTILE and data["clusters"][0]["prompt"] == HOSTILE
    assert data["facts"] == [[HOSTILE, HOSTILE]]


@pytest.mark.parametrize("compress", [False, True])
def test_volume_survives_packing(compress):
    probability = np.random.default_rng(0).uniform(0, 0.6, (12, 12, 12)).astype(np.float32)
    probability[:3] = 0
    probability[:, :, 10:] = 0
    packed = pack_volume(displayed(probability=probability), compress)
    assert packed["shape"] == [9, 12, 10]
    np.testing.assert_allclose(packed["start"], [-1.5 + 3.5 * 0.25, -1.375, -1.375])
    back = unpack_volume(json.loads(json.dumps(packed)))
    np.testing.assert_allclose(back, probability[3:, :, :10], atol=probability.max() / 500)


def test_body_survives_packing():
    body = box_body()
    packed = pack_body(body)
    steps = np.frombuffer(base64.b64decode(packed["vertices"]["bytes"]), "<u2").reshape(-1, 3)
    back = np.array(packed["low"]) + steps / 65535 * np.array(packed["extent"])
    np.testing.assert_allclose(back, body.vertices, atol=5e-5)
    faces = np.frombuffer(base64.b64decode(packed["faces"]["bytes"]), "<u4").reshape(-1, 3)
    np.testing.assert_array_equal(faces, body.faces)


def test_large_volumes_are_compressed(tmp_path):
    many = [displayed(part=str(n), probability=blob(96)) for n in range(4)]
    page = write_page(tmp_path / "r.html", many, None).read_text(encoding="utf-8")
    assert {c["volume"]["packing"] for c in data_of(page)["clusters"]} == {"gzip"}


def test_cluster_names_are_unique_and_plain():
    names = cluster_names(
        [displayed(), displayed(), displayed(part="rightArm"), displayed(prompt="歩く")]
    )
    assert names[0] == "a-person-balances-on-a-surfboard.all"
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9.~-]+", name) for name in names)


def test_gallery_is_inside_and_links_beside(tmp_path, caplog):
    picture, damaged = tmp_path / "stills" / "a b.png", tmp_path / "damaged.png"
    picture.parent.mkdir()
    Image.new("RGB", (1200, 500), (200, 10, 10)).save(picture)
    damaged.write_bytes(b"not a picture")
    gallery = Gallery(stills=[picture, damaged], turntables=[tmp_path / "turn.mp4", None])
    distributions = [displayed(), displayed(part="torso")]
    page = write_page(tmp_path / "r.html", distributions, None, gallery=gallery).read_text()
    [shown] = data_of(page)["pictures"]
    assert shown["source"].startswith("data:image/jpeg;base64,")
    assert shown["links"] == [["full size", "./stills/a%20b.png"], ["turntable", "./turn.mp4"]]
    assert "cannot be read" in caplog.text


def two_estimates() -> list:
    """Two clusters by one estimate, then the same by another with half the probabilities."""
    return [
        displayed(part=part, estimate=estimate, probability=blob(peak=peak))
        for estimate, peak in (("evidence", 0.8), (PAPERS_RECIPE, 0.4))
        for part in ("all", "torso")
    ]


def test_pictures_of_one_cluster_lie_side_by_side_and_name_their_estimate(tmp_path):
    picture = tmp_path / "still.png"
    Image.new("RGB", (40, 20)).save(picture)
    page = write_page(
        tmp_path / "r.html", two_estimates(), None, gallery=Gallery(stills=[picture] * 4)
    ).read_text()
    shown = data_of(page)["pictures"]
    assert [picture["cluster"] for picture in shown] == [0, 2, 1, 3]
    captions = [picture["caption"] for picture in shown]
    assert captions[0] == f"{PROMPT} (whole body) · estimate: evidence"
    assert captions[1] == f"{PROMPT} (whole body) · estimate: paper's recipe"
    assert len(set(captions)) == 4


def test_one_estimate_is_not_named(tmp_path):
    picture = tmp_path / "still.png"
    Image.new("RGB", (40, 20)).save(picture)
    named, unnamed = (
        write_page(
            tmp_path / "r.html",
            [displayed(estimate=estimate), displayed(part="torso", estimate=estimate)],
            None,
            gallery=Gallery(stills=[picture, picture]),
        ).read_text()
        for estimate in ("evidence", "")
    )
    assert named == unnamed


def test_page_of_nothing_is_refused(tmp_path):
    with pytest.raises(BadInput, match="at least one distribution"):
        write_page(tmp_path / "r.html", [], box_body())


# ---- in a browser


def test_browser_draws_the_same_surfaces(tmp_path, opened):
    shown = displayed(part="rightArm")
    path = write_page(
        tmp_path / "r.html",
        [displayed(), shown, empty_distribution(part="torso")],
        DisplayedBody(box_body().vertices, box_body().faces),
    )
    name = "a-person-balances-on-a-surfboard.rightArm"
    page = opened(path, f"#cluster={name}&threshold=0.3&azimuth=10")
    state = state_of(page)
    assert state["state"] == "ready", state
    assert state["cluster"] == name
    assert state["threshold"] == "0.300"
    expected = sum(len(s.surface.faces) for s in compose(shown, None, 0.3).shells)
    assert int(state["triangles"]) == pytest.approx(expected, rel=0.01)


def pressed(page: str, list_: str) -> dict[str, bool]:
    """Whether each button of a list is pressed, by its text."""
    buttons = re.search(rf'<div id="{list_}"[^>]*>(.*?)</div>', page, re.DOTALL)[1]
    found = re.findall(r'<button[^>]*aria-pressed="(\w+)"[^>]*>([^<]*)', buttons)
    assert len(dict(found)) <= 2 and len({text for _, text in found}) == len(found)
    return {text: state == "true" for state, text in found}


def test_browser_switches_between_estimates(tmp_path, opened):
    path = write_page(tmp_path / "r.html", two_estimates(), box_body())
    press = """const button = document.querySelector("#estimates [aria-pressed=false]");
      const address = () => new URLSearchParams(location.hash.slice(1));
      const before = address();
      button.focus();
      button.click();
      setTimeout(() => {
        const root = document.documentElement, after = address();
        root.dataset.focused = document.activeElement.textContent;
        const view = ["azimuth", "elevation", "distance"];
        root.dataset.moved = String(view.some((name) => before.get(name) !== after.get(name)));
        root.dataset.address = after.get("cluster");
      }, 1000);"""
    name = "a-person-balances-on-a-surfboard.torso"
    view = "&azimuth=10.0&elevation=20.0&distance=5.00"
    page = opened(with_script(path, press), f"#cluster={name}&threshold=0.6{view}")
    state = state_of(page)
    assert state["state"] == "ready", state
    assert state["cluster"] == state["address"] == f"{name}~2"
    assert state["threshold"] == "0.300", "the same share of half the peak"
    assert state["moved"] == "false"
    assert state["focused"] == PAPERS_RECIPE
    assert pressed(page, "estimates") == {"evidence": False, PAPERS_RECIPE: True}
    assert pressed(page, "prompts") == {PROMPT: True}
    assert pressed(page, "parts") == {"whole body": False, "torso": True}
    assert "estimate: paper's recipe" in re.search(r'<p id="subheading">([^<]*)', page)[1]


def test_browser_switches_to_an_estimate_without_the_part(tmp_path, opened):
    clusters = [*two_estimates()[:2], displayed(estimate=PAPERS_RECIPE)]
    path = write_page(tmp_path / "r.html", clusters, None)
    press = 'document.querySelector("#estimates [aria-pressed=false]").click();'
    page = opened(with_script(path, press), "#cluster=1")
    assert state_of(page)["cluster"] == "a-person-balances-on-a-surfboard.all~2"
    assert pressed(page, "parts") == {"whole body": True}


def test_browser_offers_no_choice_of_one_estimate(tmp_path, opened):
    path = write_page(tmp_path / "r.html", two_estimates()[:2], None)
    page = opened(path)
    assert re.search(r'<fieldset id="estimate" hidden', page)
    assert pressed(page, "parts") == {"whole body": True, "torso": False}
    assert "estimate" not in re.search(r'<p id="subheading">([^<]*)', page)[1]


def test_browser_shows_an_empty_cluster_with_a_note(tmp_path, opened):
    path = write_page(tmp_path / "r.html", [empty_distribution()], box_body())
    page = opened(path)
    assert state_of(page)["state"] == "ready"
    assert re.search(r'<p id="note">[^<]*empty', page)


def test_browser_runs_nothing_from_texts(tmp_path, opened):
    hostile = displayed(prompt=HOSTILE, category=HOSTILE, facts=((HOSTILE, HOSTILE),))
    path = write_page(tmp_path / "r.html", [hostile], box_body(), title=HOSTILE)
    page = opened(path)
    assert state_of(page)["state"] == "ready"
    assert "<title>taken" not in page and "<img src" not in page.split("<script")[0]
    assert html.escape(HOSTILE, quote=False) in page


def test_browser_reads_compressed_volumes(tmp_path, opened):
    many = [displayed(part=str(n), probability=blob(96)) for n in range(4)]
    page = opened(write_page(tmp_path / "r.html", many, box_body()), "#cluster=3")
    assert state_of(page)["state"] == "ready"
    assert int(state_of(page)["triangles"]) > 1000
    assert PROMPT in page
