"""Makes reliability.png of evaluation.md from ablations of the evidence presets.

chorus ablate --reference evidence --ablations full-method evidence-calibrated
python docs/images/make_reliability.py [results]
"""

import sys
from pathlib import Path

from chorus.body.loading import load_body
from chorus.commands.ablation.definitions import ABLATIONS
from chorus.commands.truth import known_scenes
from chorus.evaluation.reliability import Reliability, reliability
from chorus.evaluation.truth_scores import true_occupancy
from chorus.occupancy.canonical import canonical_space
from chorus.records.aggregations import WHOLE, load
from chorus.records.results_tree import ResultsTree
from chorus.viewing.charts import reliability_diagram

SHOWN = {
    "full-method": "the paper's recipe",
    "evidence": "evidence",
    "evidence-calibrated": "evidence, calibrated",
}
MODEL = "synthetic-v1"


def main(root: Path) -> None:
    """Every prompt's distributions of all categories against their truth, in three curves."""
    tree = ResultsTree(root)
    space = canonical_space(load_body(None, Path("imports")), clusters=())
    groups: dict[tuple[str, str], list] = {}
    for shard in tree.shards("filtered", MODEL):
        groups.setdefault((shard.category, shard.prompt), []).append(shard)
    found: dict[str, list[Reliability]] = {name: [] for name in SHOWN}
    for (category, prompt), shards in groups.items():
        truth = true_occupancy(space, known_scenes(tree, shards)).probability
        for name in SHOWN:
            own = ResultsTree(root / "ablations" / name)
            kind = ABLATIONS[name].against(name).aggregation
            learned = load(own.aggregation(MODEL, category, prompt, kind))[WHOLE].probability
            found[name].append(reliability(learned, truth))
    curves = {}
    for name, label in SHOWN.items():
        together = sum(found[name][1:], start=found[name][0])
        error = together.expected_calibration_error
        curves[f"{label} (error {100 * error:.1f} %)"] = (*together.means, together.voxels)
    path = Path(__file__).with_name("reliability.png")
    reliability_diagram(curves, path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
