"""Contact maps against the true contacts of the synthetic world's scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from chorus.body.model import BodyModel, star_body
from chorus.commands.touching.chosen import Aggregated
from chorus.commands.truth import known_objects
from chorus.errors import BadInput
from chorus.reconstruction.contact import (
    Agreement,
    ContactMap,
    agreement,
    true_contact,
    vertex_areas,
)
from chorus.records.results_tree import ResultsTree

SCENES = 10
"""Scenes of each prompt that are looked at, the first ones: about 30 of each category."""


@dataclass
class Scores:
    """Figures of one prompt, a value per scene in which anything is touched."""

    vertices: list[Agreement] = field(default_factory=list)
    """Of vertices, each counted alike."""
    area: list[Agreement] = field(default_factory=list)
    """Of vertices, each counted by its area."""
    parts: list[Agreement] = field(default_factory=list)
    """Of the body's parts: any vertex touched."""
    most: list[Agreement] = field(default_factory=list)
    """Of vertices, of the best set that is the same for all scenes: no map without an image can do
    better."""

    def __add__(self, other: Scores) -> Scores:
        return Scores(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def row(self) -> list[str]:
        """Number of scenes, and the means in percent, as a table's cells."""
        means = (
            *np.mean(self.vertices, axis=0),
            *(np.mean([each.f1 for each in of]) for of in (self.most, self.area, self.parts)),
        )
        return [str(len(self.vertices)), *(f"{100 * value:.1f}" for value in means)]


HEADER = ["scenes", "precision", "recall", "F1", "F1 at most", "F1 of area", "F1 of parts"]


def score(
    tree: ResultsTree, model: str, which: Aggregated, contact: ContactMap, body: BodyModel
) -> Scores:
    """A prompt's map against its scenes; BadInput if none is known or touched."""
    shards = tree.shards("synthetic_truth", model, (which.category,), (which.prompt,))
    truths = [true for true in islice(_touched(tree, shards, body), SCENES) if true.any()]
    if not truths:
        raise BadInput(f"{which.name}: in none of its scenes is the body touched.")
    areas = vertex_areas(star_body(body).vertices.double().numpy(), body.faces.numpy())
    segments = body.part_of_vertex.numpy()
    present = np.unique(segments)
    best = best_set(np.array(truths))
    found_parts = np.array([part.touched for part in contact.parts])
    scores = Scores()
    for true in truths:
        parts = np.array([true[segments == number].any() for number in present])
        scores.vertices.append(agreement(contact.touched, true))
        scores.area.append(agreement(contact.touched, true, areas))
        scores.parts.append(agreement(found_parts, parts))
        scores.most.append(agreement(best, true))
    return scores


def best_set(truths: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices touched in at least so many of (S, V) scenes that mean F1 is highest."""
    share = truths.mean(axis=0)
    sets = [share >= least for least in np.unique(share[share > 0])]
    means = [np.mean([agreement(each, true).f1 for true in truths]) for each in sets]
    return sets[int(np.argmax(means))]


def _touched(tree: ResultsTree, shards: list, body: BodyModel) -> Iterator[np.ndarray]:
    """(V,) bool for each known scene: the vertices that the object touches."""
    from chorus.synthetic.world.objects import contains

    for person, thing, mesh in known_objects(tree, shards):
        pose = torch.tensor(person["pose"]).reshape(24, 3)
        pose[0] = 0
        vertices = body.pose(pose, torch.tensor(person["betas"])).vertices.double().numpy()
        yield true_contact(
            vertices,
            np.array(thing["object_to_body"]).reshape(4, 4),
            (np.asarray(mesh.vertices), np.asarray(mesh.faces)),
            lambda points, mesh=mesh: contains(mesh, points),
        )
