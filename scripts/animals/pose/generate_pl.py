"""Keypoints of the web images: `chorus animals generate_pl` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release_options import run

PUBLISHED = ("--placement", "published", "--confidence", "published")

if __name__ == "__main__":
    sys.exit(run("generate_pl", PUBLISHED))
