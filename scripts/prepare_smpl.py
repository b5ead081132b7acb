"""What scripts/prepare_smpl.sh runs: FILE... → imports/smpl/SMPL_NEUTRAL.npz (CHORUS_IMPORTS).

Ends with status 2 and a sentence for every file if none of them has SMPL's neutral model.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chorus.body.preparing import prepare
from chorus.errors import ChorusError
from chorus.models import registry


def main(arguments: list[str]) -> int:
    """Prepare, say what was made and what it is for; the exit status."""
    imports = Path(os.environ.get("CHORUS_IMPORTS", "imports"))
    if not arguments or arguments[0].startswith("-"):
        usage = "usage: sh scripts/prepare_smpl.sh FILE.zip ..."
        print(f"{usage}\n{registry.how_to_get('smpl')}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        made = prepare([Path(argument) for argument in arguments], imports)
    except ChorusError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for reason in made.refused:
        print(f"not used: {reason}", file=sys.stderr)  # noqa: T201
    lines = [
        f"{made.path}: SMPL's neutral model with {made.betas} shape components, from {made.source}",
        f"Give it to every stage: --body {made.path}",
    ]
    extra = imports / registry.WEIGHTS["smpl-extra-joints"].destination
    if not extra.is_file():
        how = registry.how_to_get("smpl-extra-joints")
        lines.append(f"The release's 24 joints need {extra} as well. {how}")
    print("\n".join(lines))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
