"""The command line: `chorus <stage> --option value …`; scripts/ are thin doors onto it.

Options are the fields of each stage's `Options` dataclass, their docstrings are the help. Errors a
user can mend end in one sentence and status 2. A run that left out whole tables or categories has
status 1, as does a stage whose every sample failed; single samples that failed are reported and do
not change the status.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from chorus import __version__
from chorus.errors import ChorusError, unknown_name

COMMANDS = {
    "prompts": "write prompts for categories",
    "images": "generate images for every prompt and augprompt",
    "segment": "find persons and objects in the images",
    "humans": "fit a body to every person",
    "keypoints": "find the 2D keypoints of every person",
    "filter": "judge which images show one person using one object",
    "calibrate": "anchor a perspective camera to every retained person",
    "aggregate": "accumulate the 3D distributions",
    "view": "make stills, turntables, the interactive page and the contact sheet",
    "export": "write COCO JSON, npz and GLB for other programs",
    "extend_eft": "build the test set from COCO val2014 and its EFT fits",
    "import": "take images, masks, keypoints and poses of your own instead of our perception",
    "import_published": "fetch and convert the results that the release published",
    "truth": "compare distributions with the synthetic world's known 3D truth",
    "testset": "make the synthetic test set",
    "evaluate": "score distributions on test images: PAP",
    "report": "print the PAP tables of what was evaluated",
    "ablate": "measure what each part of the method is worth",
    "score": "score one voxel field, of any method, on test images",
    "download": "fetch the networks that are not ours to ship, with their licences",
    "doctor": "say what is installed, which models can run, and what is missing",
    "prune": "give back the space of images that all networks have seen",
    "status": "count what is done, failed and retained",
    "verify": "check a results tree and say what to rerun",
}

# Commands whose module has another name: `stages.report` is what stages tell their user, and
# `import` cannot be a module.
_MODULES = {"report": "report_pap", "import": "import_images"}

# What the packages that setup.py always installs are imported as.
# fmt: off
_CORE = frozenset({
    "anny", "embreex", "filelock", "imageio", "imageio_ffmpeg", "jaxtyping", "matplotlib",
    "numba", "numpy", "cv2", "PIL", "pyarrow", "pycocotools", "yaml", "roma", "rtree", "skimage",
    "scipy", "torch", "tqdm", "trimesh", "tyro",
})
# fmt: on


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"chorus {__version__}")
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        logging.getLogger("chorus").setLevel(_log_level())
        return _run(arguments[0], arguments[1:])
    except ChorusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in _CORE:
            raise
        print(
            f"error: the package {error.name} is missing; activate the environment "
            "(. .venv/bin/activate) or run sh scripts/setup_venv.sh.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, run the command again.", file=sys.stderr)
        return 130


def _log_level() -> str:
    level = os.environ.get("CHORUS_LOG", "INFO").upper()
    known = logging.getLevelNamesMapping()
    if level not in known:
        raise unknown_name("level in CHORUS_LOG:", level, known)
    return level


def _run(command: str, arguments: Sequence[str]) -> int:
    if command not in COMMANDS:
        raise unknown_name("command", command, COMMANDS)
    import tyro
    from tqdm import tqdm

    stage = importlib.import_module(f"chorus.stages.{_MODULES.get(command, command)}")
    options = tyro.cli(
        stage.Options, prog=f"chorus {command}", args=arguments, use_underscores=True
    )
    with _termination_interrupts():
        report = stage.run(options, partial(tqdm, disable=None, dynamic_ncols=True))
    if report.text:
        print(report.text)
    for problem in report.problems:
        print(f"  ! {problem}", file=sys.stderr)
    if report.line:
        print(report.line)
    sys.stdout.flush()
    return 0 if report.ok else 1


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM, which SLURM sends before it kills, ends a run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "chorus learns where objects are in 3D around the person who uses them.",
            "",
            "usage: chorus <command> [options]      chorus <command> --help",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
