"""Distributions and their body as a recording (.rrd) for Rerun's viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chorus.errors import Unavailable
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.scene import BODY_COLOUR, compose
from chorus.viewing.surfaces import Surface

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.occupancy.distribution import Distribution


class Recording:
    """A recording in the making: metres, y up. Unavailable without rerun-sdk."""

    def __init__(self) -> None:
        try:
            import rerun
        except ImportError as error:
            raise Unavailable(
                "--formats rerun needs the package rerun-sdk: "
                "pip install -c constraints.txt -e '.[rerun]'"
            ) from error
        self._rerun = rerun
        self._stream = rerun.RecordingStream("chorus")
        self._binary = self._stream.binary_stream()
        self._stream.log("/", rerun.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)

    def add(
        self,
        place: Sequence[str],
        distribution: Distribution,
        body: BodyModel,
        threshold: float | None = None,
    ) -> None:
        """Log the body and the nested shells of stills below an entity of these names.

        threshold: probability of the outermost shell. BadInput if the refined field does not
        reach it.
        """
        composed = compose(
            DisplayedDistribution.of(distribution), DisplayedBody.of(body), threshold
        )
        self._log([*place, "body"], composed.body, BODY_COLOUR, 1.0)
        for shell in composed.shells:
            name = f"probability {shell.level:.3f}"
            self._log([*place, name], shell.surface, shell.colour, shell.opacity)

    def content(self) -> bytes:
        """The file."""
        return self._binary.read()

    def _log(
        self,
        place: Sequence[str],
        mesh: DisplayedBody | Surface,
        colour: Sequence[float],
        opacity: float,
    ) -> None:
        logged = self._rerun.Mesh3D(
            vertex_positions=mesh.vertices,
            triangle_indices=mesh.faces,
            vertex_normals=mesh.normals,
            albedo_factor=[*colour, opacity],
        )
        self._stream.log(list(place), logged, static=True)  # a list is escaped part by part
