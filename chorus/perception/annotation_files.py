"""Instance annotations as programs write them: whose a file or a folder is, as COCO instances.

What a file holds tells, not its name: COCO's JSON (CVAT, Label Studio, Roboflow, LVIS, …),
labelme's JSON for each image, or YOLO's labels, told by the file that names their classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus.errors import BadInput
from chorus.files import parsed_json
from chorus.perception.labelme import is_labelme, read_labelme
from chorus.perception.yolo_labels import NAME_FILES, class_names, read_yolo

_YAML = (".yaml", ".yml")
_NAMED = 3  # files that a sentence names


@dataclass(frozen=True)
class AnnotationFiles:
    """content: parsed COCO instances, not yet checked; files: what it was read from; notes: lines
    about what was left out."""

    content: Any
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def read_annotation_files(path: Path, folder: Path, pictures: Sequence[str]) -> AnnotationFiles:
    """The annotations at a path, a file or a folder, of the pictures (names) in another folder.

    BadInput if it is not there, damaged, or of no known form.
    """
    if path.is_dir():
        return _of_folder(path, folder, pictures)
    if path.suffix.lower() in _YAML:
        return _yolo(path, folder, pictures, None)
    content = _json(path)
    if is_labelme(content):
        return _labelme({path: content}, [])
    return AnnotationFiles(content, (path,))


def _of_folder(path: Path, folder: Path, pictures: Sequence[str]) -> AnnotationFiles:
    contents, damaged, others = {}, [], []
    for file in sorted(path.rglob("*.json")):
        try:
            content = _json(file)
        except BadInput as error:
            damaged.append(str(error))
            continue
        if is_labelme(content):
            contents[file] = content
        else:
            others.append(file)
    if contents:
        return _labelme(contents, damaged)
    if next(path.rglob("*.txt"), None) is not None:
        return _yolo(_names_near(path), folder, pictures, path)
    named = ", ".join(str(file.relative_to(path)) for file in others[:_NAMED])
    found = f"; name one of its files: {named}" if named else "".join(damaged[:1])
    raise BadInput(
        f"--annotations {path} is a folder without labelme's JSON files and without YOLO's labels "
        f"(.txt){found or '; it holds neither JSON nor text files'}."
    )


def _json(path: Path) -> Any:
    try:
        return parsed_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"--annotations {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BadInput(f"{path} is not whole JSON ({error}); write it again.") from error


def _labelme(contents: dict[Path, Any], damaged: Sequence[str]) -> AnnotationFiles:
    coco = read_labelme(contents)
    notes = [*damaged[:_NAMED], *coco.notes]
    return AnnotationFiles(coco.content(), tuple(coco.files), tuple(notes))


def _yolo(
    names: Path, folder: Path, pictures: Sequence[str], labels: Path | None
) -> AnnotationFiles:
    if labels is not None and names.parent == labels and not _has_labels(labels):
        labels = None  # the data set's own folder, whose labels lie in the usual place
    coco = read_yolo(class_names(names), folder, pictures, labels)
    return AnnotationFiles(coco.content(), (names, *coco.files), tuple(coco.notes))


def _has_labels(folder: Path) -> bool:
    return any(file.name not in NAME_FILES for file in folder.glob("*.txt"))


def _names_near(labels: Path) -> Path:
    """The file that names the classes: in the folder of labels, or in one of the two above."""
    places = [labels, *list(labels.absolute().parents)[:2]]
    files = [place / name for place in places for name in NAME_FILES]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise BadInput(
            f"the labels in {labels} are numbers of classes, and no {', '.join(NAME_FILES)} there "
            "or above says what these are; write one: `names: [person, bicycle]`."
        )
    return found
