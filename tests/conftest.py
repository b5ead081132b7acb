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

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
GOLDEN = SHARED / "golden"


@pytest.fixture(scope="session")
def golden():
    """Loader of the reference values, `golden("body")["v_template"]`; skips without them."""
    if not GOLDEN.is_dir():
        pytest.skip("reference values (../shared/golden) are not beside this checkout")

    def load(name: str):
        return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)

    return load


@pytest.fixture(scope="session")
def blazepose_imports(tmp_path_factory) -> Path:
    """An imports folder with BlazePose's published networks: this checkout's, else fetched once."""
    pytest.importorskip("ai_edge_litert", reason="the extra pocket is not installed")
    from chorus.errors import Unavailable
    from chorus.models import wheels
    from chorus.models.registry import WEIGHTS
    from chorus.perception import blazepose

    needed = [WEIGHTS[name] for name in blazepose.WEIGHTS]
    if all((REPOSITORY / "imports" / weight.destination).is_file() for weight in needed):
        return REPOSITORY / "imports"
    folder = tmp_path_factory.mktemp("imports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_RETRIES", "0")
        try:
            for weight in needed:
                wheels.fetch(weight, folder, folder)
        except Unavailable as error:
            pytest.skip(f"BlazePose's networks: {error}")
    return folder


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of photographs with annotations, which are no part of the repository."""
    folder = Path(os.environ.get("CHORUS_PHOTOS", SHARED / "data" / "photos"))
    if not (folder / "instances.json").is_file():
        pytest.skip(f"no photographs in {folder}; CHORUS_PHOTOS names another folder")
    return folder
