"""Makes the picture of docs/evaluation.md: one test image on its way to PAP.

python docs/images/make_pap.py FIELD.npz TEST_SET.parquet INDEX [--output PICTURE.jpg]
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import chorus
from chorus.errors import BadInput, ChorusError
from chorus.evaluation.labelled_images import labelled_image
from chorus.evaluation.pap import prepare, score
from chorus.evaluation.pap_settings import PapSettings
from chorus.evaluation.voxel_field import read_field
from chorus.records.tables import DONE, read_table


def main(field_path: Path, table: Path, index: int, output: Path, imports: Path) -> None:
    """Image, target cells, largest probability per cell, and the curve with its area."""
    rows = read_table(table, "test_set").rows
    if index not in rows or rows[index]["status"] != DONE:
        raise BadInput(f"{table} has no test image {index}; it has {len(rows)} rows, from 0.")
    row = rows[index]
    field, body, settings = read_field(field_path), chorus.load_body(imports=imports), PapSettings()
    ready = prepare(labelled_image(row), body, field.grid, settings)
    result = score(field.probability, ready, settings)
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.9), layout="constrained")
    axes[0].imshow(Image.open(table.with_suffix("") / row["image"]))
    axes[0].set_title("test image")
    axes[1].imshow(np.where(result.target, 1.0, 0.35 * ready.human), cmap="gray", vmin=0, vmax=1)
    axes[1].set_title("target cells (grey: the person)")
    shown = axes[2].imshow(np.maximum(result.likelihood, 0), cmap="magma", vmin=0)
    figure.colorbar(shown, ax=axes[2], fraction=0.045)
    axes[2].contour(result.target, [0.5], colors="white", linewidths=1)
    axes[2].set_title("largest probability per cell")
    for one in axes[:3]:
        one.set_xticks([])
        one.set_yticks([])
    curve = result.curve
    best = np.maximum.accumulate(curve.precision)
    on = curve.predicted > 0
    axes[3].plot(curve.recall[on], curve.precision[on], ".", color="tab:blue", label="thresholds")
    # As the threshold rises recall falls, and each fall earns the best precision before it.
    recall = np.append(curve.recall, 0)
    axes[3].fill_between(recall, np.append(best, best[-1]), step="pre", color="tab:blue", alpha=0.2)
    axes[3].set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    axes[3].set_title(f"PAP {result.pap[0]:.2f} ({settings.metric}): the area")
    axes[3].legend(loc="lower left")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=90, pil_kwargs={"quality": 90})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("field", type=Path, help="a distribution")
    parser.add_argument("test_set", type=Path, help="the table of a category's test images")
    parser.add_argument("index", type=int, help="the test image's number in the table")
    parser.add_argument("--output", type=Path, default=Path("results_demo/pap.jpg"))
    parser.add_argument("--imports_dir", type=Path, default=Path("imports"))
    given = parser.parse_args()
    try:
        main(given.field, given.test_set, given.index, given.output, given.imports_dir)
    except (ChorusError, OSError) as error:
        sys.exit(f"error: {error}")
