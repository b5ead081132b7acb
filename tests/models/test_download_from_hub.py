"""`chorus download` of a repository of the hub, from a local server that imitates it."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WEIGHTS = struct.pack("<Q", len(_HEADER)) + _HEADER + bytes(8)
FILES = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle" * 100,
    "README.md": b"# words",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, owner/net; `server.asked` are the files that were fetched."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/api/models/owner/net/revision/main":
            self.send(json.dumps({"id": "owner/net", "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/models/owner/net/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                for name, content in FILES.items()
            ]
            self.send(json.dumps(entries).encode())
        elif path.startswith(f"/owner/net/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            if self.command == "GET":
                self.server.asked.append(name)
            content = FILES[name]
            self.send(content, {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send(b"", {"X-Error-Code": "RepoNotFound"}, status=404)

    do_HEAD = do_GET

    def send(self, content, headers=(), status=200):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        """Keep the test's output clean."""


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


PROGRAM = """
import sys
from chorus import cli
from chorus.models import registry, weights
net = weights.Weight(about="a net", licence="MIT", repository="owner/net", page="-")
absent = weights.Weight(about="none", licence="MIT", repository="owner/absent", page="-")
registry.WEIGHTS.update(net=net, absent=absent)
sys.exit(cli.main(["download", *sys.argv[1:]]))
"""


def test_a_repository(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()

        def download(*names: str) -> subprocess.CompletedProcess:
            clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
            return subprocess.run(
                [sys.executable, "-c", PROGRAM, *names, "--imports_dir", str(tmp_path)],
                env={
                    **clean,
                    "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                    "HF_HOME": str(tmp_path / "home"),
                    "no_proxy": "127.0.0.1",
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        first = download("net", "absent")
        assert first.returncode == 1
        assert "net: 0.0 MB; licence: MIT" in first.stderr
        assert "owner/absent is neither a folder here nor a repository" in first.stderr
        assert "1 of 2 fetched, 0 already there, 1 failed" in first.stdout
        assert sorted(server.asked) == ["config.json", "model.safetensors"]  # and no pickle
        (weights,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
        assert weights.read_bytes() == WEIGHTS

        again = download("net")
        assert again.returncode == 0, again.stderr
        assert "0 of 1 fetched, 1 already there" in again.stdout
        assert len(server.asked) == 2

        weights.resolve().write_bytes(WEIGHTS[:-4])  # half-written
        mended = download("net")
        assert mended.returncode == 0, mended.stderr
        assert "1 of 1 fetched" in mended.stdout
        assert weights.read_bytes() == WEIGHTS
        server.shutdown()
        thread.join()
