"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

# Read when the hub's library is imported: whoever asks for a model of the hub hears at once that it
# is not there, whatever this machine has fetched. Tests of fetching run processes without these.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parent / "no-models-of-the-hub")

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden():
    """Loader of the reference values, `golden("body")["v_template"]`; skips without them."""
    if not GOLDEN.is_dir():
        pytest.skip("reference values (../shared/golden) are not beside this checkout")

    def load(name: str):
        return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)

    return load
