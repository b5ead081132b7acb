"""The pasture's three sets of pictures, in the published layout and JSON forms.

    150 labelled   <root>/acsm/acsm/cachedir/data/<set>: the split `train`
    200 test       the same folder: the split `val`, with masks and cameras
    1,000 web      <root>/data/yfcc100m: pictures and boxes; the truth beside them

Every picture is a file with a record beside it, so that a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from chorus.animals.annotations import Record, write_ids, write_records
from chorus.animals.pasture.drawing import Drawn, draw_scene
from chorus.animals.pasture.scenes import LABELLED, WEB, PastureSettings, sample_scene
from chorus.animals.template import UPRIGHT
from chorus.animals.tree import AnimalTree, usual_data_set
from chorus.errors import BadInput
from chorus.files import atomic_write, replacing
from chorus.geometry import masks
from chorus.records.keys import GLOBAL_SEED

Purpose = Literal["train", "val", "web"]
VERSION = 1
"""Raised when the same settings give other pictures."""
_LEAST_PIXELS = 300
_TRIES = 20


@dataclass(frozen=True)
class PastureSizes:
    """How many pictures of each kind."""

    labelled: int = 150
    """Pictures with labels to train on."""
    web: int = 1000
    """Pictures without labels."""
    test: int = 200
    """Pictures with labels, masks and cameras to test on."""

    def __post_init__(self) -> None:
        if min(self.labelled, self.web, self.test) < 1:
            raise BadInput(
                "each set needs one picture or more, found "
                f"{self.labelled}, {self.web} and {self.test}."
            )


@dataclass(frozen=True)
class Picture:
    """One picture to draw: a category's number in a set."""

    root: Path
    category: str
    purpose: Purpose
    number: int
    seed: int = GLOBAL_SEED

    @property
    def settings(self) -> PastureSettings:
        """How it is drawn."""
        return WEB if self.purpose == "web" else LABELLED

    @property
    def id(self) -> str:
        """Its `img_id`: 32 hexadecimal digits that follow from its name and settings."""
        named = [str(VERSION), str(self.seed), self.category, self.purpose, str(self.number)]
        named.append(json.dumps(asdict(self.settings), sort_keys=True))
        return hashlib.sha256("\0".join(named).encode()).hexdigest()[:32]

    @property
    def images(self) -> Path:
        """The folder that its path in the labels starts from."""
        tree = AnimalTree(self.root)
        if self.purpose == "web":
            return tree.web / "images"
        return tree.labelled(usual_data_set(self.category)) / "images"

    @property
    def path(self) -> str:
        """Its path in the labels."""
        return f"{self.category}/{self.id}.jpg"

    @property
    def record_file(self) -> Path:
        """Where its record lies until the set is complete, and afterwards."""
        return self.images.parent / "records" / self.category / f"{self.id}.json"


def pictures(
    root: Path, category: str, sizes: PastureSizes, seed: int = GLOBAL_SEED
) -> list[Picture]:
    """All pictures of a category's three sets."""
    counts: dict[Purpose, int] = {"train": sizes.labelled, "val": sizes.test, "web": sizes.web}
    return [
        Picture(root, category, purpose, number, seed)
        for purpose, count in counts.items()
        for number in range(count)
    ]


def is_drawn(picture: Picture) -> bool:
    """Whether the picture and its record are there."""
    return picture.record_file.is_file() and (picture.images / picture.path).is_file()


def draw_picture(picture: Picture) -> None:
    """Draw a picture and write it, then its record."""
    from PIL import Image

    drawn, wrong = _drawn(picture)
    path = picture.images / picture.path
    with replacing(path) as temporary:
        Image.fromarray(drawn.image).save(temporary, quality=95)
    record = _record(picture, drawn)
    if wrong is not None:
        record["img_bbox"] = wrong
    record["wrong_box"] = wrong is not None
    atomic_write(picture.record_file, json.dumps(record).encode())


