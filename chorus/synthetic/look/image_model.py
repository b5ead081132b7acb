"""The synthetic world as a text-to-image model: it draws scenes and knows their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chorus.body.model import BodyModel
from chorus.generation.protocols import GeneratedImage, ImageRequest
from chorus.synthetic.look.rendering import render
from chorus.synthetic.look.truth import truth_row
from chorus.synthetic.world.scene_settings import SceneSettings
from chorus.synthetic.world.scenes import sample_scene
from chorus.vocabulary import strip_demo


def load(
    name: str,
    source: str,
    imports_dir: Path,
    device: str,
    *,
    body: BodyModel,
    settings: SceneSettings | None = None,
) -> SyntheticImageModel:
    """The image model of people with this body."""
    del name, source, imports_dir, device
    return SyntheticImageModel(body, settings)


class SyntheticImageModel:
    """Text to image by drawing and ray casting a scene; its images come with their truth."""

    def __init__(self, body: BodyModel, settings: SceneSettings | None = None):
        self._body = body
        self._settings = settings or SceneSettings()

    def generate(self, requests: Sequence[ImageRequest]) -> Iterator[GeneratedImage]:
        """One image per request; BadInput for prompts that no interaction answers to."""
        for request in requests:
            key = request.key
            scene = sample_scene(
                strip_demo(key.category),
                key.prompt,
                key.augprompt,
                request.seed,
                self._body,
                self._settings,
            )
            rendering = render(scene, self._body)
            yield GeneratedImage(rendering.image, truth_row(scene, rendering, self._body))
