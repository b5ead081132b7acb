"""Fixtures shared by all rooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden():
    """Loader of the reference values, `golden("body")["v_template"]`; skips without them."""
    if not GOLDEN.is_dir():
        pytest.skip("reference values (../shared/golden) are not beside this checkout")

    def load(name: str):
        return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)

    return load
