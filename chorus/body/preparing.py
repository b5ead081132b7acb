"""SMPL's neutral model, out of what its users download, as one plain `.npz` file.

Nothing is unpacked: of an archive one member is read, in memory, by the restricted unpickler. So no
name in it can lead to a place on the disk, and nothing in it is executed.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np

from chorus.body.loading import read_arrays
from chorus.errors import BadInput
from chorus.files import replacing
from chorus.models.registry import WEIGHTS

VERTICES = 6890
FACES = 13776
JOINTS = 24
POSE_BLEND_SHAPES = 207
LEAST_BETAS = 10

_EXPECTED = (
    "SMPL_python_v.1.1.0.zip (of SMPL, version 1.1.0), mpips_smplify_public_v2.zip (of SMPLify), "
    "or the neutral model out of one of them"
)
_NEUTRAL = re.compile(r"neutral.*\.(pkl|npz)", re.IGNORECASE)
_OF_ONE_SEX = re.compile(r"(_[fm]|male)[_.](.*\.)?(pkl|npz)$", re.IGNORECASE)
_LARGEST = 1 << 31  # bytes of a member; the published ones have some 10^8


class Prepared(NamedTuple):
    """What was made. path: the file. source: of which archive and member. betas: how many shape
    components it has. refused: why the files given before it were not taken."""

    path: Path
    source: str
    betas: int
    refused: list[str]


def prepare(files: Sequence[Path], imports_dir: Path) -> Prepared:
    """Write `smpl/SMPL_NEUTRAL.npz` below the imports folder from the first file that has it.

    files: archives (.zip) or models (.pkl, .npz). The result has SMPL's names: v_template (6890, 3)
    metres, shapedirs (6890, 3, S), posedirs (6890, 3, 207), weights (6890, 24), J_regressor
    (24, 6890), dense, all float32; f (13776, 3) and kintree_table (2, 24), integers. BadInput, with
    a sentence for each file, if none of them has SMPL's neutral model; then nothing is written.
    """
    refused = []
    for file in files:
        try:
            source, arrays = _neutral_model(file)
        except BadInput as error:
            refused.append(str(error))
            continue
        path = imports_dir / WEIGHTS["smpl"].destination
        _write(path, arrays)
        return Prepared(path, source, arrays["shapedirs"].shape[2], refused)
    raise BadInput("\n".join(refused) or f"no file is given; expected {_EXPECTED}.")


def _neutral_model(file: Path) -> tuple[str, dict[str, np.ndarray]]:
    """What to call the neutral model of a file, and its arrays as stored, checked."""
    if not file.is_file():
        problem = "is a folder" if file.is_dir() else "does not exist"
        raise BadInput(f"{file} {problem}; expected {_EXPECTED}.")
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
            if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
                raise BadInput(
                    f"{file} is a web page, not an archive: the site sends one to visitors who are "
                    f"not logged in. Log in at {WEIGHTS['smpl'].page} and download it again."
                )
            stream.seek(0)
            name, content = _member(file, stream) if start[:2] == b"PK" else (file, stream)
            if not start or (name is file and _OF_ONE_SEX.search(file.name)):
                what = "has the female or male model" if start else "is empty"
                raise BadInput(f"{file} {what}; expected {_EXPECTED}.")
            arrays = read_arrays(name, content)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}.") from error
    _check_is_smpl(arrays, name)
    return str(name), arrays


def _member(file: Path, stream: BinaryIO) -> tuple[Path, BinaryIO]:
    """Name and content of an archive's neutral model; of an .npz model, itself."""
    try:
        with zipfile.ZipFile(stream) as archive:
            if "v_template.npy" in archive.namelist():
                stream.seek(0)
                return file, io.BytesIO(stream.read())
            member = _choose(file, archive)
            if archive.getinfo(member).file_size > _LARGEST:
                raise BadInput(f"{member} in {file} is too large to be a model.")
            return file / member, io.BytesIO(archive.read(member))
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise BadInput(
            f"{file} is a damaged archive, or only part of one ({error}): download it again."
        ) from error


def _choose(file: Path, archive: zipfile.ZipFile) -> str:
    """The archive's member with SMPL's neutral model."""
    names = {
        member: PurePosixPath(member).name
        for member in archive.namelist()
        if not PurePosixPath(member).name.startswith("._")  # a Mac's notes on files
    }
    neutral = [member for member, name in names.items() if _NEUTRAL.search(name)]
    if neutral:
        # what SMPL's authors call it comes before what others call theirs
        return min(neutral, key=lambda m: (not names[m].lower().startswith("basicmodel"), m))
    if any(_OF_ONE_SEX.search(name) for name in names.values()):
        raise BadInput(
            f"{file} has only the female and the male model, as version 1.0 of SMPL does; "
            f"expected the neutral one: {_EXPECTED}."
        )
    members = ", ".join(sorted({name for name in names.values() if name})[:5]) or "nothing"
    raise BadInput(f"{file} has no SMPL model; found {members}; expected {_EXPECTED}.")


def _check_is_smpl(arrays: dict[str, np.ndarray], name: Path) -> None:
    """Raise BadInput unless the arrays, which fit together, have SMPL's sizes."""
    poses = arrays["posedirs"].shape[2] if "posedirs" in arrays else 0
    sizes = {
        "vertices": (len(arrays["v_template"]), VERTICES),
        "faces": (len(arrays["f"]), FACES),
        "joints": (arrays["kintree_table"].shape[1], JOINTS),
        "pose blend shapes": (poses, POSE_BLEND_SHAPES),
    }
    wrong = [f"{n} {what}, not {right}" for what, (n, right) in sizes.items() if n != right]
    betas = arrays["shapedirs"].shape[2]
    if betas < LEAST_BETAS:
        wrong.append(f"{betas} shape blend shapes, not {LEAST_BETAS} or more")
    if wrong:
        raise BadInput(
            f"{name} is not SMPL: it has {'; '.join(wrong)}. Expected {_EXPECTED}. SMPL-H, SMPL-X "
            "and other models need no preparing: give their file with --body."
        )


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    kinds = {"f": np.int32, "kintree_table": np.int64}
    try:
        with replacing(path) as place:
            np.savez(
                place,
                **{key: array.astype(kinds.get(key, np.float32)) for key, array in arrays.items()},
            )
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written: {error.strerror or error}; CHORUS_IMPORTS names another "
            "folder."
        ) from error
