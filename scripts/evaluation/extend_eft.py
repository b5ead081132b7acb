"""The extended COCO-EFT test set: the same as `chorus extend_eft`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chorus.cli import main

if __name__ == "__main__":
    sys.exit(main(["extend_eft", *sys.argv[1:]]))
