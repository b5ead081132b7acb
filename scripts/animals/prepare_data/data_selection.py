"""Selection of pseudo-labels: `chorus animals select` as published."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release_options import run

PUBLISHED = ("--category", "horse", "--measure", "published")

if __name__ == "__main__":
    sys.exit(run("select", PUBLISHED))
