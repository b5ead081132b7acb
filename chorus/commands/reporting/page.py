"""The page of `chorus report`: gathers curves and test images, and writes one HTML file.

Likelihoods are computed again for the three images of each category that the page shows, from the
distribution and the test set that were scored. If one of them has changed since, the category's
tables and curves are shown without images, and the report says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chorus.engine.progress import Advance, Progress, progress_bar
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import ChorusError
from chorus.evaluation.labelled_sets import image_folder, read_photograph
from chorus.evaluation.result_files import scored_field, scored_rows
from chorus.files import atomic_write
from chorus.viewing.made_from import remembered

if TYPE_CHECKING:
    import numpy as np

    from chorus.body.model import BodyModel
    from chorus.commands.reporting.sections import Options, Section
    from chorus.evaluation.curves import Curve
    from chorus.viewing import pap_page

_VERSION = 2
"""To be raised when the page looks different, so that it is written again."""
_TITLE = "Projective average precision of learned distributions"


def write_page(
    options: Options, sections: Sequence[Section], path: Path, progress: Progress
) -> list[str]:
    """Write the page of these sections, unless it is there; what it had to leave out.

    A page remembers the results and image files it was made from. It is made again if these are
    others, if something was left out of it, or with --overwrite.
    """
    from chorus.viewing.pap_page import pap_page

    made_from = _made_from(options, sections)
    if not options.fresh and remembered(path) == made_from:
        return []
    chosen = {
        id(record): _ranked(record) for section in sections for record in section.records.values()
    }
    total = sum(map(len, chosen.values()))
    with progress_bar(progress, total, "report", "image") as advance, one_torch_thread():
        gather = _Gatherer(options, chosen, advance)
        shown = [gather.section(section) for section in sections]
    text = pap_page(_TITLE, shown, "" if gather.problems else made_from)
    atomic_write(path, text.encode())
    return gather.problems


def _made_from(options: Options, sections: Sequence[Section]) -> str:
    """A digest of all that the page shows."""
    places = [str(options.coco_images), str(options.imports_dir), options.num_multiview_thres]
    records = [record for section in sections for record in section.records.values()]
    content = json.dumps([_VERSION, places, records], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _ranked(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Best, median and worst test image of a result; fewer if it has fewer with a target."""
    scored = sorted(
        (image for image in record["images"] if image["PAP"] is not None),
        key=lambda image: (-image["PAP"], image["index"]),
    )
    ranks = {"best": 0, "worst": len(scored) - 1, "median": len(scored) // 2}
    places = {place: rank for rank, place in reversed(ranks.items()) if scored}
    return [(places[place], scored[place]) for place in sorted(places)]


class _Gatherer:
    """Turns sections into what the page draws; body, threads and problems are shared."""

    def __init__(self, options: Options, chosen: dict[int, list], advance: Advance):
        self._options = options
        self._chosen = chosen
        self._advance = advance
        self._body: BodyModel | None = None
        self.problems: list[str] = []

    def section(self, section: Section) -> pap_page.Section:
        """Tables, curves and examples of one section."""
        import numpy as np

        from chorus.viewing import pap_page

        rows = [
            pap_page.Row(
                first,
                np.stack([figures.mean, figures.low, figures.high], axis=1),
                kind,
            )
            for first, figures, kind in section.rows()
        ]
        return pap_page.Section(
            heading=f"{section.metric} · {section.aggregation} · {section.settings['test_set']}",
            about=section.title,
            metric=section.metric,
            header=section.header,
            rows=rows,
            categories=[self._category(section, figures) for figures in section.summary.categories],
        )

    def _category(self, section: Section, figures: Any) -> pap_page.Category:
        from chorus.viewing import pap_page

        record = section.records[figures.category]
        examples, note = [], ""
        try:
            examples = self._examples(section, record)
            note = "" if examples else "No test image has a target."
        except ChorusError as error:
            note = str(error)
            self.problems.append(f"page: no test images shown. {error}")
        mean, low, high = (
            100 * float(ends[0]) for ends in (figures.mean, figures.low, figures.high)
        )
        interval = "" if low != low else f" [{low:.1f}, {high:.1f}]"
        words = f"{section.summary.names[0]} {mean:.1f} %{interval}"
        known = _against_meshes(record)
        return pap_page.Category(
            name=figures.category,
            curve=_points(record, "curve"),
            curve_hoa=_points(record, "curve_hoa"),
            figure=f"{words}, {figures.images} test images{known}" if mean == mean else "no figure",
            examples=examples,
            note=note,
        )

    def _examples(self, section: Section, record: dict[str, Any]) -> list[pap_page.Example]:
        from chorus.evaluation.labelled_images import check_field, check_one_body, labelled_image
        from chorus.evaluation.pap import prepare, score
        from chorus.evaluation.pap_settings import PapSettings
        from chorus.viewing.pap_page import Example

        options, settings = self._options, section.settings
        field = scored_field(options.tree, options.models.model_key, record)
        table, rows = scored_rows(options.tree, record)
        body = self._load_body()
        check_field(field, body.fingerprint)
        check_one_body(rows, body.fingerprint)
        by_index = {row["index"]: row for row in rows}
        places = table, options.imports_dir, options.coco_images
        folder = image_folder(settings["test_set"], *places)
        how = PapSettings(
            section.metric, settings["downscale_length"], tuple(settings["thresholds"])
        )

        def example(ranked: tuple[str, dict[str, Any]]) -> Example:
            rank, image = ranked
            row = by_index[image["index"]]
            labelled = labelled_image(row)
            ready = prepare(labelled, body, field.grid, how, canonical=field.canonical)
            result = score(field.probability, ready, how)
            path = folder / row["image"]
            self._advance(1)
            return Example(
                rank=rank,
                name=row["image"],
                pap=float(result.pap[0]),
                mask=labelled.mask,
                likelihood=result.likelihood,
                human=ready.human,
                image=read_photograph(path, labelled.mask.shape) if path.is_file() else None,
            )

        with ThreadPoolExecutor(options.worker_count) as pool:
            return list(pool.map(example, self._chosen[id(record)]))

    def _load_body(self) -> BodyModel:
        from chorus.body.loading import load_body

        self._body = self._body or load_body(self._options.body, self._options.imports_dir)
        return self._body


def _against_meshes(record: dict[str, Any]) -> str:
    """What a result says of 3D truth, to be appended; nothing without any."""
    truth = record.get("truth") or {}
    if truth.get("soft_ap") is None:
        return ""
    return (
        f"; 3D AP {100 * truth['soft_ap']:.1f} % of at most {100 * truth['soft_ap_ceiling']:.1f} % "
        f"against {truth['scenes']} lifted meshes"
    )


def _points(record: dict[str, Any], name: str) -> np.ndarray:
    """(p, 2) recall and precision where something is predicted; none without a target."""
    import numpy as np

    curve = _curve(record, name)
    shown = (curve.predicted > 0) & (curve.target > 0)
    return np.stack([curve.recall, curve.precision], axis=1)[shown]


def _curve(record: dict[str, Any], name: str) -> Curve:
    import numpy as np

    from chorus.evaluation.curves import Curve

    stored = record[name]
    return Curve(
        np.asarray(record["settings"]["thresholds"], np.float64),
        np.asarray(stored["predicted"], np.int64),
        np.asarray(stored["hits"], np.int64),
        int(stored["target"]),
    )
