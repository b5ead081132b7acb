"""Pickles as Python 2 and chumpy made them, for the tests of reading model files.

Chumpy is not needed to write them: classes of that name are put in `sys.modules` while a pickle is
made (protocol 2, Latin-1 text).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType


class _Chumpy:
    def __init__(self, **state):
        self.__dict__.update(state)


@contextmanager
def fake_chumpy():
    """Modules `chumpy.ch` (Ch) and `chumpy.reordering` (Select) for as long as a pickle is made."""
    modules = {name: ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    made = []
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        kind = type(name, (_Chumpy,), {"__module__": module})
        setattr(modules[module], name, kind)
        made.append(kind)
    sys.modules.update(modules)
    try:
        yield made
    finally:
        for name in modules:
            del sys.modules[name]


def as_python_2(pickled: bytes) -> bytes:
    """Rename what Python 3 and today's scipy call otherwise, as an old file has it."""
    for new, old in (
        (b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n"),
        (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"),
    ):
        pickled = pickled.replace(new, old)
    return pickled