def _drawn(picture: Picture) -> tuple[Drawn, list[int] | None]:
    """The picture, and a box that is not the animal's if it shall have one."""
    digest = hashlib.sha256(f"{picture.id} scene".encode()).digest()
    seed = int.from_bytes(digest[:6], "big")
    for attempt in range(_TRIES):
        scene = sample_scene(picture.category, seed + attempt, picture.settings)
        drawn = draw_scene(scene)
        if drawn.mask.sum() >= _LEAST_PIXELS and drawn.visible.sum() >= 3:
            break
    else:
        raise BadInput(f"no picture of a {picture.category} shows the animal in {_TRIES} tries.")
    if not scene.wrong_box:
        return drawn, None
    return drawn, _wrong_box(drawn, np.random.default_rng([seed, 7]))


def _wrong_box(drawn: Drawn, rng: np.random.Generator) -> list[int]:
    """A box [x, y, w, h] of some other place: it covers less than a third of the animal."""
    height, width = drawn.mask.shape
    box = [0, 0, width // 3, height // 3]
    for _ in range(50):
        size = rng.uniform(0.25, 0.6, 2) * [width, height]
        corner = rng.uniform(0, 1, 2) * ([width, height] - size)
        x, y, w, h = box = np.round([*corner, *size]).astype(int).tolist()
        if drawn.mask[y : y + h, x : x + w].sum() < drawn.mask.sum() / 3:
            break
    return box


def _record(picture: Picture, drawn: Drawn) -> Record:
    left, top, right, bottom = (int(value) for value in drawn.box)
    joints = np.column_stack([drawn.keypoints.round(2), drawn.visible.astype(float)])
    record: Record = {
        "img_id": picture.id,
        "img_path": picture.path,
        "img_bbox": [left, top, right - left, bottom - top],
        "joints": joints.tolist(),
        "mask": masks.encode(drawn.mask).decode(),
        "size": list(drawn.mask.shape),
        "cam_scale": drawn.camera.scale,
        "cam_trans": drawn.camera.shift.tolist(),
        "cam_rot": drawn.camera.rotation.tolist(),
        "valid_cam": 1,
    }
    return record


def write_sets(root: Path, category: str, drawn: Iterable[Picture]) -> None:
    """The labels and lists of a category, from the records of its pictures."""
    tree, data_set = AnimalTree(root), usual_data_set(category)
    found: dict[Purpose, list[Record]] = {"train": [], "val": [], "web": []}
    for picture in drawn:
        found[picture.purpose].append(json.loads(picture.record_file.read_bytes()))
    labels = {
        "train": [_labelled(record) for record in found["train"]],
        "val": [_labelled(record) | _evaluated(record) for record in found["val"]],
    }
    if data_set == "coco":
        write_records(
            tree.annotations(data_set, category, "train"), [*labels["train"], *labels["val"]]
        )
    else:
        for split, records in labels.items():
            write_records(tree.annotations(data_set, category, split), records)
    for split, records in labels.items():
        write_ids(tree.split(data_set, category, split), _ids(records))
    web = found["web"]
    names = [Path(record["img_path"]).name for record in web]
    write_ids(tree.web / "labels_0" / f"{category}.txt", names)
    boxes = [_boxed(record) | {"box_score": 0.99} for record in web]
    write_records(tree.boxes(category), boxes)
    write_records(
        tree.truth(category),
        [_labelled(record) | {"wrong_box": record["wrong_box"]} for record in web],
    )


def _boxed(record: Record) -> Record:
    return {key: record[key] for key in ("img_id", "img_path", "img_bbox")}


def _labelled(record: Record) -> Record:
    return _boxed(record) | {"joints": record["joints"]}


def _evaluated(record: Record) -> Record:
    mask = masks.decode(record["mask"].encode(), *record["size"])
    camera = {key: record[key] for key in ("cam_scale", "cam_trans", "valid_cam")}
    rotation = np.array(record["cam_rot"]) @ UPRIGHT.T  # of the template as it is published
    return {"seg": mask.astype(int).tolist(), "cam_rot": rotation.tolist(), **camera}


def _ids(records: Iterable[Record]) -> Iterator[str]:
    return (record["img_id"] for record in records)


Advance = Callable[[int], object]


def draw_all(todo: Iterable[Picture], advance: Advance) -> int:
    """Draw pictures one after the other; how many."""
    count = 0
    for picture in todo:
        draw_picture(picture)
        advance(1)
        count += 1
    return count
