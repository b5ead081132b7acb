"""Downloads against a local server that breaks off, cannot resume, or sends other things."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from chorus import cli
from chorus.commands import download
from chorus.errors import BadInput, Unavailable
from chorus.files import DiskFull
from chorus.models import downloads, registry
from chorus.models.registry import WEIGHTS
from chorus.models.weights import Weight

CONTENT = bytes(range(256)) * 400
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, from any byte on where it can; breaks off as `server.breaks` say."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.answer(body=True)

    def answer(self, body):
        if self.path in self.server.fails:
            self.send_error(self.server.fails[self.path].pop(0))
            if not self.server.fails[self.path]:
                del self.server.fails[self.path]
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and self.server.ranges else 0
        if asked and self.server.ranges and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if asked and self.server.ranges else 200)
        if asked and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", self.server.kinds.get(self.path, "application/zip"))
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            breaks = self.server.breaks.get(self.path) or [None]
            self.wfile.write(content[start : breaks.pop(0)])

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.asked, served.breaks, served.fails, served.kinds = [], {}, {}, {}
        served.ranges = True
        served.files = {"/model.pth": CONTENT}
        served.url = f"http://127.0.0.1:{served.server_address[1]}"
        thread = threading.Thread(target=served.serve_forever, args=(0.02,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def weight(server):
    return Weight(
        about="a network",
        licence="MIT",
        destination="net/model.pth",
        url=f"{server.url}/model.pth",
        size=len(CONTENT),
        sha256=SUM[:8],
        page="https://example.org/page",
    )


def fetch(weight, folder):
    return downloads.fetch(weight, folder, wait=0)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_whole_and_checked(server, weight, tmp_path):
    told = []
    path = downloads.fetch(weight, tmp_path, told.append)
    assert path == tmp_path / "net/model.pth"
    assert path.read_bytes() == CONTENT
    assert sum(told) == len(CONTENT)
    assert leftovers(tmp_path) == ["model.pth"]
    assert downloads.remote_size(weight.url) == len(CONTENT)


def test_goes_on_where_it_broke_off(server, weight, tmp_path):
    server.breaks["/model.pth"] = [1000, 5000, None]
    fetch(weight, tmp_path)
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=5000-"]


def test_what_arrived_is_kept_for_the_next_run(server, weight, tmp_path):
    server.breaks["/model.pth"] = [1000, 1000, 1000, 1000]
    with pytest.raises(Unavailable, match="What has arrived is kept"):
        fetch(weight, tmp_path)
    assert downloads.arrived(weight, tmp_path) == 1000
    assert not (tmp_path / "net/model.pth").exists()
    fetch(weight, tmp_path)
    assert server.asked[-1][1] == "bytes=1000-"
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT


def test_killed_after_the_last_byte(server, weight, tmp_path):
    part = downloads._part(weight.url, tmp_path / weight.destination)
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    fetch(weight, tmp_path)
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT
    # a longer rest than the file is no part of it
    part.write_bytes(CONTENT + b"more")
    fetch(weight, tmp_path)
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT


def test_a_server_that_cannot_resume(server, weight, tmp_path):
    server.ranges = False
    server.breaks["/model.pth"] = [1000, None]
    fetch(weight, tmp_path)
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT


def test_busy_then_served(server, weight, tmp_path):
    server.fails["/model.pth"] = [503, 429]
    assert fetch(weight, tmp_path).read_bytes() == CONTENT


def test_another_source_does_not_complete_a_file(server, weight, tmp_path):
    server.breaks["/model.pth"] = [1000] * 4
    with pytest.raises(Unavailable):
        fetch(weight, tmp_path)
    server.files["/mirror.pth"] = CONTENT
    fetch(replace(weight, url=f"{server.url}/mirror.pth"), tmp_path)
    assert server.asked[-1] == ("/mirror.pth", None)


def test_wrong_sum_or_size_is_removed_and_said(server, weight, tmp_path):
    good = fetch(weight, tmp_path)
    server.files["/model.pth"] = CONTENT[:-1] + b"x"
    with pytest.raises(BadInput, match=rf"SHA-256 is \w{{64}}, expected {SUM[:8]}….*was removed"):
        fetch(weight, tmp_path)
    assert good.read_bytes() == CONTENT  # the file in place was not touched
    server.files["/model.pth"] = CONTENT[:-1]
    with pytest.raises(BadInput, match=f"has {len(CONTENT) - 1} bytes, expected {len(CONTENT)}"):
        fetch(weight, tmp_path)
    assert leftovers(tmp_path) == ["model.pth"]


def test_missing_and_web_page(server, weight, tmp_path):
    with pytest.raises(Unavailable, match=r"answers 404 .*See https://example.org/page"):
        fetch(replace(weight, url=f"{server.url}/absent"), tmp_path)
    assert len(server.asked) == 1  # asking again would not help
    server.files["/model.pth"] = b"<!DOCTYPE html><title>Sign in</title>"
    server.kinds["/model.pth"] = "text/html; charset=utf-8"
    with pytest.raises(BadInput, match="web page instead of the file"):
        fetch(weight, tmp_path)
    server.kinds["/model.pth"] = "application/octet-stream"
    with pytest.raises(BadInput, match="web page"):
        fetch(replace(weight, size=None, sha256=""), tmp_path)
    server.files["/model.pth"] = b""
    with pytest.raises(BadInput, match="empty"):
        fetch(replace(weight, size=None, sha256=""), tmp_path)
    assert leftovers(tmp_path) == []


def test_no_server(weight, tmp_path):
    with pytest.raises(Unavailable, match=r"could not be fetched .*no network"):
        fetch(replace(weight, url="http://127.0.0.1:9/model.pth"), tmp_path)


def test_a_place_that_cannot_be_written(weight, tmp_path):
    (tmp_path / "net").write_text("a file where a folder is needed")
    with pytest.raises(Unavailable, match=r"cannot be written .*CHORUS_IMPORTS"):
        fetch(weight, tmp_path)


def test_full_disk(weight, tmp_path, monkeypatch):
    def full(_stream):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(downloads.os, "fsync", full)
    with pytest.raises(DiskFull, match="what has arrived is kept"):
        fetch(weight, tmp_path)
    monkeypatch.undo()
    assert fetch(weight, tmp_path).read_bytes() == CONTENT


def archived(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        link = tarfile.TarInfo("data/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_one_member_of_an_archive(server, weight, tmp_path, packed):
    inside = {"../../outside": b"bad", "data/model.pth": CONTENT, "data/other": b"not wanted"}
    server.files["/model.pth"] = packed(archived(**inside))
    member = replace(weight, member="data/model.pth", size=None, sha256="")
    assert fetch(member, tmp_path / "imports").read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["model.pth"]
    for wanted in ("data/absent", "data/link"):
        with pytest.raises(BadInput, match=f"not an archive with {wanted}"):
            fetch(replace(member, member=wanted), tmp_path / "imports")
    half = len(server.files["/model.pth"]) // 2
    server.files["/model.pth"] = server.files["/model.pth"][:half]
    with pytest.raises(BadInput, match="not an archive with"):
        fetch(member, tmp_path / "imports")
    assert (tmp_path / "imports/net/model.pth").read_bytes() == CONTENT


def test_the_command(server, weight, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(registry, "named_weights", lambda names: list(names))
    monkeypatch.setitem(WEIGHTS, "mine", weight)
    arguments = ["download", "mine", "smpl", "--imports_dir", str(tmp_path)]
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert "1 of 2 fetched, 0 already there, 1 failed" in said.out
    assert "smpl: Register at https://smpl.is.tue.mpg.de" in said.err
    assert "mine: 0.1 MB; licence: MIT" in caplog.text
    assert cli.main(["download", "mine", "--imports_dir", str(tmp_path)]) == 0
    assert "0 of 1 fetched, 1 already there" in capsys.readouterr().out
    (tmp_path / "net/model.pth").write_bytes(b"damaged")
    assert cli.main(["download", "mine", "--imports_dir", str(tmp_path)]) == 0
    assert "is not the published file: it has 7 bytes" in caplog.text
    assert (tmp_path / "net/model.pth").read_bytes() == CONTENT


def test_the_list_and_unknown_names(capsys):
    assert cli.main(["download"]) == 0
    listed = capsys.readouterr().out
    for name, weight in WEIGHTS.items():
        assert name in listed
        assert weight.licence in listed
    assert cli.main(["download", "vitpos"]) == 2
    assert "did you mean 'vitpose'" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
def test_the_script():
    script = Path(__file__).parents[2] / "scripts/download_off_the_shelf.sh"
    result = subprocess.run(
        ["sh", str(script)],
        env={**os.environ, "PYTHON": sys.executable},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "hrnet-w48-dark" in result.stdout


def test_the_listing_says_a_size_once_or_not_at_all():
    listed = download.listing()
    assert "\n    3.0 MB; licence: Apache-2.0\n" in listed
    assert "draws the masks; 1.25 GB\n    licence: Apache-2.0\n" in listed
    assert "server" not in listed


def test_the_table_is_consistent():
    from chorus.models.registry import MODELS, PROFILES

    places = [weight.destination for weight in WEIGHTS.values() if weight.destination]
    assert len(places) == len(set(places))
    for name, weight in WEIGHTS.items():
        assert weight.licence and weight.about and weight.page, name
        assert bool(weight.repository) != bool(weight.destination), name
        assert not Path(weight.destination).is_absolute() and ".." not in weight.destination
        assert re.fullmatch(r"[0-9a-f]*", weight.sha256), name
    for models in MODELS.values():
        for model in models:
            assert set(registry.weights_of_model(model)) <= WEIGHTS.keys()
    assert set(registry.weights_of_profile("paper")) >= {"pointrend-r50", "frankmocap-eft"}
    assert "smpl" not in registry.named_weights(PROFILES)
    assert registry.named_weights(["vitpose", "modern"])[0] == "vitpose"


def test_the_names_that_adapters_load():
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from chorus.generation import diffusion
    from chorus.perception import mask2former, open_vocabulary, vitpose

    def repositories(model):
        return [WEIGHTS[weight].repository for weight in registry.weights_of_model(model)]

    for model, source in diffusion.SOURCES.items():
        assert repositories(model) == [source]
    assert repositories("mask2former") == [mask2former.DEFAULT]
    assert repositories("vitpose") == [vitpose.DEFAULT]
    expected = [open_vocabulary.DETECTOR, open_vocabulary.MASK_MODEL]
    assert repositories("open-vocabulary") == expected
