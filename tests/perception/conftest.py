"""Images and networks for the adapters' tests."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.records.keys import SampleKey
from chorus.records.rows import Image


@pytest.fixture
def image():
    """Maker of images of noise with a bright rectangle."""

    def make(height: int, width: int, number: int = 0, category: str = "surfboard") -> Image:
        pixels = np.random.default_rng(number).integers(0, 120, (height, width, 3), np.uint8)
        pixels[height // 4 : height // 2, width // 4 : width // 2] += 120
        return Image(SampleKey("model", category, "prompt", "augprompt", number), pixels)

    return make


@pytest.fixture
def assert_detections():
    """Check that detections keep the protocol for an image."""
    from chorus.geometry import masks

    def check(found, image, labels):
        height, width = image.pixels.shape[:2]
        for one in found:
            assert one.label in labels and 0 <= one.score <= 1
            assert one.box.shape == (4,) and one.box.dtype == np.float32
            left, top, right, bottom = one.box
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert masks.decode(one.mask, height, width).any()

    return check


@pytest.fixture
def assert_same():
    """Check that two lists of detections agree up to rounding."""
    from chorus.geometry import masks

    def check(found, expected, image, tolerance=0.02):
        assert [one.label for one in found] == [one.label for one in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=tolerance)
            np.testing.assert_allclose(one.score, other.score, atol=1e-4)
            pair = [masks.decode(m, *image.pixels.shape[:2]) for m in (one.mask, other.mask)]
            assert (pair[0] != pair[1]).mean() < 0.002

    return check


@pytest.fixture(scope="session")
def networks(blazepose_imports):
    """BlazePose's published networks."""
    from chorus.perception.blazepose import Blazepose

    return Blazepose(blazepose_imports)
