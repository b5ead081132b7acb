"""Hands of FreiHAND and HO-3D by TempCLR's network: the same as `chorus hands`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chorus.cli import main

if __name__ == "__main__":
    sys.exit(main(["hands", *sys.argv[1:]]))
