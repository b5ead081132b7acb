"""ScoreHMR's training, on cached features: `chorus scorehmr train`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("train"))
