"""Khronos' glTF validator, where node and the package are found.

The npm package `gltf-validator` is looked for in NODE_PATH and where `npm install --global` puts
it, e.g. `npm install --prefix DIR gltf-validator` and `NODE_PATH=DIR/node_modules`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

_SCRIPT = """
const validator = require('gltf-validator');
const content = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(content, {maxIssues: 20}).then(
    report => console.log(JSON.stringify(report)));
"""


@lru_cache(maxsize=1)
def _environment() -> dict[str, str]:
    """The environment in which node finds the package; skips the test if there is none."""
    if shutil.which("node") is None:
        pytest.skip("gltf-validator: node is not installed")
    places = [os.environ.get("NODE_PATH", "")]
    if shutil.which("npm"):
        asked = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
        places.append(asked.stdout.strip())
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, places))}
    found = subprocess.run(
        ["node", "-e", "require('gltf-validator')"], env=environment, capture_output=True
    )
    if found.returncode:
        pytest.skip("gltf-validator: not in NODE_PATH or npm's global folder (npm root -g)")
    return environment


def assert_valid(content: bytes, folder: Path) -> dict:
    """No errors, warnings or remarks in a GLB; what the validator says of it."""
    path = folder / "checked.glb"
    path.write_bytes(content)
    ran = subprocess.run(
        ["node", "-e", _SCRIPT, str(path)],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(ran.stdout)
    issues = report["issues"]
    counts = [issues[f"num{name}"] for name in ("Errors", "Warnings", "Infos")]
    assert counts == [0, 0, 0], issues["messages"]
    return report["info"]
