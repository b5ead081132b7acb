"""Export -> import -> export: the same bytes, whatever the tables hold."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chorus.cli import main
from chorus.geometry import masks
from chorus.records.keys import ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE, FAILED, SKIPPED, Table, write_table

W, H = 24, 16
PROMPTS = ("A person carries a surfboard", "A person, lying; on 'surfboards'?")
LABELS = ("bed", "person", "surfboard", "ukulele")


def numbers(draw: np.random.Generator, count: int) -> list[float]:
    return draw.normal(scale=9, size=count).astype(np.float32).tolist()


def detections(draw: np.random.Generator) -> list[dict]:
    """What is left after the clean-up: here, at most one instance of a label."""
    made = []
    for label in (name for name in LABELS if draw.random() < 0.5):
        mask = np.zeros((H, W), bool)
        mask[draw.integers(H) :, draw.integers(W) :] = True
        start, end = draw.uniform(0, [W - 2, H - 2]), draw.uniform([W - 1.5, H - 1.5], [W, H])
        box = np.concatenate([start, end]).astype(np.float32).tolist()
        score = float(np.float32(draw.random()))
        made.append({"label": label, "score": score, "box": box, "mask": masks.encode(mask)})
    return made


def keypoints(draw: np.random.Generator, box: list[float]) -> dict:
    """Of one person; a heat map's confidence may pass 1."""
    points = draw.normal(scale=9, size=(17, 3)).astype(np.float32)
    points[:, 2] = draw.integers(0, 2, 17) if draw.random() < 0.5 else draw.uniform(-0.05, 1.1, 17)
    return {"box": box, "keypoints": points.ravel().tolist()}


def body(draw: np.random.Generator, box: list[float]) -> dict:
    sizes = {"pose": 72, "betas": 10, "crop_centre": 2, "joints": 48}
    arrays = {name: numbers(draw, size) for name, size in sizes.items()}
    camera = np.abs(numbers(draw, 3)).tolist()
    return {"box": box, **arrays, "camera": camera, "crop_side": float(draw.integers(1, 99))}


def row(index: int, **values) -> dict:
    return {"index": index, "status": DONE, "reason": "", **values}


def tables_of(draw: np.random.Generator) -> dict[str, dict]:
    """Rows of one prompt; some failed or were skipped."""
    tables = {name: {} for name in ("images", "segmentations", "human_kps", "humans")}
    for index in range(draw.integers(1, 4)):
        found = detections(draw)
        persons = [one["box"] for one in found if one["label"] == "person"]
        image = {"file": f"{index:06d}.png", "width": W, "height": H, "seed": 1, "text": "x"}
        tables["images"][index] = row(index, **image)
        rows = {
            "segmentations": row(index, width=W, height=H, detections=found),
            "human_kps": row(index, persons=[keypoints(draw, box) for box in persons]),
            "humans": row(index, persons=[body(draw, box) for box in persons]),
        }
        for name, values in rows.items():
            # what is made from a row that is not done is not done either
            held = tables["segmentations"].get(index, {"status": DONE})["status"] != DONE
            if held or draw.random() < 0.2:
                status = FAILED if draw.random() < 0.5 else SKIPPED
                values = dict.fromkeys(values) | {"index": index, "status": status, "reason": "x"}
            tables[name][index] = values
    return tables


def write(root: Path, made: dict, category: str) -> None:
    tree = ResultsTree(root)
    for prompt, tables in made.items():
        shard = ShardKey("made", category, prompt, "original")
        for name, rows in tables.items():
            extra = {"body": "free body"} if name == "humans" else {}
            write_table(tree.table(name, shard), name, Table(shard, extra, rows))
        folder = tree.table("images", shard).with_suffix("")
        folder.mkdir()
        content = io.BytesIO()
        Image.new("RGB", (W, H)).save(content, "png")
        for index in tables["images"]:
            (folder / f"{index:06d}.png").write_bytes(content.getvalue())


def exported(root: Path, key: str, out: Path, *formats: str) -> dict[str, bytes]:
    given = ["--results_dir", str(root), "--model_key", key, "--out", str(out)]
    for name in formats:
        main(["export", *given, "--formats", name])
    return {path.name: path.read_bytes() for path in out.iterdir()} if out.is_dir() else {}


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32), st.sampled_from(["surfboard", "surfboard-demo"]))
def test_what_was_exported_is_exported_again_after_an_import(seed, category):
    draw = np.random.default_rng(seed)
    prompts = PROMPTS[: draw.integers(1, len(PROMPTS) + 1)]
    made = {prompt: tables_of(draw) for prompt in prompts}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "first", made, category)
        before = exported(root / "first", "made", root / "a", "coco", "npz")
        if "instances.json" not in before:
            return
        source = ["--images", str(root / "first/images/made")]
        source += ["--annotations", str(root / "a/instances.json")]
        if "poses.npz" in before:
            source += ["--poses", str(root / "a/poses.npz")]
        tree = ["--results_dir", str(root / "second"), "--model_key", "again"]
        assert main(["import", *source, *tree]) in (0, 1)
        after = exported(root / "second", "again", root / "b", "coco", "npz")
    assert after == before
