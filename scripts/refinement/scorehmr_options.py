"""ScoreHMR's options in terms of `chorus scorehmr`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_SCRIPTS.parent), str(_SCRIPTS / "animals")]

from release_options import FLAG, VALUE, without  # noqa: E402

from chorus.cli import main  # noqa: E402

_WITHOUT_EFFECT = {"--num_workers": VALUE, "--shuffle": FLAG}
_IN_TRAINING = {"--predictions": VALUE}  # which the release's validation draws


def run(task: str, arguments: Sequence[str] | None = None) -> int:
    """Run `chorus scorehmr <task>` with the release's options; the exit status.

    Those that change nothing here are named and left out.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    dead = _WITHOUT_EFFECT | (_IN_TRAINING if task == "train" else {})
    kept, dropped = without(given, dead)
    if dropped:
        sys.stderr.write(f"without effect here: {', '.join(dropped)}\n")
    return main(["scorehmr", task, *kept])


if __name__ == "__main__":
    sys.exit("run one of the scripts beside this file.")
