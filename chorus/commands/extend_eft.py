"""`chorus extend_eft`: COCO val2014 and its EFT fits → extended COCO-EFT (method.md 11).

One table `test_set` per category, under the model key `coco-eft-val`, with a row for every
candidate. The images themselves are needed only to look at the result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress
from chorus.errors import BadInput, ChorusError, StaleResults, unknown_name
from chorus.evaluation.labelled_sets import read_photograph, shard_of
from chorus.files import parsed_json, portable_name
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference
from chorus.records.tables import DONE, Table, read_settings, read_table, write_table
from chorus.settings import BodyOptions, CategoryOptions, RedoOptions, TreeOptions
from chorus.viewing.text_table import format_table
from chorus.vocabulary import QUANTITATIVE_CATEGORIES

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.evaluation.coco_eft import ExtensionSettings
    from chorus.viewing.contact_sheet import Tile

MODEL_KEY = "coco-eft-val"
_FETCH = "fetch it with scripts/download_coco_eft.sh"
_ON_SHEET, _COLUMNS = 36, 6


@dataclass(frozen=True)
class Options(BodyOptions, RedoOptions, TreeOptions, CategoryOptions):
    """Build the extended COCO-EFT test set."""

    coco_annotations: Path | None = None
    """COCO's annotations; <imports_dir>/COCO/annotations/instances_val2014.json if left out."""
    coco_images: Path | None = None
    """Folder of COCO's images, only to draw; <imports_dir>/COCO/images/val2014 if left out."""
    eft_fits: Path | None = None
    """The EFT fits; <imports_dir>/eft/eft_fit/COCO2014-Val-ver10.json if left out."""
    min_bbox_overlap: float = 0.5
    """Least intersection of person and object box, over the smaller box."""
    reprojection_error_thresh: float = 1.0
    """Largest residual of a calibrated camera, pixels."""
    visualize: bool = False
    """Also draw a contact sheet per category, with masks and bodies."""

    @property
    def annotations_file(self) -> Path:
        """COCO's annotations."""
        return self.coco_annotations or (
            self.imports_dir / "COCO" / "annotations" / "instances_val2014.json"
        )

    @property
    def fits_file(self) -> Path:
        """The EFT fits."""
        return self.eft_fits or self.imports_dir / "eft" / "eft_fit" / "COCO2014-Val-ver10.json"

    @property
    def image_folder(self) -> Path:
        """COCO's images."""
        return self.coco_images or self.imports_dir / "COCO" / "images" / "val2014"


def run(options: Options, progress: Progress = None) -> CommandResult:
    """Write the tables that are missing, and count why candidates were left out."""
    from chorus.body.loading import load_body
    from chorus.evaluation.coco_eft import extend

    del progress  # a minute at most, and all of it in two calls
    started = time.monotonic()
    tree = options.tree
    categories = _categories(options)
    settings = _extension_settings(options)
    annotations, fits = _read(options.annotations_file), _read(options.fits_file)
    body = load_body(options.body, options.imports_dir)
    made_with = {
        **asdict(settings),
        "calibration": settings.calibration.recorded(),
        "annotations": hashlib.sha256(annotations).hexdigest(),
        "fits": hashlib.sha256(fits).hexdigest(),
        "body": body.fingerprint,
    }
    missing = [category for category in categories if not _is_done(options, category, made_with)]
    unusable: Sequence[str] = ()
    if missing:
        extension = extend(
            _parsed(annotations, options.annotations_file),
            _parsed(fits, options.fits_file),
            body,
            missing,
            settings,
        )
        unusable = extension.unusable
        for category, rows in extension.rows.items():
            shard = shard_of(MODEL_KEY, category)
            path = tree.table("test_set", shard)
            with tree.lock(path):
                write_table(path, "test_set", Table(shard, made_with, dict(enumerate(rows))))
    rows = {category: list(_stored(tree, category).rows.values()) for category in categories}
    report = CommandResult("", [*unusable[:3]], text=_text(rows))
    if len(unusable) > 3:
        report.problems.append(f"... and {len(unusable) - 3} more records like these")
    if options.visualize:
        report.problems += _sheets(options, rows, body)
    counted = Counter(row["status"] for group in rows.values() for row in group)
    many = f"{len(categories)} categor{'y' if len(categories) == 1 else 'ies'}"
    if len(missing) < len(categories):
        many += f" ({len(categories) - len(missing)} already there)"
    report.line = (
        f"extend_eft: {counted[DONE]} test images of {counted.total()} candidates in {many}, "
        f"calibrated with {_described(options, body)}, in {time.monotonic() - started:.1f} s → "
        f"{tree.folder('test_set') / MODEL_KEY}"
    )
    report.ok = counted[DONE] > 0
    return report


def _categories(options: Options) -> tuple[str, ...]:
    for category in options.categories:
        if category not in QUANTITATIVE_CATEGORIES:
            raise unknown_name("quantitative category", category, QUANTITATIVE_CATEGORIES)
    return options.categories or tuple(QUANTITATIVE_CATEGORIES)


