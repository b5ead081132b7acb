"""CHORUS: learning where objects are relative to people from images of an image generator.

The public calls are `load_body`, `Distribution`, `score`, `reconstruct` and `place`; they are
imported on first use, so that `import chorus` costs nothing and needs neither torch nor any other
heavy package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chorus.body.loading import load_body
    from chorus.evaluation.scoring import score
    from chorus.occupancy.distribution import Distribution
    from chorus.reconstruction.placement import place
    from chorus.reconstruction.reconstruct import reconstruct

__version__ = "0.1.0"

__all__ = ["Distribution", "__version__", "load_body", "place", "reconstruct", "score"]

_HOME = {
    "load_body": "chorus.body.loading",
    "score": "chorus.evaluation.scoring",
    "place": "chorus.reconstruction.placement",
    "reconstruct": "chorus.reconstruction.reconstruct",
    "Distribution": "chorus.occupancy.distribution",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'chorus' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
