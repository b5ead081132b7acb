"""Labels of Ultralytics' YOLO, a text file for each image → COCO instances.

Facts from Ultralytics' documentation and code (`data/dataset.py`, `utils/ops.py`,
`Results.save_txt`): a line is an instance, `class x y x y …`, the outline's points as shares of the
image's width and height (upright by its EXIF tag), in predictions with `save_conf` the confidence
at the end. Five numbers are a box, `class x y width height`. `data.yaml` has `names`, a list or
numbers with names; Label Studio writes `classes.txt`, a name a line. A data set's labels lie where
its images do, under `labels` in place of the last `images` of their path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chorus.errors import BadInput
from chorus.perception.coco_content import CocoContent
from chorus.perception.photographs import upright_size

NAME_FILES = ("data.yaml", "data.yml", "classes.txt")
"""Files that name the classes."""
_MOST = 1 << 20
"""Bytes of such a file."""
_BEYOND = 0.01
"""By which a share may pass 0 and 1: rounding, and outlines that touch the border."""


def class_names(path: Path) -> dict[int, str]:
    """The classes' names by number, of a data.yaml or a classes.txt; BadInput if it names none, or
    is of another task."""
    try:
        if path.stat().st_size > _MOST:
            raise BadInput(f"{path} has over {_MOST} bytes; a list of names was expected.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error!s:.100}).") from error
    if path.suffix == ".txt":
        lines = [line.strip() for line in text.splitlines()]
        names: Any = [line for line in lines if line]
    else:
        names = _of_yaml(text, path)
    pairs = dict(enumerate(names)) if isinstance(names, list) else names
    sound = isinstance(pairs, Mapping) and all(
        isinstance(n, int) and isinstance(name, str) and name.strip() for n, name in pairs.items()
    )
    if not sound or not pairs:
        raise BadInput(
            f"{path} names no classes: expected `names`, a list or numbers with names, found "
            f"{type(names).__name__}."
        )
    return dict(pairs)


def _of_yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"{path} is not whole YAML ({error!s:.200}).") from error
    if not isinstance(content, Mapping):
        raise BadInput(f"{path} is no data.yaml: expected `names`, found no keys.")
    if "kpt_shape" in content:
        raise BadInput(
            f"{path} is of labels of poses (kpt_shape), which hold boxes and no masks; give labels "
            "of segmentation."
        )
    return content.get("names")


def label_file(picture: Path, name: str, labels: Path | None) -> Path | None:
    """The file of a picture's labels; None if there is none.

    name: the picture's in its folder of images. labels: the folder of labels; else they lie where
    Ultralytics looks for them, or beside the picture.
    """
    if labels is not None:
        relative = Path(name).with_suffix(".txt")
        places = [labels / relative, labels / relative.name]
    else:
        places = [picture.with_suffix(".txt")]
        parts = list(picture.absolute().parts)
        if "images" in parts[:-1]:
            at = len(parts) - 2 - parts[-2::-1].index("images")
            parts[at] = "labels"
            places.insert(0, Path(*parts).with_suffix(".txt"))
    return next((place for place in places if place.is_file()), None)


def read_yolo(
    names: Mapping[int, str], folder: Path, pictures: Sequence[str], labels: Path | None
) -> CocoContent:
    """The labels of the pictures (names in a folder) that have a file of them.

    BadInput if none has; a line that cannot be used fails its image with the reason.
    """
    coco = CocoContent()
    for name in pictures:
        path = label_file(folder / name, name, labels)
        if path is None:
            continue
        coco.files.append(path)
        try:
            width, height = upright_size((folder / name).read_bytes())
        except (BadInput, OSError):
            width, height = 1, 1  # the row of the image says what is wrong with it
        image = coco.image(name, width, height)
        for label, values in _instances(path, names, width, height):
            coco.annotation(image, label, **values)
    if not coco.files:
        where = labels or "a folder `labels` beside `images`, or beside themselves"
        raise BadInput(
            f"none of the {len(pictures)} pictures of {folder} has labels in {where}: expected a "
            "text file of the picture's name for each."
        )
    return coco


def _instances(
    path: Path, names: Mapping[int, str], width: int, height: int
) -> list[tuple[str, dict[str, Any]]]:
    """Label and COCO's values of every line of a file; pixels. BadInput for a file that is no text,
    or a line of none of the classes: whose instances they are cannot be told."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error!s:.100}).") from error
    found = []
    for at, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if not words[0].isdecimal() or int(words[0]) not in names:
            raise BadInput(
                f"{path}, line {at}: it begins with {words[0]!r:.40}, which is no number of a "
                f"class; known are {', '.join(f'{n} {name}' for n, name in names.items()):.200}."
            )
        try:
            values = _instance(words[1:], width, height)
        except BadInput as error:
            values = {"fault": f"{path.name}, line {at}: {error}"}
        found.append((names[int(words[0])], values))
    return found


def _instance(words: Sequence[str], width: int, height: int) -> dict[str, Any]:
    """COCO's values of what follows the class in a line."""
    try:
        shares = np.array([float(word) for word in words])
    except ValueError as error:
        raise BadInput("not made of numbers") from error
    values: dict[str, Any] = {}
    if len(shares) % 2:
        shares, values["score"] = shares[:-1], float(shares[-1])
    outside = ~((shares >= -_BEYOND) & (shares <= 1 + _BEYOND))
    if outside.any():
        raise BadInput(
            f"{shares[outside][0]:g} is no share of the image's size, 0 to 1; divide x by the "
            "width and y by the height"
        )
    if len(shares) == 4:
        raise BadInput(
            "a box of a detector, and no outline; export labels of segmentation, or leave "
            "--annotations out and let `chorus segment` find the masks"
        )
    if len(shares) < 6:
        raise BadInput(f"{len(words)} numbers, expected 3 points or more")
    points = shares.clip(0, 1).reshape(-1, 2) * [width, height]
    return {"segmentation": [points.ravel().tolist()], **values}
