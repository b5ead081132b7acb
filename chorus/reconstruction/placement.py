"""`place`: where an object of known shape most likely is around a person (docs/reconstruction.md).

A placement is scored by the posed distribution over the object's volume, less what lies inside of
the body, less what disagrees with a mask if there is one. All rotations and translations are tried
by correlation, the best are refined by gradient, and what is left apart are the modes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chorus.body.model import BodyModel, check_pose, star_pose
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.reconstruction.contact import check_canonical
from chorus.reconstruction.placement_mesh import ObjectMesh, Unit, object_mesh, read_mesh
from chorus.reconstruction.placement_search import (
    Similarities,
    correlate,
    distinct,
    refined,
    spread_rotations,
)
from chorus.reconstruction.placement_size import fitting_size
from chorus.reconstruction.placement_terms import ObjectView, Silhouette, body_depth, sampled
from chorus.reconstruction.reconstruct import posed_body

if TYPE_CHECKING:
    from pathlib import Path

    import trimesh

_DEPTH_CELLS = 96
"""The body's inside is looked at in voxels of 3 cm: an arm is hardly wider than the field's."""
_FEW, _SOME = 60, 200
"""Points that stand for the object while placements are compared, and while they are refined."""
_COMPARED = 300
"""The best first placements, among which distinct ones are sought."""
_UNUSUAL = 0.005
"""Mean share of the sharpened field from which down a placement is far from where objects were."""
_MISSED = 0.15
"""A silhouette term from here on is worth a warning: on seed 7 it is 0.01 to 0.05."""


@dataclass(frozen=True)
class PlacementSettings:
    """Constants of placing, chosen on seed 7 of the synthetic world (docs/reconstruction.md)."""

    sharpness: float = 4.0
    """Power of the occupancy, as a share of its largest, that is averaged over the object's
    volume: what was never ruled out is faint and everywhere, and would smear the placement."""
    penetration: float = 25.0
    """Weight of the mean depth of the object's points inside of the body, per metre."""
    silhouette: float = 6.0
    """Weight of the disagreement with the mask, where there is one."""
    concentration: float = 60.0
    """Probabilities of modes are in proportion to exp(concentration * score). Much less than the
    number of voxels, since neighbouring ones say the same."""
    rotations: int = 576
    """Rotations that are tried, about 25 degrees apart."""
    starts: int = 48
    """Placements that are refined."""
    steps: int = 40
    """Steps of refinement."""
    modes: int = 4
    """Most modes that are returned."""

    def __post_init__(self) -> None:
        for name in ("sharpness", "concentration"):
            if not getattr(self, name) > 0:
                raise BadInput(f"{name} must be above 0, found {getattr(self, name)}.")
        for name in ("penetration", "silhouette"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"{name} must be 0 or more, found {getattr(self, name)}.")
        for name in ("rotations", "starts", "steps", "modes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be 1 or more, found {getattr(self, name)}.")


@dataclass(frozen=True, eq=False)
class Placement:
    """One way in which the object may lie, a mode."""

    matrix: Float[np.ndarray, "4 4"]
    """From the mesh's own frame and unit to the body frame, metres: a similarity."""
    scale: float
    """Metres per unit of the mesh."""
    probability: float
    """Among the modes, which sum to one."""
    terms: dict[str, float]
    """`occupancy`, `penetration` (metres), `silhouette` (with a mask), and their `score`."""


@dataclass(frozen=True, eq=False)
class Placements:
    """What `place` found."""

    modes: tuple[Placement, ...]
    """The likeliest first."""
    mesh: ObjectMesh
    """The object that was placed."""
    unit: str
    """What its lengths were taken for: a unit's name, or `any`."""
    notes: tuple[str, ...]
    """What was guessed or mended, a sentence each."""


