"""Tables of the PAP figures: the same as `chorus report`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chorus.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
