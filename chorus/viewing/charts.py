"""Charts for people: drawn with matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from chorus.files import replacing

_INCHES, _DOTS = 5.2, 160


def reliability_diagram(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], path: Path
) -> Path:
    """Write a reliability diagram as PNG and return its path.

    curves: by label the mean predicted probability, the truly occupied share and the number of
    voxels of each group, (G,) each; groups without voxels, NaN, are left out. Perfect lies on the
    diagonal; a marker's area grows with the logarithm of its voxels.
    """
    from matplotlib.figure import Figure  # not pyplot: no state, no display

    figure = Figure(figsize=(_INCHES, _INCHES), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", zorder=1)
    for label, (predicted, occupied, voxels) in curves.items():
        known = voxels > 0
        size = 12 * np.log10(1 + voxels[known])
        (line,) = axes.plot(predicted[known], occupied[known], label=label, linewidth=1.5)
        axes.scatter(predicted[known], occupied[known], s=size, color=line.get_color(), zorder=2)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        xlabel="predicted probability",
        ylabel="share of scenes that occupy the voxel",
    )
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=_DOTS)
    return path
