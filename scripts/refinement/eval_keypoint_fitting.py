"""ScoreHMR's evaluation of single images by 2D keypoints: `chorus scorehmr keypoint_fitting`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("keypoint_fitting"))
