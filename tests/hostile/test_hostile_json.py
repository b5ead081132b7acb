"""JSON made to recurse, to fill the memory, or of odd values, for every reader of JSON."""

from __future__ import annotations

import copy
import functools
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile import assert_refused

from chorus.commands import ablate, extend_eft
from chorus.commands.importing.sources import read_annotations
from chorus.evaluation import eft
from chorus.evaluation.published_files import published_rules
from chorus.evaluation.result_files import read_scores
from chorus.generation.image_files import description
from chorus.generation.replies import Replies
from chorus.models.hub_cache import damaged_safetensors, unfinished
from chorus.occupancy.archive import HEADER, read_archive
from chorus.perception import open3dhoi, poses_of_smplerx
from chorus.perception.coco_instances import instances_of
from chorus.perception.lifted_objects import read_lifted
from chorus.perception.yolo_labels import class_names
from chorus.records.aggregations import read_record
from chorus.records.results_tree import ResultsTree
from chorus.viewing import drawings

MANY = 200_000
CONTENTS = {
    "open lists": b"[" * MANY,
    "open objects": b'{"a":' * MANY,
    "nested lists": b"[" * MANY + b"]" * MANY,
    "nested objects": b'{"version":' * MANY + b"1" + b"}" * MANY,
    "a number of 200,000 digits": b"1" * MANY,
    "a member of 200,000 digits": b'{"version": ' + b"1" * MANY + b"}",
    "cut off": b'{"version": 1, "images": [',
    "no text": b"\xff\xfe\x00\x01",
    "zeros": bytes(100),
    "empty": b"",
    "null": b"null",
    "a number": b"5",
    "not a number": b"NaN",
    "text": b'"abc"',
    "a list of lists": b"[[[]]]",
}


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def archive(folder: Path, content: bytes) -> None:
    path = folder / "a.npz"
    np.savez(path, **{HEADER: np.array(content.decode("latin-1"))})
    read_archive(path, "chorus.distribution/1")


def base(folder: Path, content: bytes) -> None:
    written(folder, "base.json", content)
    ResultsTree(folder).folder("images")


def smplerx(folder: Path, content: bytes) -> None:
    written(folder, "meta/00001_0.json", content)
    poses_of_smplerx._meta(folder / "smplx" / "00001_0.npz")


def picture(folder: Path, content: bytes) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text("chorus", content.decode("latin-1"))
    Image.new("RGB", (2, 2)).save(folder / "a.png", pnginfo=said)
    description(folder / "a.png")


def hub(folder: Path, content: bytes) -> None:
    written(folder, "model_index.json", content)
    assert unfinished(folder)
    written(folder, "a.safetensors.index.json", content)
    assert unfinished(folder)


def safetensors(folder: Path, content: bytes) -> None:
    written(folder, "a.safetensors", struct.pack("<Q", len(content)) + content)
    assert list(damaged_safetensors(folder))


READERS: dict[str, Callable[[Path, bytes], object]] = {
    "annotations": lambda f, c: read_annotations(written(f, "a.json", c), f),
    "published settings": lambda f, c: published_rules(written(f, "a.json", c)),
    "scores": lambda f, c: read_scores(written(f, "a.json", c)),
    "an aggregation": lambda f, c: read_record(written(f, "aggregation.json", c).parent),
    "a base": base,
    "lifted objects": lambda f, c: read_lifted(written(f, "a.json", c), None),
    "YOLO's classes": lambda f, c: class_names(written(f, "data.yaml", c)),
    "an image's description": picture,
    "SMPLer-X's camera": smplerx,
    "Open3DHOI's record": lambda f, c: open3dhoi._record(written(f, "a.json", c)),
    "EFT fits": lambda f, c: eft.records(extend_eft._parsed(c, f / "a.json")),
    "measurements": lambda f, c: ablate._read(written(f, "a.json", c)),
    "replies": lambda f, c: Replies(written(f, "a.json", c)),
    "an archive's header": archive,
    "a hub's folder": hub,
    "a safetensors header": safetensors,
    "what was drawn": lambda f, c: drawings._drawn_before(written(f, drawings._RECORD, c).parent),
}
# These answer what is wrong, or begin anew, and have no sentence of their own.
HARMLESS = {"a hub's folder", "a safetensors header", "what was drawn", "an image's description"}