def place(
    mesh: str | Path | trimesh.Trimesh | ObjectMesh,
    field: Distribution,
    body: BodyModel,
    pose: Float[Tensor, "24 3"] | None = None,
    image: ObjectView | None = None,
    *,
    unit: Unit | None = None,
    settings: PlacementSettings | None = None,
) -> Placements:
    """The likeliest rigid placements, and scales, of an object around a person.

    mesh: a file, a trimesh, or an `ObjectMesh`; field: the canonical distribution of the object's
    category or of one of its prompts, of this body; pose (24, 3) axis-angle, radians, whose global
    rotation counts as zero: the star pose if left out; image: where the object is seen.
    unit: of the mesh's lengths; if left out, the one that fits the distribution, and if none does
    the scale is found as well. BadInput for a mesh that is none, a field of another body or with
    nothing in it, an empty mask, or a pose that is none.
    """
    settings = settings or PlacementSettings()
    thing = mesh if isinstance(mesh, ObjectMesh) else _object_of(mesh)
    check_canonical(field, body)
    pose = star_pose() if pose is None else torch.as_tensor(np.asarray(pose, np.float32))
    scene = _Scene.of(field, body, pose, image, settings)
    size = fitting_size(
        thing.size, thing.inside - thing.centre, scene.attractions[0], scene.side, unit
    )
    shape = _Shape.of(thing, size.metres, scene, settings)
    rotations = spread_rotations(settings.rotations)
    with torch.no_grad():
        start = shape.starts(rotations, size.factors)
    _, placed = refined(start, shape.part(_SOME).score, settings.steps, size.free)
    with torch.no_grad():
        modes = shape.modes(placed)
    notes = [*thing.notes, *size.notes]
    missed = modes[0].terms.get("silhouette", 0)
    if missed > _MISSED:
        notes.append(
            f"no placement agrees with the mask (off by {missed:.2f} of 2 at best): it may be the "
            "mask of another person's object, or the mesh of another object."
        )
    elif modes[0].terms["occupancy"] < _UNUSUAL:
        notes.append(
            "the likeliest placement is where objects of this distribution have hardly been seen: "
            "it follows the mask alone, and how far away the object is remains open."
        )
    return Placements(modes, thing, size.unit, tuple(notes))


def _object_of(mesh: str | Path | trimesh.Trimesh) -> ObjectMesh:
    if hasattr(mesh, "faces"):
        return object_mesh(mesh.vertices, mesh.faces)
    return read_mesh(mesh)


@dataclass(frozen=True, eq=False)
class _Scene:
    """The person, the field and the mask, as placements are scored against them."""

    field: Float[Tensor, "N N N"]
    """The posed occupancy as a share of its largest, sharpened: from 0 to 1."""
    depth: Float[Tensor, "M M M"]
    """How deep a place lies in the body, metres."""
    silhouette: Silhouette | None
    side: float
    """Edge of the cube that both are over, metres."""
    attractions: tuple[Float[Tensor, "N N N"], ...]
    """What translations are tried in: the field; with a mask, the field less what the mask rules
    out, and the part of the field that it does not."""

    @classmethod
    def of(
        cls,
        distribution: Distribution,
        body: BodyModel,
        pose: Float[Tensor, "24 3"],
        image: ObjectView | None,
        settings: PlacementSettings,
    ) -> _Scene:
        check_pose(pose)
        posed = distribution.pose(body, pose, threads=torch.get_num_threads())
        largest = float(posed.probability.max())
        if not largest > 0:
            raise BadInput(
                f"the distribution of {distribution.category or 'this object'!r} is zero "
                "everywhere around this pose; aggregate samples that were retained."
            )
        grid, side = posed.grid, posed.grid.side
        vertices = posed_body(body, pose).vertices.double().cpu().numpy()
        faces = body.faces.cpu().numpy()
        field = torch.from_numpy(posed.probability / largest).float() ** settings.sharpness
        depth = torch.from_numpy(body_depth(vertices, faces, VoxelGrid(_DEPTH_CELLS, side)))
        silhouette, attractions = None, (field,)
        if image is not None:
            silhouette = Silhouette.of(image, (vertices, faces))
            outside = silhouette.outside(torch.from_numpy(grid.centres())).reshape(grid.shape)
            # A small object's mask is narrower than the voxels that translations are tried by, so
            # that the first prefers free air, far behind, where its cone is wide.
            attractions = field - settings.silhouette * outside, field * (1 - outside)
        return cls(field, depth, silhouette, side, attractions)


