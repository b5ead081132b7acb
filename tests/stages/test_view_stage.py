"""What `chorus view` draws of a category."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chorus.errors import BadInput
from chorus.occupancy.counts import BinCounts
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.presets import preset
from chorus.records import aggregations
from chorus.records.aggregations import aggregation_name
from chorus.records.keys import TOTAL, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import Table, write_table
from chorus.stages import view
from chorus.viewing.distribution_page import write_page
from chorus.viewing.drawings import Drawing, remember, without_repeated_total
from chorus.viewing.estimates import displayed, told_apart

PARTS = ("all", "torso")
PROMPT = "A person wears a tie"


def drawings(root: Path, prompt: str, level: float, parts: tuple[str, ...] = PARTS) -> list:
    """Distributions of a prompt on disk, `level` everywhere."""
    folder = root / prompt / "filter(3)-aggr(qual%3Ademo)"
    folder.mkdir(parents=True)
    grid = VoxelGrid(4, 3.0)
    for part in parts:
        probability = np.full(grid.shape, level, np.float32)
        seen = np.ones(grid.shape, np.uint32)
        Distribution(probability, grid, seen, "tie", prompt, part).save(folder / f"{part}.npz")
    return [Drawing(folder, part) for part in parts]


def test_a_total_of_one_prompt_is_not_drawn_again(tmp_path):
    prompt = drawings(tmp_path, "A person wears a tie", 0.5)
    assert without_repeated_total([*prompt, *drawings(tmp_path, TOTAL, 0.5)]) == prompt


@pytest.mark.parametrize(("level", "parts"), [(0.4, PARTS), (0.5, ("all",))])
def test_a_total_that_differs_is_drawn(tmp_path, level, parts):
    group = drawings(tmp_path, "A person wears a tie", 0.5)
    group += drawings(tmp_path, TOTAL, level, parts)
    assert without_repeated_total(group) == group


def test_a_total_alone_or_of_several_prompts_is_drawn(tmp_path):
    total = drawings(tmp_path, TOTAL, 0.5)
    assert without_repeated_total(total) == total
    group = [*drawings(tmp_path, "A", 0.5), *drawings(tmp_path, "B", 0.5)]
    assert without_repeated_total(group) == group
    assert without_repeated_total([*group, *total]) == [*group, *total]


def test_a_damaged_distribution_is_left_to_the_drawing(tmp_path):
    group = [*drawings(tmp_path, "A", 0.5), *drawings(tmp_path, TOTAL, 0.5)]
    group[0].file(".npz").write_bytes(b"nonsense")
    assert without_repeated_total(group) == group


# ---- estimates


def aggregated(preset_name: str, prompt: str = PROMPT, rules: tuple = (3,), part: str = "all"):
    """A distribution as `aggregate` stores it by a preset."""
    grid = VoxelGrid(4, 3.0)
    return Distribution(
        np.full(grid.shape, 0.5, np.float32),
        grid,
        np.ones(grid.shape, np.uint32),
        "tie",
        prompt,
        part,
        metadata={
            "name": aggregation_name(rules, preset_name),
            "settings": preset(preset_name).recorded(),
            "weighting": preset(preset_name).weighting,
            "samples": 1,
            "members": 1,
        },
    )


@pytest.mark.parametrize(
    ("preset_name", "estimate"),
    [
        ("qual:demo", "paper's recipe"),
        ("quant:data-10-percent", "paper's recipe"),
        ("quant:no-view-weighting", "quant:no-view-weighting"),
        ("quant:evidence-no-estimator", "quant:evidence-no-estimator"),
        ("qual:evidence-demo", "evidence"),
        ("quant:evidence-no-refinement", "evidence, persons not refined"),
    ],
)
def test_an_estimate_is_named_after_its_settings(preset_name, estimate):
    shown = displayed(aggregated(preset_name))
    assert shown.estimate == estimate
    facts = dict(shown.facts)
    assert ("estimate" in facts) != ("view weighting" in facts)
    assert facts.get("estimate", estimate) == estimate
    assert ("estimate" in facts) == (preset(preset_name).estimator == "evidence")


def test_results_without_settings_are_the_papers():
    imported = replace(aggregated("qual:demo"), metadata={"settings": {"source": "the release"}})
    assert displayed(imported).estimate == "paper's recipe"
    assert displayed(replace(imported, metadata={})).estimate == "paper's recipe"


def test_estimates_that_presets_share_are_named_after_the_preset():
    presets = ("qual:evidence-demo", "quant:full", "quant:resolution-24")
    groups = {name: [displayed(aggregated(name, part=p)) for p in PARTS] for name in presets}
    names = [shown.estimate for shown in told_apart(groups)]
    assert names == ["evidence"] * 2 + ["quant:full"] * 2 + ["quant:resolution-24"] * 2


# ---- pages


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A tree with aggregations of a tie, total alone, whose pictures are drawn as empty files."""

    def draw_all(options, drawn):
        for drawing in drawn:
            for suffix in (".png", ".mp4"):
                drawing.file(suffix).write_text(f"{drawing.folder.name} {drawing.part}")
            remember(drawing)
            yield drawing

    monkeypatch.setattr(view, "_draw_all", draw_all)  # seconds in other processes
    root = ResultsTree(tmp_path / "results")
    for rules in ((3,), (7, 8)):
        for name in ("qual:evidence-demo", "qual:demo"):
            kind = aggregation_name(rules, name)
            folder = root.aggregation("synthetic-v1", "tie", TOTAL, kind)
            stored = {part: aggregated(name, TOTAL, rules, part) for part in PARTS}
            settings = preset(name).recorded()
            aggregations.store(
                root, folder, stored, aggregations.record_of(kind, settings, 1, "samples")
            )
    return tmp_path


