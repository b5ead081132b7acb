"""ScoreHMR's evaluation of tracks by keypoints and smoothness: `chorus scorehmr video`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("video"))
