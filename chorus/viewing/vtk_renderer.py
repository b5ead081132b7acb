"""Draws a composition with VTK (through pyvista), off screen, in the style of the CPU renderer."""

from __future__ import annotations

import numpy as np

from chorus.viewing.rasterise import NEAR, OVERSAMPLING, shrink
from chorus.viewing.scene import BACKGROUND, Composition, View, body_colours, shell_colours


class VtkRenderer:
    """One off-screen window that draws any number of views of one composition.

    Only make one where `gl.vtk_draws()` is true. Close it when done, or use it in a `with`.
    """

    def __init__(self, composition: Composition, width: int, height: int) -> None:
        import pyvista

        self.composition = composition
        self.size = (width * OVERSAMPLING, height * OVERSAMPLING)
        self.plotter = pyvista.Plotter(off_screen=True, window_size=self.size)
        self.plotter.set_background(BACKGROUND)
        body, shells = composition.body, composition.shells
        self.body = None if body is None else self._add(body.vertices, body.faces, False)
        self.shells = None
        if shells:
            # one mesh, innermost shell first: its triangles are drawn, hence blended, in order
            counts = [len(shell.surface.vertices) for shell in shells]
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            faces = [
                shell.surface.faces + start for shell, start in zip(shells, starts, strict=True)
            ]
            vertices = np.concatenate([shell.surface.vertices for shell in shells])
            self.shells = self._add(vertices, np.concatenate(faces), True)

    def _add(self, vertices: np.ndarray, faces: np.ndarray, translucent: bool):
        """Put in a mesh that shows its own vertex colours, unlit, from outside only."""
        import pyvista

        mesh = pyvista.PolyData.from_regular_faces(vertices, faces)
        mesh["colour"] = np.full((len(vertices), 4), 255, dtype=np.uint8)
        actor = self.plotter.add_mesh(
            mesh, scalars="colour", rgba=True, lighting=False, culling="back"
        )
        if translucent:
            actor.ForceTranslucentOn()
        return mesh

    def render(self, view: View) -> np.ndarray:
        """Picture (height, width, 3) uint8."""
        R, t, _ = view.camera(self.composition, *self.size)
        if self.body is not None:
            self.body["colour"] = _bytes(body_colours(self.composition.body, R))
        if self.shells is not None:
            colours = [shell_colours(shell, R, t) for shell in self.composition.shells]
            self.shells["colour"] = _bytes(np.concatenate(colours))
        camera = self.plotter.camera
        eye = -R.T @ t
        camera.position, camera.focal_point = tuple(eye), tuple(eye + R[2])
        camera.up = tuple(-R[1])
        camera.view_angle = view.field_of_view_degrees
        camera.clipping_range = (max(NEAR, view.distance - 3), view.distance + 3)
        self.plotter.render()
        picture = self.plotter.screenshot(return_img=True).astype(np.float32) / 255
        return shrink(picture, OVERSAMPLING)

    def close(self) -> None:
        """Free the window."""
        self.plotter.close()

    def __enter__(self) -> VtkRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bytes(colours: np.ndarray) -> np.ndarray:
    return (255 * colours + 0.5).astype(np.uint8)