def nested(depth: int) -> list:
    made: list = []
    for _ in range(depth):
        made = [made]
    return made


ODD = {
    "deep": nested(900),
    "less deep": nested(450),
    "huge": 10**4000,
    "large": 1 << 40,
    "million": 1_000_000,
    "negative": -1,
    "far": 1e308,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "long text": "x" * 1_000_000,
    "text of a number": "7",
    "an object": {"a": {"b": [1]}},
    "nothing": None,
    "true": True,
    "itself": [{"size": [1, 1], "counts": "1"}],
}
RECORD = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "kite"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 2,
            "bbox": [1, 1, 4, 4],
            "score": 0.9,
            "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]],
        },
        {
            "id": 2,
            "image_id": 1,
            "category_id": 1,
            "bbox": [1, 1, 4, 4],
            "segmentation": {"size": [6, 8], "counts": [0, 48]},
            "keypoints": [1, 1, 2] * 17,
        },
    ],
}
FIELDS = [
    (kind, at, key)
    for kind, records in RECORD.items()
    for at, record in enumerate(records)
    for key in record
] + [("annotations", 0, "iscrowd"), ("images", 0, "prompt")]
PARTS = {
    "run lengths": lambda odd: {"size": [6, 8], "counts": odd},
    "size": lambda odd: {"size": odd, "counts": [0, 48]},
    "sizes": lambda odd: {"size": [odd, odd], "counts": [0, 48]},
    "runs": lambda odd: {"size": [6, 8], "counts": [0, odd]},
    "polygons": lambda odd: [odd, odd],
    "points": lambda odd: [[odd] * 8],
    "one polygon": lambda odd: [odd] * 8,
}


def annotated(folder: Path, content: dict) -> None:
    path = written(folder, "a.json", json.dumps(content).encode())
    annotations = read_annotations(path, path.parent).annotations
    for category in annotations.objects():
        for image in annotations.of(category):
            instances_of(image, category, annotations)


def odd_field(kind: str, at: int, key: str, odd: object, folder: Path) -> None:
    content = copy.deepcopy(RECORD)
    content[kind][at][key] = odd
    annotated(folder, content)


def odd_part(make: Callable, odd: object, folder: Path) -> None:
    content = copy.deepcopy(RECORD)
    content["annotations"][0]["segmentation"] = make(odd)
    annotated(folder, content)


def large_image(folder: Path) -> None:
    content = copy.deepcopy(RECORD)
    content["images"][0] |= {"width": 300_000, "height": 300_000}
    whole = {"size": [300_000, 300_000], "counts": [0, 90_000_000_000]}
    content["annotations"][0]["segmentation"] = whole
    annotated(folder, content)


CASES = {
    **{
        f"{reader}: {name}": functools.partial(lambda read, c, folder: read(folder, c), read, c)
        for reader, read in READERS.items()
        for name, c in CONTENTS.items()
    },
    **{
        f"{kind} {at} {key}: {name}": functools.partial(odd_field, kind, at, key, odd)
        for kind, at, key in FIELDS
        for name, odd in ODD.items()
    },
    **{
        f"segmentation, {part}: {name}": functools.partial(odd_part, make, odd)
        for part, make in PARTS.items()
        for name, odd in ODD.items()
    },
    "an image of 90,000 megapixels": large_image,
}


def is_harmless(case: str) -> bool:
    reader = case.partition(":")[0]
    # a field of an annotation that nothing is taken from may be anything
    return reader in HARMLESS or (reader not in READERS and "megapixels" not in case)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(case):
    assert_refused("test_hostile_json", case, is_harmless(case))
