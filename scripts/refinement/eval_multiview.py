"""ScoreHMR's evaluation of several views of one person: `chorus scorehmr multiview`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("multiview"))
