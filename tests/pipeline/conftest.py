"""A small tree of the synthetic world, made once by the commands themselves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_tree import AUGPROMPTS, PROMPTS, STAGES, command

from chorus.body.loading import load_body
from chorus.cli import main


@pytest.fixture(scope="session")
def base(tmp_path_factory, imports) -> Path:
    """All stages up to `aggregate` run on two prompts, three augprompts, three images each."""
    root = tmp_path_factory.mktemp("base")
    shutil.copytree(imports, root / "imports")
    (root / "prompts").mkdir()
    (root / "prompts" / "surfboard.txt").write_text("\n".join(PROMPTS) + "\n")
    (root / "augprompts.txt").write_text("AUGPROMPT_COMMON\n" + "\n".join(AUGPROMPTS) + "\n")
    for stage in STAGES:
        assert main(command(root, stage)) == 0, stage
    return root


@pytest.fixture
def tree(base, tmp_path) -> Path:
    """A copy of the base tree that a test may spoil."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="session")
def imports(tmp_path_factory) -> Path:
    """An imports folder with the free body, which is slow to build."""
    folder = tmp_path_factory.mktemp("imports")
    load_body(None, folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Tiny random checkpoints: `checkpoints(kind, seed)` is the path of one."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tiny_networks import Checkpoints

    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def _profile(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CHORUS_")]:
        monkeypatch.delenv(name)
