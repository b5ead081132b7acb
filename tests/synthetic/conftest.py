"""What the tests of the synthetic world share: the free body and a few rendered scenes."""

from __future__ import annotations

import pytest

from chorus.body.loading import load_body
from chorus.records.keys import SampleKey, sample_seed
from chorus.synthetic.look.rendering import render
from chorus.synthetic.look.truth import truth_row
from chorus.synthetic.world.scene_settings import SceneSettings
from chorus.synthetic.world.scenes import sample_scene

NO_FAULTS = SceneSettings(
    width=256,
    height=256,
    no_person=0,
    no_object=0,
    second_person=0,
    second_object=0,
    wrong_interaction=0,
)


@pytest.fixture(scope="session")
def body():
    """The free body, from the folder of imported files; built there at first use."""
    return load_body()


@pytest.fixture(scope="session")
def worlds(body):
    """(key, scene, rendering, truth row) of a few faultless samples, 256 x 256."""
    made = []
    prompts = (
        "A person balances on a surfboard",
        "A person carries a surfboard",
        "A person paddles on a surfboard",
    )
    for index, prompt in enumerate(prompts):
        for augprompt in ("full body photo", "back view"):
            key = SampleKey("synthetic", "surfboard", prompt, augprompt, index)
            scene = sample_scene(
                "surfboard", prompt, augprompt, sample_seed(key, "image"), body, NO_FAULTS
            )
            rendering = render(scene, body)
            made.append((key, scene, rendering, truth_row(scene, rendering, body)))
    return made