def _extension_settings(options: Options) -> ExtensionSettings:
    from chorus.evaluation.coco_eft import ExtensionSettings

    if not 0 <= options.min_bbox_overlap <= 1 or not options.reprojection_error_thresh > 0:
        raise BadInput(
            "expected --min_bbox_overlap between 0 and 1 and --reprojection_error_thresh above 0 "
            f"px, found {options.min_bbox_overlap} and {options.reprojection_error_thresh}."
        )
    return ExtensionSettings(options.min_bbox_overlap, options.reprojection_error_thresh)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; {_FETCH}, or name another place.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); {_FETCH} again.") from error


def _parsed(content: bytes, path: Path) -> Any:
    try:
        return parsed_json(content)
    except ValueError as error:
        raise BadInput(
            f"{path} is not whole JSON ({str(error)[:200]}); delete it and {_FETCH} again."
        ) from error


def _is_done(options: Options, category: str, made_with: dict) -> bool:
    """True if the category's table was made of the same; StaleResults if of something else."""
    path = options.tree.table("test_set", shard_of(MODEL_KEY, category))
    if options.fresh or not path.is_file():
        return False
    changes = difference(read_settings(path), json.loads(json.dumps(made_with)))
    if changes:
        raise StaleResults(
            f"{path} was made with other settings ({'; '.join(changes[:6])}). Run again with "
            "--overwrite to replace it, or give another --results_dir."
        )
    return True


def _stored(tree: ResultsTree, category: str) -> Table:
    return read_table(tree.table("test_set", shard_of(MODEL_KEY, category)), "test_set")


def _described(options: Options, body: BodyModel) -> str:
    name = str(options.body) if options.body else f"the {body.name} (EFT's fits belong to SMPL)"
    return f"{name}, {body.fingerprint[:12]}"


def _text(rows: dict[str, list[dict]]) -> str:
    """The table of counts, then how many candidates each reason left out."""
    from chorus.evaluation.labelled_images import reasons

    cells = []
    for category, group in rows.items():
        counted = reasons(group)
        most = ", ".join(f"{count} {reason}" for reason, count in counted.most_common(3))
        done = len(group) - counted.total()
        cells.append([category, str(len(group)), str(done), most or "-"])
    total = reasons(row for group in rows.values() for row in group)
    left_out = ", ".join(f"{count} {reason}" for reason, count in total.most_common())
    header = ["category", "candidates", "test images", "left out, most frequent reasons"]
    return f"{format_table(header, cells)}\nleft out in all: {left_out or 'none'}"


def _sheets(options: Options, rows: dict[str, list[dict]], body: BodyModel) -> list[str]:
    """Draw the contact sheets; what was not drawn, as sentences."""
    folder = options.image_folder
    if not folder.is_dir():
        return [f"no contact sheet: COCO's images are not in {folder}; {_FETCH}."]
    problems = []
    for category, group in rows.items():
        done = [row for row in group if row["status"] == DONE]
        if done and not any((folder / row["image"]).is_file() for row in done):
            problems.append(f"no contact sheet of {category}: none of its images is in {folder}.")
        elif done:
            problems += _sheet(options, category, done, body)
    return problems


def _sheet(options: Options, category: str, rows: list[dict], body: BodyModel) -> list[str]:
    from chorus.viewing.contact_sheet import write_contact_sheet

    step = -(-len(rows) // _ON_SHEET)
    path = options.tree.folder("test_set") / MODEL_KEY / portable_name(category)
    problems: list[str] = []
    tiles = [_tile(options.image_folder, row, body, problems) for row in rows[::step]]
    write_contact_sheet(
        path / "contact_sheet.png",
        tiles,
        title=category,
        subtitle=f"extended COCO-EFT, {len(tiles)} of {len(rows)} test images",
        columns=_COLUMNS,
    )
    return problems


def _tile(folder: Path, row: dict, body: BodyModel, problems: list[str]) -> Tile:
    import numpy as np

    from chorus.evaluation.labelled_images import labelled_image
    from chorus.viewing.contact_sheet import FittedBody, Tile

    truth = labelled_image(row)
    pose = np.array(truth.pose, np.float32)
    pose[0] = 0  # the camera is that of the body's own frame
    vertices = body.pose(pose).vertices.cpu().numpy()
    try:
        pixels = read_photograph(folder / row["image"], truth.mask.shape)
    except ChorusError as error:
        problems.append(str(error))
        pixels = None
    return Tile(
        image=pixels,
        caption=row["image"],
        verdict=f"residual {row['residual']:.2f} px, overlap {row['overlap']:.2f}",
        retained=True,
        object_mask=truth.mask,
        body=FittedBody(vertices, body.faces.cpu().numpy(), truth.R, truth.t, truth.K),
    )
