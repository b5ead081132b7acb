"""HMR2's bodies of a data set's images, as ScoreHMR caches them: `chorus scorehmr cache_hmr2`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("cache_hmr2"))
