"""Persons of photographs refined by a learned prior: `chorus scorehmr images`."""

import sys

from scorehmr_options import run

if __name__ == "__main__":
    sys.exit(run("images"))
