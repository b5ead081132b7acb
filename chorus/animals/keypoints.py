"""The 16 keypoints of four-legged animals, in the order of all published files."""

from __future__ import annotations

KEYPOINTS = (
    "L_eye",
    "R_eye",
    "L_ear",
    "R_ear",
    "Nose",
    "Throat",
    "Tail",
    "Withers",
    "L_F_elbow",
    "R_F_elbow",
    "L_B_elbow",
    "R_B_elbow",
    "L_F_paw",
    "R_F_paw",
    "L_B_paw",
    "R_B_paw",
)
MIRROR = (1, 0, 3, 2, 4, 5, 6, 7, 9, 8, 11, 10, 13, 12, 15, 14)
"""The keypoint that each becomes in a mirror."""
CATEGORIES = ("horse", "cow", "sheep", "giraffe", "bear")
VISIBLE = 0.3
"""Confidence from which a label counts, in training and in evaluation."""
BONES = (
    (0, 4),
    (1, 4),
    (0, 2),
    (1, 3),
    (4, 5),
    (5, 7),
    (7, 6),
    (7, 8),
    (7, 9),
    (6, 10),
    (6, 11),
    (8, 12),
    (9, 13),
    (10, 14),
    (11, 15),
)
"""Pairs of keypoints that pictures join by a line."""
