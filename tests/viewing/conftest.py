"""A headless browser for the tests of pages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture
def opened(tmp_path):
    """Open a page with an address's hash in a headless browser; returns the page it became."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")

    def open_it(path: Path, hash_: str = "") -> str:
        flags = "--headless --no-sandbox --disable-gpu --use-gl=angle --use-angle=swiftshader"
        flags += " --enable-unsafe-swiftshader --disable-background-networking --no-first-run"
        flags += f" --user-data-dir={tmp_path / 'profile'} --window-size=800,600"
        flags += " --virtual-time-budget=8000 --dump-dom"
        address = path.resolve().as_uri() + hash_
        result = subprocess.run(
            [CHROMIUM, *flags.split(), address],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if not result.stdout.strip():
            pytest.skip(f"chromium does not start here: {result.stderr[-200:]}")
        if "WebGL 2 is off or missing" in result.stdout.split("<script")[0]:
            pytest.skip("chromium has no WebGL here")
        return result.stdout

    return open_it
