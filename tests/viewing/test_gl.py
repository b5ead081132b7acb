"""The probe for off-screen GL and the way out where there is none."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from viewing_samples import box_body, displayed

from chorus.viewing import gl
from chorus.viewing.figures import renderer
from chorus.viewing.overlay import body_overlay
from chorus.viewing.scene import View, compose, frame


@pytest.fixture
def unprobed(monkeypatch):
    """No probe result is remembered, before and after the test, and no variable is left set."""
    for name in (gl.SWITCH, gl.VTK_VARIABLE, gl.PYRENDER_VARIABLE):
        monkeypatch.setenv(name, "")  # so that what the test sets is undone
        monkeypatch.delenv(name)
    gl.vtk_draws.cache_clear()
    gl.pyrender_draws.cache_clear()
    yield
    gl.vtk_draws.cache_clear()
    gl.pyrender_draws.cache_clear()


def test_a_crashing_driver_does_not_take_us_along():
    assert not gl.survives("import os; os.abort()", "CHORUS_TEST_VARIABLE", "x")
    assert gl.survives(
        "import os; assert os.environ['CHORUS_TEST_VARIABLE'] == 'x'", "CHORUS_TEST_VARIABLE", "x"
    )


def test_probes_once_and_keeps_the_way_that_works(unprobed, monkeypatch):
    tried = []

    def only_the_second(code, variable, value):
        tried.append(value)
        return value == "osmesa"

    monkeypatch.setattr(gl, "survives", only_the_second)
    monkeypatch.setattr(gl, "_ways", lambda linux: linux)
    assert gl.pyrender_draws() and gl.pyrender_draws()
    assert tried == ["egl", "osmesa"]
    assert gl.os.environ[gl.PYRENDER_VARIABLE] == "osmesa"


def test_switched_off_by_the_environment(unprobed, monkeypatch):
    monkeypatch.setenv(gl.SWITCH, "off")
    monkeypatch.setattr(gl, "survives", lambda *_: pytest.fail("must not probe"))
    assert not gl.vtk_draws()


def test_without_gl_the_cpu_draws_the_same_picture(unprobed, monkeypatch, caplog):
    monkeypatch.setattr(gl, "survives", lambda *_: False)
    composition = compose(displayed(), box_body())
    [view] = frame(composition, [View(48)])
    with caplog.at_level(logging.INFO), renderer(composition, 64, 64, "gl") as draw:
        fallback = draw(view)
    assert "pictures are drawn on the CPU" in caplog.text
    with renderer(composition, 64, 64, "cpu") as draw:
        np.testing.assert_array_equal(fallback, draw(view))


def test_overlay_without_gl(unprobed, monkeypatch):
    monkeypatch.setattr(gl, "survives", lambda *_: False)
    image = np.full((80, 100, 3), 200, dtype=np.uint8)
    body = box_body()
    K = np.array([[90, 0, 50], [0, 90, 40], [0, 0, 1.0]])
    drawn = body_overlay(
        image, body.vertices, body.faces, np.diag([1.0, -1, -1]), [0, 0, 3], K, kind="gl"
    )
    changed = np.argwhere((drawn != image).any(2))
    # 0.5 m x 1.6 m seen from 2.85 m with 90 px: about 16 x 51 px around the middle
    assert np.abs(changed.mean(0) - (39.5, 49.5)).max() < 0.6
    assert np.abs(np.ptp(changed, axis=0) - (50.5, 15.8)).max() < 2


@pytest.mark.parametrize("fault", ["nan", "behind"])
def test_overlay_of_an_unusable_body_leaves_the_image(fault, caplog):
    image = np.full((20, 20, 3), 90, dtype=np.uint8)
    body = box_body()
    t = [0, 0, -3] if fault == "behind" else [0, 0, float("nan")]
    K = np.array([[20, 0, 10], [0, 20, 10], [0, 0, 1.0]])
    drawn = body_overlay(image, body.vertices, body.faces, np.eye(3), t, K, kind="cpu")
    np.testing.assert_array_equal(drawn, image)
    assert "not drawn" in caplog.text


def test_vtk_draws_what_the_cpu_draws():
    if not gl.vtk_draws():
        pytest.skip("no off-screen GL for VTK on this machine")
    composition = compose(displayed(), box_body())
    views = frame(composition, [View(48), View(200, 40)])
    with renderer(composition, 160, 120, "gl") as by_gl, renderer(composition, 160, 120) as by_cpu:
        for view in views:
            difference = np.abs(by_gl(view).astype(int) - by_cpu(view))
            assert difference.mean() < 1.5


def test_pyrender_draws_what_the_cpu_draws():
    if not gl.pyrender_draws():
        pytest.skip("no off-screen GL for pyrender on this machine")
    image = np.full((120, 160, 3), 200, dtype=np.uint8)
    body = box_body()
    K = np.array([[150, 0, 83], [0, 150, 55], [0, 0, 1.0]])
    [view] = frame(compose(displayed(), body), [View(30, 20)])
    where = (view.rotation, np.array([0.1, -0.05, 3.2]), K)
    by_gl, by_cpu = (
        body_overlay(image, body.vertices, body.faces, *where, kind=kind) for kind in ("gl", "cpu")
    )
    difference = np.abs(by_gl.astype(int) - by_cpu)
    assert difference.mean() < 1.0
    assert (by_cpu != image).any()
