"""The picture and the GLB of placed objects."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh

from chorus.viewing.displayed import DisplayedBody
from chorus.viewing.placement_figure import PlacedObject, placement_figure, placement_glb

BODY = trimesh.creation.box((0.4, 1.6, 0.3))
THING = trimesh.creation.box((0.3, 0.3, 0.3))


def placed(x: float, y: float, z: float, probability: float, closed: bool = True) -> PlacedObject:
    vertices = np.add(THING.vertices, (x, y, z))
    return PlacedObject(vertices, np.asarray(THING.faces), probability, closed)


@pytest.fixture
def body() -> DisplayedBody:
    return DisplayedBody(np.asarray(BODY.vertices), np.asarray(BODY.faces))


def blue(picture: np.ndarray) -> int:
    red, _, other = np.moveaxis(picture.astype(int), -1, 0)
    return int(np.count_nonzero(other > red + 40))


def test_each_place_has_a_panel_where_the_object_is_seen(body):
    behind, before = placed(0, 0.2, -0.6, 0.7), placed(0, 0.2, 0.6, 0.3)
    picture = placement_figure(body, [behind, before], "A person holds a box", "0.3 m large")
    middle = picture.shape[1] // 2
    assert picture.shape[1] > picture.shape[0] and picture.dtype == np.uint8
    assert blue(picture[:, :middle]) > 1000 and blue(picture[:, middle:]) > 1000
    one = placement_figure(body, [behind], "A person holds a box", "0.3 m large")
    assert one.shape[0] == picture.shape[0] and one.shape[1] < picture.shape[1]


def test_a_sheet_is_seen_from_both_sides(body):
    sheet = np.array([[0.5, -0.4, 0], [0.5, 0.4, 0], [1.2, 0, 0]])
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        thing = PlacedObject(sheet, np.array(faces), 1.0, False)
        assert blue(placement_figure(body, [thing], "a sheet", "")) > 1000


def test_glb_nodes_and_what_they_say(body):
    content = placement_glb(body, [placed(1, 0, 0, 0.7), placed(0, 1, 0, 0.3)], {"unit": "cm"})
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    assert set(scene.geometry) == {"body", "mode 1", "mode 2"}
    assert scene.metadata["unit"] == "cm"
    assert scene.geometry["mode 1"].centroid == pytest.approx([1, 0, 0], abs=1e-6)
    materials = [scene.geometry[f"mode {n}"].visual.material for n in (1, 2)]
    assert [each.alphaMode for each in materials] == ["OPAQUE", "BLEND"]
