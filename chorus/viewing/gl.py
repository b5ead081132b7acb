"""Finds out whether this machine can draw with GL and no display, without risking the program.

VTK and pyrender end the whole process, some drivers by a segmentation fault, where no off-screen
GL exists. So each way is tried once in a short-lived process of its own; only one that has drawn a
picture there is used here. `CHORUS_GL=off` in the environment skips GL altogether.
"""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
from typing import Literal

log = logging.getLogger(__name__)

Renderer = Literal["cpu", "gl"]
"""`cpu` draws anywhere and the same everywhere; `gl` draws with VTK or pyrender off screen, if that
works here. GL in software (Mesa's llvmpipe) takes three to ten times as long as `cpu`."""

SWITCH = "CHORUS_GL"
PROBE_SECONDS = 60
VTK_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
PYRENDER_VARIABLE = "PYOPENGL_PLATFORM"

VTK_PROBE = """
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(32, 32))
plotter.add_mesh(pyvista.Sphere(), color="red")
assert plotter.screenshot(return_img=True).std() > 1
"""
PYRENDER_PROBE = """
import numpy, pyrender
scene = pyrender.Scene(ambient_light=(1, 1, 1))
scene.add(pyrender.PerspectiveCamera(1.0))
renderer = pyrender.OffscreenRenderer(32, 32)
assert renderer.render(scene)[0].shape == (32, 32, 3)
"""


def _ways(linux: tuple[str, ...]) -> tuple[str, ...]:
    """Values to try for a variable; elsewhere than on Linux the library's own choice ("")."""
    return linux if sys.platform.startswith("linux") else ("",)


def survives(code: str, variable: str, value: str) -> bool:
    """Whether `code` runs to its end in a process of its own with this environment variable."""
    environment = {**os.environ, variable: value}
    if not value:
        environment.pop(variable)
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        log.debug("GL probe with %s=%s did not finish: %s", variable, value, fault)
        return False
    return result.returncode == 0


def _first_way(name: str, code: str, variable: str, values: tuple[str, ...]) -> bool:
    """Try the values in turn; keep the first that draws in this process's environment."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        log.info("%s is switched off by %s; pictures are drawn on the CPU.", name, SWITCH)
        return False
    given = os.environ.get(variable)
    for value in (given,) if given else values:
        if survives(code, variable, value):
            if value:
                os.environ[variable] = value
            log.debug("%s draws off screen with %s=%s", name, variable, value or "(default)")
            return True
    log.info(
        "%s cannot draw without a display here (no working EGL or OSMesa), so pictures are drawn "
        "on the CPU instead; on Debian or Ubuntu `apt install libegl1 libgl1-mesa-dri` brings EGL.",
        name,
    )
    return False


@functools.cache
def vtk_draws() -> bool:
    """Whether VTK can draw off screen; sets the environment for it. Probed once per process."""
    ways = _ways(("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"))
    return _first_way("VTK", VTK_PROBE, VTK_VARIABLE, ways)


@functools.cache
def pyrender_draws() -> bool:
    """Whether pyrender can draw off screen; sets the environment. Probed once per process."""
    return _first_way("pyrender", PYRENDER_PROBE, PYRENDER_VARIABLE, _ways(("egl", "osmesa")))
