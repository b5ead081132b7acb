"""The download of COCO and EFT, against a local server that can resume and can break off."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = [f"COCO_val2014_{n:012d}.jpg" for n in (1, 2)]

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None or shutil.which("curl") is None,
    reason="needs a POSIX shell and curl",
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, from any byte on; breaks off after `server.breaks[path]` bytes."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.answer(body=True)

    def answer(self, body):
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        size = self.server.claims.get(self.path, len(content) - start)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if body:
            self.wfile.write(content[start : self.server.breaks.pop(self.path, None)])

    def log_message(self, *_):
        """Keep the test's output clean."""


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.asked, served.breaks, served.claims, served.ranges = [], {}, {}, True
        served.files = {
            "/val2014.zip": archive(**{f"val2014/{name}": os.urandom(5000) for name in IMAGES}),
            "/annotations.zip": archive(
                **{
                    "annotations/captions_val2014.json": b"{}",
                    "annotations/instances_val2014.json": b'{"images": []}',
                }
            ),
            "/fits.json": json.dumps({"ver": 1.0, "data": [{"parm_pose": []}]}).encode(),
        }
        served.url = f"http://127.0.0.1:{served.server_address[1]}"
        thread = threading.Thread(target=served.serve_forever, args=(0.02,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "a checkout"
    shutil.copytree(REPOSITORY / "scripts", root / "scripts")
    return root


def download(root: Path, server, *options: str, **environment: str):
    def checksum(path):
        return hashlib.sha256(server.files.get(path, b"")).hexdigest()

    clean = {k: v for k, v in os.environ.items() if not k.startswith("CHORUS_")}
    return subprocess.run(
        [shutil.which("sh"), str(root / "scripts/download_coco_eft.sh"), *options],
        env={
            **clean,
            "CHORUS_COCO_IMAGES_URL": f"{server.url}/val2014.zip",
            "CHORUS_COCO_ANNOTATIONS_URL": f"{server.url}/annotations.zip",
            "CHORUS_EFT_URL": f"{server.url}/fits.json",
            "CHORUS_COCO_IMAGES_SHA256": checksum("/val2014.zip"),
            "CHORUS_COCO_ANNOTATIONS_SHA256": checksum("/annotations.zip"),
            "PYTHON": sys.executable,
            "no_proxy": "127.0.0.1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def left(root: Path) -> set[str]:
    """The files below imports."""
    found = (root / "imports").rglob("*")
    return {str(path.relative_to(root / "imports")) for path in found if path.is_file()}


FITS = "eft/eft_fit/COCO2014-Val-ver10.json"
ANNOTATIONS = "COCO/annotations/instances_val2014.json"
COMPLETE = {FITS, ANNOTATIONS, *(f"COCO/images/val2014/{name}" for name in IMAGES)}


def test_everything_arrives_once(checkout, server):
    result = download(checkout, server)
    assert result.returncode == 0, result.stderr
    assert left(checkout) == COMPLETE
    assert (checkout / "imports" / ANNOTATIONS).read_bytes() == b'{"images": []}'
    assert result.stdout.index("MB of disk are needed") < result.stdout.index("fetching")
    assert "1 data" in result.stdout and "2 files" in result.stdout

    server.asked.clear()
    result = download(checkout, server)
    assert result.returncode == 0 and not server.asked
    assert result.stdout.count("already there (") == 3


def test_without_images(checkout, server):
    assert download(checkout, server, "--without_images").returncode == 0
    assert left(checkout) == {FITS, ANNOTATIONS}
    result = download(checkout, server, "--no_images")
    assert result.returncode == 1 and "--without_images" in result.stderr


def test_an_interrupted_download_goes_on(checkout, server):
    server.breaks["/val2014.zip"] = 6000
    result = download(checkout, server)
    assert result.returncode == 1
    assert "rerun to go on" in result.stderr and "COCO/images" not in str(left(checkout))
    result = download(checkout, server)
    assert result.returncode == 0, result.stderr
    assert server.asked[-1] == ("/val2014.zip", "bytes=6000-")
    assert left(checkout) == COMPLETE


def test_a_server_that_cannot_resume_sends_all(checkout, server):
    server.breaks["/val2014.zip"] = 6000
    download(checkout, server)
    server.ranges = False
    result = download(checkout, server)
    assert result.returncode == 0, result.stderr
    assert left(checkout) == COMPLETE


def test_a_whole_file_that_was_not_unpacked_is_not_fetched_again(checkout, server):
    for part, path in (("COCO/.val2014.zip.part", "/val2014.zip"), ("eft/.fits.json.part", None)):
        place = checkout / "imports" / part
        place.parent.mkdir(parents=True, exist_ok=True)
        path = path or "/fits.json"
        place.write_bytes(server.files[path])
        place.with_name(place.name + ".source").write_text(f"{server.url}{path}\n")
    result = download(checkout, server)
    assert result.returncode == 0, result.stderr
    assert "/val2014.zip" not in [path for path, _ in server.asked]
    assert left(checkout) == COMPLETE


def test_another_file_is_refused_and_removed(checkout, server):
    result = download(checkout, server, CHORUS_COCO_ANNOTATIONS_SHA256="0" * 64)
    assert result.returncode == 1
    assert "is not the published file, and was removed" in result.stderr
    assert not any("annotations" in name and name.endswith(".part") for name in left(checkout))


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/fits.json", b"<html>moved</html>", "damaged or cannot be read"),
        ("/fits.json", b'{"ver": 1.0, "data": []}', "no list 'data'"),
        ("/val2014.zip", b"no archive", "damaged or cannot be read"),
        ("/val2014.zip", archive(readme=b"hello"), "does not hold the files"),
        ("/val2014.zip", archive(**{"val2014/../../harm": b""}), "does not hold the files"),
        ("/annotations.zip", archive(readme=b"hello"), "does not hold the files"),
    ],
)
def test_what_is_not_the_data_is_refused_and_removed(checkout, server, path, content, message):
    server.files[path] = content
    result = download(checkout, server)
    assert result.returncode == 1
    assert message in result.stderr and "rerun to fetch it again" in result.stderr
    assert not any(name.endswith(".part") for name in left(checkout))
    assert not list(checkout.rglob("harm"))


def test_damage_inside_an_archive_is_found(checkout, server):
    broken = bytearray(server.files["/val2014.zip"])
    broken[200] ^= 255
    server.files["/val2014.zip"] = bytes(broken)
    result = download(checkout, server)
    assert result.returncode == 1 and "Bad CRC-32" in result.stderr
    assert not (checkout / "imports/COCO/images/val2014").exists()


def test_a_full_disk_is_told_before_anything_is_fetched(checkout, server):
    server.claims["/val2014.zip"] = 10**17
    result = download(checkout, server)
    assert result.returncode == 1 and "not enough" in result.stderr
    assert not server.asked


def test_no_network(checkout, server):
    result = download(checkout, server, CHORUS_COCO_ANNOTATIONS_URL="http://127.0.0.1:9/a.zip")
    assert result.returncode == 1
    assert "no network" in result.stderr and "size unknown" in result.stdout


@pytest.mark.skipif(shutil.which("wget") is None, reason="needs wget")
def test_wget_where_curl_is_missing(checkout, server, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    names = "sh sed cat mkdir mv rm tr tail wc df awk dirname wget"
    for name in names.split():
        (tools / name).symlink_to(shutil.which(name))
    place = checkout / "imports/COCO/.val2014.zip.part"
    place.parent.mkdir(parents=True)
    place.write_bytes(server.files["/val2014.zip"][:6000])
    place.with_name(f"{place.name}.source").write_text(f"{server.url}/val2014.zip\n")
    result = download(checkout, server, PATH=str(tools))
    assert result.returncode == 0, result.stderr
    assert server.asked[-1] == ("/val2014.zip", "bytes=6000-")
    assert left(checkout) == COMPLETE
    assert "size unknown" not in result.stdout
