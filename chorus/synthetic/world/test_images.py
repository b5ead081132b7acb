"""The scenes that test images are drawn from, in the order in which they are tried.

A scene depends on its sample's key and the seed alone, so a test image's scene, of which the table
keeps the picture's content but not the objects, can be drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from chorus.records.keys import SampleKey, sample_seed
from chorus.synthetic.world.scene_settings import SceneSettings

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.synthetic.world.scene import Scene

VIEWS = ("original", ", realistic photo", ", seen from various views", ", full body photo")
"""Augprompts whose cameras take the test images: the ones that ask for no single side or limb and
keep the person large."""
DRAWS = 150
"""Most draws for one test image. Of "rides on skis" about one draw in twelve is one, of other
interactions more."""


def faultless(settings: SceneSettings) -> SceneSettings:
    """The same world without deliberate faults."""
    return replace(
        settings,
        no_person=0.0,
        no_object=0.0,
        second_person=0.0,
        second_object=0.0,
        wrong_interaction=0.0,
    )


def prompt_of(key: SampleKey) -> str:
    """The prompt of a test image: the category's interactions take turns."""
    from chorus.synthetic.world.interactions import interactions

    known = interactions(key.category)
    return known[key.index % len(known)].plain.prompts[0]


def candidate_scenes(
    key: SampleKey, seed: int, body: BodyModel, settings: SceneSettings
) -> Iterator[Scene]:
    """DRAWS scenes of one person who uses one object, any of which may be the test image's.

    key: the test image's; seed: the test set's; settings: without faults (`faultless`).
    """
    from chorus.synthetic.world.scenes import sample_scene

    prompt = prompt_of(key)
    for draw in range(DRAWS):
        own_seed = sample_seed(key, f"test {draw}", seed)
        view = VIEWS[own_seed % len(VIEWS)]
        yield sample_scene(key.category, prompt, view, own_seed, body, settings)
