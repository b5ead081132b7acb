"""The command line: `chorus <stage> --option value …`; scripts/ are thin wrappers around it.

Options are the fields of each stage's `Options` dataclass, their docstrings are the help. Errors a
user can mend end in one sentence and status 2. A run that left out whole tables or categories has
status 1, as does a stage that made nothing because samples failed, and one that works on tables
alone (filter, refine, quality, calibrate) of which a sample failed. Single images that a network
could not use, and what follows of them, are reported and do not change the status.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from chorus import __version__
from chorus.engine.command_result import CommandResult
from chorus.errors import ChorusError, unknown_name
from chorus.pipeline import STEPS

_STEPS = {step.name: (step.module, step.about) for step in STEPS}
_OTHERS = {
    "run": ("run", "take all steps in order, from prompts to pictures"),
    "evaluate": ("evaluate", "score distributions on test images: PAP"),
    "report": ("report", "print the PAP tables of what was evaluated"),
    "score": ("score", "score one voxel field, of any method, on test images"),
    "truth": ("truth", "compare distributions with the synthetic world's known 3D truth"),
    "touch": ("touch", "say where objects touch the body, from their distributions"),
    "ask": ("ask", "answer a sentence with the nearest prompt's contacts"),
    "reconstruct": ("reconstruct", "say where the object of an image is, around its person"),
    "place": ("place", "put an object's mesh where it most likely is around a person"),
    "ablate": ("ablate", "measure what each part of the method is worth"),
    "testset": ("testset", "make the synthetic test set"),
    "extend_eft": ("extend_eft", "build the test set from COCO val2014 and its EFT fits"),
    "train": ("train", "train a prior of poses for `refine --refinement score`"),
    "scorehmr": ("scorehmr", "evaluate and train ScoreHMR's denoiser on its own files"),
    "import": (
        "import_images",
        "take images, masks, keypoints and poses of your own instead of our perception",
    ),
    "import_published": (
        "import_published",
        "fetch and convert the results that the release published",
    ),
    "perceive": ("perceive", "find persons in photographs: keypoints, masks, bodies, a picture"),
    "hands": ("hands", "reconstruct hands of photographs, FreiHAND and HO-3D"),
    "animals": ("animals", "learn four-legged animals from few labels and selected ones"),
    "export": ("export", "write COCO JSON, npz and GLB for other programs"),
    "status": ("status", "count what is done, failed and retained"),
    "verify": ("verify", "check a results tree and say what to rerun"),
    "prune": ("prune", "give back the space of images that all networks have seen"),
    "doctor": ("doctor", "say what is installed, which models can run, and what is missing"),
    "download": ("download", "fetch the networks that are not ours to ship, with their licences"),
}

COMMANDS = {
    **_STEPS,
    **{name: (f"chorus.commands.{module}", about) for name, (module, about) in _OTHERS.items()},
}
"""Every command's module and what it does: the method's steps, then the others."""

# What the packages that setup.py always installs are imported as.
# fmt: off
_CORE = frozenset({
    "anny", "embreex", "filelock", "imageio", "imageio_ffmpeg", "jaxtyping", "matplotlib",
    "numba", "numpy", "cv2", "PIL", "pyarrow", "pycocotools", "yaml", "roma", "rtree", "skimage",
    "scipy", "torch", "tqdm", "trimesh", "tyro", "warp",
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

    module = importlib.import_module(COMMANDS[command][0])
    options = tyro.cli(
        module.Options, prog=f"chorus {command}", args=arguments, use_underscores=True
    )
    with _termination_interrupts():
        made = module.run(options, partial(tqdm, disable=None, dynamic_ncols=True))
        ok = [_show(result) for result in ([made] if isinstance(made, CommandResult) else made)]
    return 0 if all(ok) else 1


def _show(result: CommandResult) -> bool:
    """Print what a command, or one step of `run`, says in the end; whether all went well."""
    if result.text:
        print(result.text)
    for problem in result.problems:
        print(f"  ! {problem}", file=sys.stderr)
    if result.line:
        print(result.line)
    sys.stdout.flush()
    return result.ok and result.complete


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

    def listed(names: Iterable[str]) -> list[str]:
        return [f"  {name:<{width}}  {COMMANDS[name][1]}" for name in names]

    return "\n".join(
        [
            "chorus learns where objects are in 3D around the person who uses them.",
            "",
            "usage: chorus <command> [options]      chorus <command> --help",
            "",
            "the method, step by step",
            *listed(_STEPS),
            "",
            "everything else",
            *listed(_OTHERS),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
