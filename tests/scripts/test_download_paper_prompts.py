"""The download of the paper's prompts, against a local server."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from chorus.generation.prompts import read_prompts
from chorus.vocabulary import PAPER_CATEGORIES

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None or not (shutil.which("curl") or shutil.which("wget")),
    reason="needs a POSIX shell and curl or wget",
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    for category in PAPER_CATEGORIES:
        (folder / f"{category}.txt").write_text(f"A tester lifts the {category}\n")
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        served.asked = []
        served.folder = folder
        served.url = f"http://127.0.0.1:{served.server_address[1]}"
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "a checkout"
    (root / "chorus" / "generation").mkdir(parents=True)
    for name in ("errors", "files", "vocabulary", "generation/prompts"):
        shutil.copy(REPOSITORY / f"chorus/{name}.py", root / f"chorus/{name}.py")
    shutil.copytree(REPOSITORY / "scripts", root / "scripts")
    (root / "prompts" / "chorus").mkdir(parents=True)
    (root / "prompts/chorus/hat.txt").write_text("A person wears a hat\n")
    return root


def download(root: Path, url: str, path: str | None = None) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "CHORUS_PROMPTS_URL": url,
        "PYTHON": sys.executable,
        "PATH": path or os.environ["PATH"],
        "no_proxy": "127.0.0.1",
    }
    return subprocess.run(
        [shutil.which("sh"), str(root / "scripts/download_paper_prompts.sh")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_replaces_all_and_keeps_a_backup(checkout, server):
    result = download(checkout, server.url)
    assert result.returncode == 0, result.stderr
    for category in PAPER_CATEGORIES:
        path = checkout / f"prompts/chorus/{category}.txt"
        assert read_prompts(path) == [f"A tester lifts the {category}"]
    backup = checkout / "prompts/chorus.backup/hat.txt"
    assert read_prompts(backup) == ["A person wears a hat"]
    assert not (checkout / "prompts/.chorus.arriving").exists()

    # A second download leaves the backup of the project's own prompts alone.
    assert download(checkout, server.url).returncode == 0
    assert read_prompts(backup) == ["A person wears a hat"]


def test_resumes_and_replaces_nothing_until_complete(checkout, server):
    last = PAPER_CATEGORIES[-1]
    held_back = (server.folder / f"{last}.txt").rename(server.folder / "held back")
    result = download(checkout, server.url)
    assert result.returncode == 1
    assert f"could not fetch {server.url}/{quote(last)}.txt" in result.stderr
    assert [p.name for p in (checkout / "prompts/chorus").iterdir()] == ["hat.txt"]

    held_back.rename(server.folder / f"{last}.txt")
    server.asked.clear()
    assert download(checkout, server.url).returncode == 0
    assert server.asked == [f"/{quote(last)}.txt"]
    assert len(list((checkout / "prompts/chorus").iterdir())) == len(PAPER_CATEGORIES)


def test_refuses_what_is_not_prompts(checkout, server):
    (server.folder / f"{PAPER_CATEGORIES[1]}.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    result = download(checkout, server.url)
    assert result.returncode == 1
    assert "is not UTF-8" in result.stderr
    assert "is not a prompt file" in result.stderr
    assert read_prompts(checkout / "prompts/chorus/hat.txt") == ["A person wears a hat"]


def test_no_network(checkout):
    result = download(checkout, "http://127.0.0.1:9")
    assert result.returncode == 1
    assert "no network" in result.stderr and "Nothing was replaced" in result.stderr


@pytest.mark.skipif(shutil.which("wget") is None, reason="needs wget")
def test_wget_where_curl_is_missing(checkout, server, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ["sh", "sed", "cat", "mkdir", "mv", "rm", "cp", "dirname", "wget"]:
        (tools / name).symlink_to(shutil.which(name))
    result = download(checkout, server.url, path=str(tools))
    assert result.returncode == 0, result.stderr
    assert len(list((checkout / "prompts/chorus").iterdir())) == len(PAPER_CATEGORIES)


def test_neither_curl_nor_wget(checkout, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dirname").symlink_to(shutil.which("dirname"))
    result = download(checkout, "http://127.0.0.1:9", path=str(tools))
    assert result.returncode == 1
    assert "neither curl nor wget is installed" in result.stderr
