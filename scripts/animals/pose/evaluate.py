"""PCK of the keypoint network: `chorus animals evaluate_keypoints` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release_options import run

PUBLISHED = ("--placement", "published")

if __name__ == "__main__":
    sys.exit(run("evaluate_keypoints", PUBLISHED))