@dataclass(frozen=True, eq=False)
class _Shape:
    """An object's points about its middle, metres, and how placements of them are scored."""

    inside: Float[Tensor, "P 3"]
    surface: Float[Tensor, "S 3"]
    thing: ObjectMesh
    metres: float
    """Per unit of the mesh."""
    scene: _Scene
    settings: PlacementSettings

    @classmethod
    def of(
        cls, thing: ObjectMesh, metres: float, scene: _Scene, settings: PlacementSettings
    ) -> _Shape:
        # In an order of chance, so that the first few stand for all.
        order = np.random.default_rng(0).permutation
        inside, surface = (
            torch.from_numpy(metres * (points[order(len(points))] - thing.centre)).float()
            for points in (thing.inside, thing.surface)
        )
        return cls(inside, surface, thing, metres, scene, settings)

    def part(self, count: int) -> _Shape:
        """The same by fewer points."""
        return replace(self, inside=self.inside[:count], surface=self.surface[:count])

    def terms(self, placed: Similarities) -> dict[str, Float[Tensor, " B"]]:
        """The terms of placements, (B,) each, and the `score`, in which more is better."""
        points, scene, settings = placed(self.inside), self.scene, self.settings
        occupancy = sampled(scene.field[None], scene.side, points)[0].mean(dim=-1)
        penetration = sampled(scene.depth[None], scene.side, points)[0].mean(dim=-1)
        terms = {"occupancy": occupancy, "penetration": penetration}
        # Cosine of the field and the object's volume, of which a mean alone would shrink it.
        score = occupancy * (1.5 * placed.log_scale).exp() - settings.penetration * penetration
        if scene.silhouette is not None:
            terms["silhouette"] = scene.silhouette(placed(self.surface))
            score = score - settings.silhouette * terms["silhouette"]
        return {**terms, "score": score}

    def score(self, placed: Similarities) -> Float[Tensor, " B"]:
        """(B,) of placements; more is better."""
        return self.terms(placed)["score"]

    def starts(self, rotations: Float[Tensor, "R 4"], factors: Sequence[float]) -> Similarities:
        """The best distinct placements in all rotations, translations and some sizes."""
        parts = [self._starts(of, rotations, factors) for of in self.scene.attractions]
        return Similarities(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _starts(
        self,
        volume: Float[Tensor, "N N N"],
        rotations: Float[Tensor, "R 4"],
        factors: Sequence[float],
    ) -> Similarities:
        """An equal share of the starts, in one of the volumes that translations are tried in."""
        tried = []
        for factor in factors:
            points = self.inside[:_SOME] * factor
            found = correlate(volume, self.scene.side, points, rotations)[1]
            tried.append(found._replace(log_scale=found.log_scale + math.log(factor)))
        every = Similarities(*(torch.cat(values) for values in zip(*tried, strict=True)))
        few = self.part(_FEW)
        scores = few.score(every)
        top = scores.topk(min(_COMPARED, len(scores)))
        best = every.take(top.indices)
        size = self.metres * self.thing.size
        share = max(1, self.settings.starts // len(self.scene.attractions))
        kept = distinct(top.values, best(few.inside), size, share)
        return best.take(torch.tensor(kept))

    def modes(self, placed: Similarities) -> tuple[Placement, ...]:
        """Refined placements as distinct modes with their probabilities."""
        settings, size = self.settings, self.metres * self.thing.size
        few = self.part(_SOME)
        kept = distinct(self.score(placed), placed(few.inside), size, settings.modes)
        placed = placed.take(torch.tensor(kept))
        terms = self.terms(placed)
        shares = torch.softmax(settings.concentration * terms["score"], dim=0)
        scales = self.metres * placed.log_scale.exp()
        found = []
        for at in range(len(kept)):
            turn = float(scales[at]) * placed.rotation[at].double().numpy()
            matrix = np.eye(4)
            matrix[:3, :3] = turn
            matrix[:3, 3] = placed.translation[at].double().numpy() - turn @ self.thing.centre
            found.append(
                Placement(
                    matrix=matrix,
                    scale=float(scales[at]),
                    probability=float(shares[at]),
                    terms={name: float(values[at]) for name, values in terms.items()},
                )
            )
        return tuple(found)
