"""Hostile files, read in one process of limited memory: what became of each.

A test module has `CASES`: by name, a function that writes a file into a folder and reads it.
`outcomes(module)` runs them all in a process that may have 1 GiB more than it has once it has
imported everything and called the module's `warm_up`, if there is one, and says of each case what
it ended in and how long it took.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from functools import lru_cache
from pathlib import Path

GIB = 1 << 30
SECONDS = 2.0
_HERE = Path(__file__).parent
_PATHS = (_HERE, _HERE.parents[1])
# Allocators that reserve addresses in advance would look as if they used them.
_LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


@lru_cache(maxsize=8)
def outcomes(module: str) -> dict[str, dict]:
    """By case: `end` ("refused", "read" or "broken"), `said`, `seconds` of the processor."""
    ran = subprocess.run(
        [sys.executable, __file__, module],
        cwd=_HERE.parents[1],
        env={**os.environ, **_LEAN, "PYTHONPATH": os.pathsep.join(map(str, _PATHS))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def assert_refused(module: str, case: str, harmless: bool = False) -> None:
    """A sentence of reasonable length, in time; harmless: reading it without complaint is right."""
    outcome = outcomes(module)[case]
    assert outcome["end"] in ({"refused", "read"} if harmless else {"refused"}), outcome["said"]
    assert outcome["seconds"] < SECONDS
    assert len(outcome["said"]) < 1500


def _attempt(read) -> dict:
    from chorus.errors import ChorusError

    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder))
            end, said = "read", ""
        except ChorusError as error:
            end, said = "refused", str(error)
        except BaseException:
            end, said = "broken", traceback.format_exc(limit=-6)[-1400:]
    return {"end": end, "said": said, "seconds": time.process_time() - started}


def _main(module: str) -> None:
    tested = importlib.import_module(module)
    cases = tested.CASES
    getattr(tested, "warm_up", lambda: None)()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    print(json.dumps({name: _attempt(read) for name, read in cases.items()}))


if __name__ == "__main__":
    _main(sys.argv[1])
