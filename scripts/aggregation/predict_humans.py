"""3D bodies and weak-perspective cameras: the same as `chorus humans`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chorus.cli import main

if __name__ == "__main__":
    sys.exit(main(["humans", *sys.argv[1:]]))
