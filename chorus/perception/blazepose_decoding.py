"""What the tensors of BlazePose's two networks mean: pure functions on numpy arrays.

Sizes, orders and thresholds are facts of the published networks and of the graph that mediapipe
0.10.14 runs them in (Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chorus.geometry.boxes import iou

DETECTOR_SIDE = 224
LANDMARK_SIDE = 256

_LAYERS = ((8, 2), (16, 2), (32, 6))  # stride, anchors a cell: the last three layers are one grid
_LANDMARKS = 39
_KERNEL = 7  # cells of a heat map around a landmark
_LEAST_HEAT = 0.5  # a heat map without such a cell does not move its landmark
_LARGEST_LOGIT = 100.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """N persons, or hands, that a detector takes for such in a square, in places of it.

    boxes (N, 4) xyxy, of the face or upper body, or of the palm; points (N, P, 2), of persons four:
    the middle of the hips, a point on the circle around the whole body, the middle of the
    shoulders, a point on the circle of the upper body; scores (N,) in [0, 1].
    """

    boxes: Float[np.ndarray, "N 4"]
    points: Float[np.ndarray, "N P 2"]
    scores: Float[np.ndarray, " N"]

    def at(self, places: np.ndarray) -> Candidates:
        """Those at some places."""
        return Candidates(self.boxes[places], self.points[places], self.scores[places])


def anchors(
    side: int = DETECTOR_SIDE, layers: Sequence[tuple[int, int]] = _LAYERS
) -> Float[np.ndarray, "A 2"]:
    """Centres (A, 2) x, y of a detector's anchors, row by row, from the finest layer; of
    BlazePose's 2254 if nothing is given.

    side: of its input, pixels. layers: stride in pixels and anchors a cell.
    """
    grids = []
    for stride, count in layers:
        cells = side // stride
        rows, columns = np.divmod(np.arange(cells * cells), cells)
        centres = (np.stack([columns, rows], axis=1) + 0.5) / cells
        grids.append(np.repeat(centres, count, axis=0))
    return np.concatenate(grids)


def decode_candidates(
    boxes: Float[np.ndarray, "A C"],
    logits: Float[np.ndarray, "A 1"],
    least: float,
    side: int = DETECTOR_SIDE,
    layers: Sequence[tuple[int, int]] = _LAYERS,
) -> Candidates:
    """The anchors whose score, the sigmoid of their logit, is at least `least`.

    boxes (A, C): centre x, y, width, height and points x, y (four of BlazePose, seven of palms) in
    pixels of the network's input, all but the sizes as offsets from the anchor. side, layers: as of
    `anchors`.
    """
    scores = sigmoid(logits[:, 0])
    kept = np.flatnonzero(scores >= least)
    values = boxes[kept].astype(np.float64).reshape(len(kept), boxes.shape[1] // 2, 2) / side
    origin = anchors(side, layers)[kept]
    centres, half = values[:, 0] + origin, values[:, 1] / 2
    corners = np.concatenate([centres - half, centres + half], axis=1)
    return Candidates(corners, values[:, 2:] + origin[:, None], scores[kept])


def merged(candidates: Candidates, overlap: float = 0.3) -> Candidates:
    """Weighted non-maximum suppression: best first, each the mean, weighted by scores, of itself
    and all that are left whose intersection over union with it is above `overlap`."""
    order = np.argsort(-candidates.scores, kind="stable")
    boxes, points, scores = [], [], []
    # Sequential by definition: what a candidate takes is lost to the next.
    while order.size:
        best = order[0]
        shared = iou(candidates.boxes[best], candidates.boxes[order]) > overlap
        shared[0] = True
        group, order = order[shared], order[~shared]
        weights = candidates.scores[group]
        boxes.append(np.average(candidates.boxes[group], axis=0, weights=weights))
        points.append(np.average(candidates.points[group], axis=0, weights=weights))
        scores.append(candidates.scores[best])
    return Candidates(
        np.reshape(boxes, (-1, 4)),
        np.reshape(points, (-1, *candidates.points.shape[1:])),
        np.array(scores, float),
    )


def decode_landmarks(
    values: Float[np.ndarray, " 195"], heat_maps: Float[np.ndarray, "64 64 39"]
) -> Float[np.ndarray, "39 5"]:
    """x, y, z in sides of the square, visibility and presence in [0, 1], of the 39 landmarks.

    values (195,): five a landmark, places in pixels of the network's input, the last two as logits.
    Places are moved to the middle of their heat map's 7 x 7 neighbourhood (`refined`).
    """
    landmarks = values.astype(np.float64).reshape(_LANDMARKS, 5)
    landmarks[:, :3] /= LANDMARK_SIDE
    landmarks[:, 3:] = sigmoid(landmarks[:, 3:])
    landmarks[:, :2] = refined(landmarks[:, :2], heat_maps)
    return landmarks


def refined(
    places: Float[np.ndarray, "L 2"], heat_maps: Float[np.ndarray, "h w L"]
) -> Float[np.ndarray, "L 2"]:
    """Places (L, 2) moved to the centre of mass of the 7 x 7 cells around them.

    heat_maps (h, w, L): logits. A landmark outside of its map, or without a cell of probability
    0.5 around it, stays.
    """
    height, width = heat_maps.shape[:2]
    moved = np.array(places, float)
    for number, (x, y) in enumerate(places):
        if not (0 <= x < 1 and 0 <= y < 1):
            continue
        column, row = int(x * width), int(y * height)
        reach = _KERNEL // 2
        rows = np.arange(max(0, row - reach), min(height, row + reach + 1))
        columns = np.arange(max(0, column - reach), min(width, column + reach + 1))
        heat = sigmoid(heat_maps[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, number])
        if heat.max() >= _LEAST_HEAT:
            total = heat.sum()
            moved[number, 0] = (heat.sum(0) @ columns) / total / width
            moved[number, 1] = (heat.sum(1) @ rows) / total / height
    return moved


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), float64."""
    limited = np.clip(np.asarray(logits, np.float64), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    return 1 / (1 + np.exp(-limited))
