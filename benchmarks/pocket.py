"""How well profile `pocket` sees the synthetic world's persons, whose truth is known.

    python -m benchmarks.pocket [RESULTS] [--images 132] [--imports imports] [--seed 0]

RESULTS holds the tables `images` and `synthetic_truth` (docs/perception.md says of which commands).
Persons are looked for (found, wrong finds, masks) and, apart from that, looked at in their true
boxes (keypoints, bodies).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.stats import rankdata

from chorus.geometry import masks
from chorus.perception.blazepose_agreement import mask_iou
from chorus.viewing.text_table import format_table

SEEN = 0.5  # least IoU of a found person's mask and the true one
WHOLE = 20  # of 24 joints in the image: the person counts as whole
RIGHT = 0.05  # of the longer side of the person's box: a keypoint as near as this is right
SURE = 0.7  # the filter's least confidence


@dataclass
class Findings:
    """What was seen of some images."""

    images: int = 0
    persons: int = 0
    found: list[float] = field(default_factory=list)
    """IoU of the masks of persons that were found."""
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)
    keypoints: list[tuple[float, bool]] = field(default_factory=list)
    """Confidence, and whether it is right, of the true keypoints in the image."""
    bodies: list[tuple[float, float, int]] = field(default_factory=list)
    """Aligned error of the joints in metres, error in the image as a share of the box, and how many
    joints the image shows."""
    refused: Counter = field(default_factory=Counter)


def aligned_error(found: Float[np.ndarray, "J 3"], true: Float[np.ndarray, "J 3"]) -> float:
    """PA-MPJPE: the mean distance, metres, of joints after the best similarity."""
    points, target = (torch.as_tensor(np.asarray(v))[None].double() for v in (found, true))
    R, t, scale = roma.rigid_points_registration(points, target, compute_scaling=True)
    moved = scale[:, None, None] * (points @ R.mT) + t[:, None]
    return float((moved - target).norm(dim=-1).mean())


def area_under_roc(scores: Float[np.ndarray, " n"], right: np.ndarray) -> float:
    """The chance that a right one has a higher score than a wrong one; NaN without either."""
    right = np.asarray(right, bool)
    positives, negatives = right.sum(), (~right).sum()
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)[right].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def table(findings: Findings) -> str:
    """The figures for people."""
    errors = np.array([error for error, *_ in findings.bodies]) * 1000
    whole = np.array([shown >= WHOLE for *_, shown in findings.bodies], bool)
    scores = np.array([score for score, _ in findings.keypoints])
    right = np.array([ok for _, ok in findings.keypoints], bool)
    sure = right[scores >= SURE]
    rows = [
        ["persons found", f"{len(findings.found)} of {findings.persons}"],
        ["wrong finds", str(findings.wrong)],
        ["mask IoU, median", f"{np.median(findings.found):.2f}"],
        ["seconds an image, median", f"{np.median(findings.seconds):.2f}"],
        ["keypoints: area under the ROC curve", f"{area_under_roc(scores, right):.2f}"],
        [f"keypoints above {SURE} that are right", f"{100 * sure.mean():.0f} %"],
        ["bodies", f"{len(errors)} of {findings.persons}"],
        ["PA-MPJPE, whole persons, median", f"{np.median(errors[whole]):.0f} mm"],
        ["PA-MPJPE, cut-off persons, median", f"{np.median(errors[~whole]):.0f} mm"],
        ["PA-MPJPE, quartiles", ", ".join(f"{v:.0f}" for v in np.percentile(errors, (25, 50, 75)))],
        [
            "joints off in the image, median",
            f"{100 * np.median([off for _, off, _ in findings.bodies]):.1f} % of the box",
        ],
        *([f"refused: {reason}", str(n)] for reason, n in findings.refused.most_common()),
    ]
    return format_table([f"{findings.images} images", "figure"], rows)


class Looker:
    """Looks at images whose truth is known."""

    def __init__(self, imports: Path):
        from chorus.body.loading import load_body
        from chorus.perception.blazepose import Blazepose
        from chorus.perception.blazepose_body import BlazeposeRegressor

        self._body = load_body(None, imports)
        self._networks = Blazepose(imports)
        self._regressor = BlazeposeRegressor(self._networks, self._body)
        self.findings = Findings()

    def look(self, image: Any, truth: dict[str, Any]) -> None:
        """Find the persons of an image, and look at those that are there."""
        size = image.pixels.shape[:2]
        persons = [
            person for person in truth["persons"] if masks.decode(person["mask"], *size).any()
        ]
        findings = self.findings
        findings.images += 1
        findings.persons += len(persons)
        started = time.perf_counter()
        found = self._networks.find_persons(image.pixels)
        findings.seconds.append(time.perf_counter() - started)
        true = [masks.decode(person["mask"], *size) for person in persons]
        overlaps = np.array([[mask_iou(one.mask, mask) for mask in true] for one in found])
        overlaps = overlaps.reshape(len(found), len(true))
        findings.found += [best for best in overlaps.max(0, initial=0) if best >= SEEN]
        findings.wrong += int((overlaps.max(1, initial=0) < SEEN).sum())
        for person, mask in zip(persons, true, strict=True):
            self._look_at(image, person, masks.box_of(mask))

    def _look_at(self, image: Any, person: dict[str, Any], box: np.ndarray) -> None:
        from chorus.perception.blazepose_keypoints import keypoints_of
        from chorus.records.rows import Person

        height, width = image.pixels.shape[:2]
        side = (box[2:] - box[:2]).max()
        (seen,) = self._networks.look_at(image.pixels, box[None])
        keypoints = keypoints_of(seen, box)
        places = np.reshape(person["keypoints"], (17, -1))[:, :2]
        within = ((places >= 0) & (places < [width, height])).all(1)
        near = np.linalg.norm(keypoints[:, :2] - places, axis=1) <= RIGHT * side
        self.findings.keypoints += zip(keypoints[within, 2], near[within], strict=True)
        (answer,) = self._regressor.regress([image], [box[None]])[0]
        if not isinstance(answer, Person):
            self.findings.refused[answer.partition(" (")[0]] += 1
            return
        joints = self._body.posed_joints(*map(torch.from_numpy, (answer.pose, answer.betas)))
        true = np.reshape(person["joints3d"], (24, 3))
        pixels = np.reshape(person["joints2d"], (24, 2))
        shown = ((pixels >= 0) & (pixels < [width, height])).all(1)
        off = np.linalg.norm(answer.joints - pixels, axis=1)[shown].mean() / side
        self.findings.bodies.append((aligned_error(joints, true), float(off), int(shown.sum())))


def main() -> None:
    """Look at a random part of the images of a results tree."""
    from chorus.records.image_files import read_image
    from chorus.records.keys import SampleKey
    from chorus.records.results_tree import ResultsTree
    from chorus.records.tables import DONE, read_table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--images", type=int, default=132)
    parser.add_argument("--imports", type=Path, default=Path("imports"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tree = ResultsTree(options.results)
    samples = []
    for shard in tree.shards("images", "synthetic-v1", (), ()):
        rows = read_table(tree.table("images", shard), "images").rows
        truths = read_table(tree.table("synthetic_truth", shard), "synthetic_truth").rows
        samples += [
            (SampleKey(*shard, at), row, truths[at])
            for at, row in sorted(rows.items())
            if row["status"] == DONE
        ]
    order = np.random.default_rng(options.seed).permutation(len(samples))[: options.images]
    looker = Looker(options.imports)
    for at in order:
        key, row, truth = samples[at]
        looker.look(read_image(tree, key, row), truth)
    sys.stdout.write(table(looker.findings) + "\n")


if __name__ == "__main__":
    main()
