"""EFT's published checkpoint of FrankMocap's body regressor → safetensors, checked name by name.

    python scripts/convert_spin_checkpoint.py CHECKPOINT.pt OUTPUT.safetensors

The result holds the network's weights and nothing else; --human_model frankmocap-eft:OUTPUT uses
it. Ends with status 2 and a sentence if names or shapes are not the published ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chorus.errors import ChorusError
from chorus.perception.frankmocap import convert


def main(arguments: list[str]) -> int:
    """Convert; the exit status."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    try:
        checksum = convert(Path(arguments[0]), Path(arguments[1]))
    except ChorusError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(f"{arguments[1]}: names and shapes as published, checksum {checksum}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