def run(tree: Path, *presets: str, rules: tuple[str, ...] = ("3",), **settings):
    return view.run(
        view.Options(
            results_dir=tree / "results",
            categories=("tie",),
            aggr_setting_names=presets,
            filter_setting_nums=rules,
            **settings,
        )
    )


def clusters_of(page: Path) -> list[dict]:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["clusters"]


BOTH = ("qual:evidence-demo", "qual:demo")


def test_presets_share_a_page(tree):
    shown = tree / "shown"
    report = run(tree, *BOTH, save_dir=shown)
    assert report.ok and report.line.endswith(f"→ {shown / 'index.html'}")
    names = {path.name for path in shown.iterdir()}
    stems = [f"total - {part}{more}" for part in PARTS for more in ("", " - qual%3Ademo")]
    assert names == {f"{stem}.{end}" for stem in stems for end in ("png", "mp4")} | {"index.html"}
    assert "evidence" in (shown / "total - torso.png").read_text()
    assert "evidence" not in (shown / "total - torso - qual%3Ademo.mp4").read_text()
    clusters = clusters_of(shown / "index.html")
    assert [(c["estimate"], c["part"]) for c in clusters] == [
        ("evidence", "all"),
        ("evidence", "torso"),
        ("paper's recipe", "all"),
        ("paper's recipe", "torso"),
    ]
    assert len({cluster["id"] for cluster in clusters}) == 4
    made = (shown / "index.html").stat().st_mtime_ns
    assert run(tree, *BOTH, save_dir=shown).ok
    assert (shown / "index.html").stat().st_mtime_ns == made, "nothing that it shows has changed"
    assert run(tree, *reversed(BOTH), save_dir=shown).ok
    assert clusters_of(shown / "index.html")[0]["estimate"] == "paper's recipe"
    assert "evidence" not in (shown / "total - torso.png").read_text()


def test_one_preset_needs_no_estimate(tree):
    shown = tree / "shown"
    assert run(tree, "qual:demo", save_dir=shown).ok
    assert {p.stem for p in shown.glob("total*")} == {f"total - {part}" for part in PARTS}
    assert not any("estimate" in cluster for cluster in clusters_of(shown / "index.html"))


def test_filter_rules_have_pages_of_their_own(tree):
    shown = tree / "shown"
    assert run(tree, *BOTH, rules=("3", "7,8"), save_dir=shown).ok
    pages = sorted(path.relative_to(shown).parts for path in shown.rglob("index.html"))
    assert [page[1] for page in pages] == [
        "filter(3)-aggr(qual%3Aevidence-demo)",
        "filter(7,8)-aggr(qual%3Aevidence-demo)",
    ]


def test_a_page_lies_with_its_first_aggregation(tree):
    assert run(tree, *BOTH).ok
    [page] = (tree / "results").rglob("index.html")
    assert page.parent.name == "filter(3)-aggr(qual%3Aevidence-demo)"
    assert len(clusters_of(page)) == 4


