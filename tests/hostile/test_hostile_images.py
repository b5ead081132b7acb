"""Pictures whose sizes lie, that unpack without end, or that end too soon, for every reader."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile import assert_refused
from PIL import Image

from chorus.commands.perceiving.photos import pixels_of
from chorus.evaluation.labelled_sets import read_photograph
from chorus.generation.image_files import description
from chorus.perception import open3dhoi
from chorus.perception.mask_files import mask_of_png
from chorus.perception.photographs import stored_size, upright_rgb
from chorus.records.image_files import read_image
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.tables import DONE

KEY = SampleKey("m", "chair", "A person sits on a chair", "original", 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )  # fmt: skip


def png(width: int, height: int, pixels: bytes, *more: bytes, depth: int = 8, kind: int = 0):
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *more, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(megabytes: int) -> bytes:
    machine = zlib.compressobj(9)
    packed = b"".join(machine.compress(bytes(1 << 20)) for _ in range(megabytes))
    return packed + machine.flush()


def whole(kind: str, size: tuple[int, int] = (64, 48), **more) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(content, kind, **more)
    return content.getvalue()


def claimed(content: bytes, width: int, height: int) -> bytes:
    """A JPEG with another size in its frame's head."""
    at = next(
        content.index(bytes([255, mark])) for mark in (0xC0, 0xC2) if bytes([255, mark]) in content
    )
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


@functools.cache
def contents() -> dict[str, bytes]:
    bomb = zeros(64)
    lying = whole("BMP")
    return {
        "a PNG of 10,000 megapixels": png(100_000, 100_000, zlib.compress(bytes(100))),
        "a PNG of one bit and 900 megapixels": png(30_000, 30_000, bomb, depth=1),
        "a PNG one pixel high": png((1 << 31) - 1, 1, bomb),
        "a PNG with a text that unpacks to 64 MB": png(
            1 << 16, 1 << 16, bomb, chunk(b"zTXt", b"chorus\0\0" + bomb)
        ),
        "a JPEG of 4,000 megapixels": claimed(whole("JPEG"), 65_000, 65_000),
        "a WebP that is cut off": whole("WEBP")[:200],
        "a PNG that is cut off": whole("PNG")[:-3000],
        "a PNG without pixels": png(64, 48, b""),
        "a JPEG that is cut off": whole("JPEG")[:300],
        "a BMP of negative size": lying[:18] + struct.pack("<ii", -5, 1 << 30) + lying[26:],
        "a TIFF that points to itself": b"II*\0" + struct.pack("<IHI", 8, 0, 8),
        "a TIFF that points beyond": b"II*\0" + struct.pack("<I", 1 << 31),
        "a GIF of 4,000 megapixels": b"GIF89a" + b"\xff" * 4 + bytes(3) + b";",
        "a HEIC without content": b"\0\0\0\x18ftypheic" + bytes(64),
        "an icon that lies": b"\0\0\1\0\1\0" + bytes(16),
        "a PSD that lies": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, *[1 << 30] * 2, 8, 3),
        "a PPM that lies": b"P6 99999 99999 255\n" + bytes(100),
        "a PPM with 200,000 digits": b"P6 " + b"9" * 200_000 + b" 1 255\n",
        "zeros": bytes(1000),
        "empty": b"",
        "nested marks": b"(" * 200_000,
    }  # fmt: skip


def written(folder: Path, content: bytes, name: str = "a.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def of_tree(folder: Path, content: bytes) -> None:
    tree = ResultsTree(folder)
    place = tree.table("images", KEY.shard).with_suffix("")
    place.mkdir(parents=True)
    written(place, content, "000000.png")
    row = {"status": DONE, "file": "000000.png", "width": 64, "height": 48}
    read_image(tree, KEY, row)


READERS: dict[str, Callable[[Path, bytes], object]] = {
    "photographs": lambda f, c: upright_rgb(c),
    "photographs with annotations": lambda f, c: upright_rgb(c, (64, 48)),
    "sizes": lambda f, c: stored_size(c),
    "masks": lambda f, c: mask_of_png(c),
    "perceive": lambda f, c: pixels_of(written(f, c)),
    "the tree": of_tree,
    "Open3DHOI's masks": lambda f, c: open3dhoi._mask(written(f, c)),
    "Open3DHOI's photograph": lambda f, c: open3dhoi._photograph(written(f, c), (48, 64)),
    "labelled images": lambda f, c: read_photograph(written(f, c), (48, 64)),
    "descriptions": lambda f, c: description(written(f, c)),
}
# The head of a file says these, whatever its pixels are.
HEADS = {"sizes", "descriptions"}
NAMES = tuple(contents())
CASES = {
    f"{reader}: {name}": functools.partial(
        lambda read, n, folder: read(folder, contents()[n]), read, name
    )
    for reader, read in READERS.items()
    for name in NAMES
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(case):
    assert_refused("test_hostile_images", case, case.partition(":")[0] in HEADS)
