"""Rows of the reconstruction task for objects of known shape: what `chorus place` finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from chorus.body.model import BodyModel
from chorus.commands.reconstructing.methods import camera_of
from chorus.commands.reconstructing.true_scenes import TrueScene
from chorus.evaluation.reconstruction_scores import Estimate
from chorus.occupancy.distribution import Distribution
from chorus.reconstruction.placement import place
from chorus.reconstruction.placement_mesh import object_mesh
from chorus.reconstruction.placement_terms import ObjectView
from chorus.records.keys import TOTAL


def of_placements(
    fields: Sequence[Distribution], body: BodyModel, name: str
) -> dict[str, Callable[[TrueScene], Estimate]]:
    """The object's own mesh, in metres, placed without its mask and with it.

    fields: of the interactions, of which the scene's is taken (what the person does is known; where
    it has none, the total's or the first), and of the category in total, for two rows more; name:
    of their preset.
    """
    known = {field.prompt: field for field in fields}
    methods = {}
    for masked in (False, True):
        ending = f"{' with mask' if masked else ''}, {name}"
        if set(known) - {TOTAL}:
            methods[f"mesh placed{ending}"] = _placing(known, None, body, masked)
        if TOTAL in known:
            methods[f"mesh placed{ending}, all prompts"] = _placing(known, TOTAL, body, masked)
    return methods


def _placing(
    fields: dict[str, Distribution], prompt: str | None, body: BodyModel, masked: bool
) -> Callable[[TrueScene], Estimate]:
    def placed(scene: TrueScene) -> Estimate:
        image = scene.image
        view = ObjectView(image.mask, camera_of(scene)) if masked else None
        thing = object_mesh(scene.thing.vertices, scene.thing.faces)
        # an interaction of which nothing was retained has no distribution of its own
        likely = (prompt or scene.prompt, TOTAL, *fields)
        field = fields[next(name for name in likely if name in fields)]
        found = place(thing, field, body, torch.as_tensor(image.pose), view, unit="m").modes[0]
        moved = found.matrix @ np.linalg.inv(scene.thing.object_to_body)
        points = np.concatenate([scene.thing.surface, scene.thing.volume])
        points = points @ moved[:3, :3].T + moved[:3, 3]
        centroid = moved[:3, :3] @ scene.thing.centroid + moved[:3, 3]
        return Estimate(centroid, points, found.matrix[:3, :3] / found.scale)

    return placed
