"""Meshes that are to be placed: filled with points, mended, refused."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from chorus.errors import BadInput
from chorus.reconstruction.placement_mesh import POINTS, object_mesh, read_mesh

BOX = trimesh.creation.box((0.2, 0.4, 1.0))


def made(mesh: trimesh.Trimesh):
    return object_mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_points_fill_a_box_evenly():
    thing = made(BOX)
    assert thing.inside.shape == (POINTS, 3) and thing.closed and not thing.notes
    assert (np.abs(thing.inside) < BOX.extents / 2).all()
    assert np.abs(thing.centre).max() < 0.02 and thing.size == 1.0
    assert thing.inside.var(axis=0) == pytest.approx(BOX.extents**2 / 12, rel=0.15)
    on_a_face = np.isclose(np.abs(thing.surface), BOX.extents / 2, atol=1e-6).any(axis=1)
    assert on_a_face.all()


@pytest.mark.parametrize("factor", [1000.0, 1e-4])
def test_any_scale_is_filled_alike(factor):
    thing = made(BOX.copy().apply_scale(factor))
    assert thing.inside / factor == pytest.approx(made(BOX).inside, rel=1e-3, abs=1e-3)


def test_a_thin_board_is_filled():
    thing = made(trimesh.creation.box((0.5, 0.004, 2.0)))
    assert len(thing.inside) == POINTS and (np.abs(thing.inside[:, 1]) <= 0.002).all()


def test_an_inverted_mesh_is_turned_back():
    inverted = BOX.copy()
    inverted.invert()
    thing = made(inverted)
    assert "inside out" in thing.notes[0] and len(thing.notes) == 1
    assert (thing.inside == made(BOX).inside).all()


def test_an_open_mesh_is_told():
    lidless = trimesh.Trimesh(BOX.vertices, BOX.faces[1:], process=False)
    thing = made(lidless)
    assert "open" in thing.notes[0] and not thing.closed
    assert (np.abs(thing.inside) < BOX.extents / 2 + 1e-9).all()
    sheet = made(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False))
    assert "shell" in sheet.notes[0] and (sheet.inside == sheet.surface).all()


def test_vertices_listed_once_per_face_close_all_the_same():
    apart = trimesh.Trimesh(
        BOX.vertices[BOX.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False
    )
    assert made(apart).closed


def test_bad_meshes_in_a_sentence():
    vertices, faces = np.asarray(BOX.vertices), np.asarray(BOX.faces)
    for bad, sentence in (
        ((np.zeros((0, 3)), np.zeros((0, 3), int)), "is empty"),
        ((vertices, np.zeros((0, 3), int)), "points and no faces"),
        ((vertices * np.nan, faces), "NaN"),
        ((vertices, faces + 5), "names vertex"),
        ((vertices * 0, faces), "no face with an area"),
    ):
        with pytest.raises(BadInput, match=sentence):
            object_mesh(*bad)


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_files_are_read(suffix, tmp_path):
    BOX.export(tmp_path / f"box.{suffix}")
    thing = read_mesh(tmp_path / f"box.{suffix}")
    assert thing.closed and thing.size == pytest.approx(1.0)


def test_bad_files_in_a_sentence(tmp_path):
    (tmp_path / "no.obj").write_bytes(b"")
    (tmp_path / "no.glb").write_bytes(b"glTF\x02\x00")
    (tmp_path / "no.txt").write_text("mesh")
    trimesh.PointCloud(BOX.vertices).export(tmp_path / "points.ply")
    for name, sentence in (
        ("no.obj", "no.obj"),
        ("no.glb", "cannot be read"),
        ("no.txt", "no mesh"),
        ("none.glb", "not there"),
        ("points.ply", "points and no faces"),
    ):
        with pytest.raises(BadInput, match=sentence):
            read_mesh(tmp_path / name)