def test_all_aggregations_of_a_page_are_held_in_one_order(tree, monkeypatch):
    held, orders = [], []

    @contextmanager
    def lock(tree, model, category, name):
        held.append(name)
        yield
        held.remove(name)

    drawing = view._draw_all
    monkeypatch.setattr(aggregations, "category_lock", lock)
    monkeypatch.setattr(
        view, "_draw_all", lambda *given: (orders.append([*held]), drawing(*given))[1]
    )
    for presets in (BOTH, BOTH[::-1]):
        assert run(tree, *presets).ok
    names = [aggregation_name((3,), name) for name in ("qual:demo", "qual:evidence-demo")]
    assert orders == [names, names] and not held


def test_what_was_not_aggregated_is_told(tree):
    with pytest.raises(BadInput, match=r"no aggregation filter\(3\)-aggr\(quant:full\)"):
        run(tree, "quant:full")


def test_kinds_are_drawn_by_category_whatever_the_options_name(tree):
    options = view.Options(results_dir=tree / "results", save_dir=tree / "shown")
    kind = aggregations.AggregationKind("qual:demo", (7, 8))
    assert view.draw_kinds(options, {"tie": [kind], "chair": [kind]}).ok
    [folder] = (tree / "results").rglob("pictures.json")
    assert folder.parent.name == "filter(7,8)-aggr(qual%3Ademo)"


@pytest.mark.parametrize(
    ("presets", "anchor", "body"),
    [(BOTH, "refined", "refined body"), (BOTH[::-1], "calibrated", "regressed body")],
)
def test_the_sheet_draws_the_bodies_of_the_first_aggregation(
    tree, monkeypatch, presets, anchor, body
):
    def write_sheet(about, category, model, path, renderer):
        sheets.append((about.anchor, category))
        Image.new("RGB", (8, 8)).save(path)

    sheets = []
    monkeypatch.setattr("chorus.viewing.category_page.write_sheet", write_sheet)
    shard = ShardKey("synthetic-v1", "tie", PROMPT, "original")
    path = ResultsTree(tree / "results").table("filtered", shard)
    path.parent.mkdir(parents=True)
    write_table(path, "filtered", Table(shard, {}, {}))
    assert run(tree, *presets, save_dir=tree / "shown").ok
    assert sheets == [(anchor, "tie")]
    text = (tree / "shown/index.html").read_text(encoding="utf-8")
    assert f"Images, verdicts and each person's {body}" in text


def test_a_field_of_another_body_is_shown_without_contacts(tree):
    root = ResultsTree(tree / "results")
    kind = aggregation_name((3,), "qual:demo")
    path = root.aggregation("synthetic-v1", "tie", TOTAL, kind) / "torso.npz"
    replace(Distribution.load(path), body="0123456789abcdef").save(path)
    report = run(tree, "qual:demo", save_dir=tree / "shown")
    assert report.ok and not report.problems
    whole, torso = clusters_of(tree / "shown/index.html")
    assert "fault" not in whole["contact"] and whole["contact"]["top"] > 0
    assert torso["contact"].keys() == {"fault"}
    assert "made on another body" in torso["contact"]["fault"]


def leveled(once: bool, levels: int = 4) -> Distribution:
    """A part that 5 samples of its prompt's 8 joined, which count as 11 and 20."""
    counts = BinCounts.empty(VoxelGrid(4, 3.0), levels=once)
    counts.samples[2], counts.members[2] = 20, 11
    if once:
        counts.once[:, 2] = 8, 5
    settings = {"selection": "confidence", "selection_levels": levels}
    return Distribution.from_counts(counts, metadata={"settings": settings})


def test_the_page_tells_samples_and_their_weight_apart(tmp_path):
    leveled(once=True).save(tmp_path / "all.npz")
    shown = displayed(Distribution.load(tmp_path / "all.npz"))
    assert (shown.samples, shown.weight) == (5, 11)
    assert shown.samples_label == "5 retained samples, total weight 11, too few to rely on"
    facts = dict(shown.facts)
    assert (facts["samples of the prompt"], facts["their total weight"]) == ("8", "20")
    page = write_page(tmp_path / "page.html", [shown], None)
    assert [(c["samples"], c["weight"]) for c in clusters_of(page)] == [(5, 11)]


def test_where_samples_are_not_known_their_weight_is_not_called_so():
    shown = displayed(leveled(once=False))
    assert (shown.samples, shown.weight, shown.samples_label) == (None, 11, "total weight 11")
    assert dict(shown.facts)["their total weight"] == "20"
    assert "samples of the prompt" not in dict(shown.facts)


def test_without_levels_there_is_no_weight():
    shown = displayed(leveled(once=False, levels=1))
    assert (shown.samples, shown.weight) == (11, None)
    assert dict(shown.facts)["samples of the prompt"] == "20"
    assert "their total weight" not in dict(shown.facts)
