"""Open3DHOI's folders: read, laid onto our body, known in its frame, and in all ways damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

from chorus.body.loading import load_body
from chorus.errors import BadInput
from chorus.evaluation.lifted import (
    Laid,
    lay_body,
    lean,
    lifted_scenes,
    lifted_view,
    mesh_file,
    object_bytes,
    silhouette_agreement,
)
from chorus.evaluation.truth_scores import KnownScene, true_occupancy, truth_scores
from chorus.geometry.cameras import project
from chorus.occupancy.canonical import canonical_space
from chorus.occupancy.presets import AggregationSettings
from chorus.perception.mesh_files import read_mesh
from chorus.perception.open3dhoi import read_sample, sample_folders
from references import lifted


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lifted.write_sample(tmp_path_factory.mktemp("hoi") / "surfboard" / "one")


@pytest.fixture(scope="module")
def laid(made):
    image = read_sample(made)
    return image, lay_body(load_body(), image.pose, image.human)


@pytest.fixture
def spoiled(made, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(made, tmp_path / "one")


def rewrite(folder, name: str, change) -> None:
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_a_sample_is_read(made):
    image = read_sample(made)
    np.testing.assert_allclose(image.pose, lifted.pose_of(), atol=1e-12)  # and the hands are zero
    np.testing.assert_array_equal(image.translation, lifted.TRANSLATION)
    np.testing.assert_array_equal(image.K, [[3600, 0, 120], [0, 3600, 160], [0, 0, 1]])
    assert image.person_mask.shape == image.object_mask.shape == (lifted.HEIGHT, lifted.WIDTH)
    assert image.thing.closed and len(image.thing.vertices) == 8
    left, top, right, low = image.object_box.astype(int)
    assert image.object_mask[top:low, left:right].all()  # a box seen from in front fills its box


def test_parameters_may_be_alone_in_a_list_and_the_object_under_its_older_name(spoiled):
    rewrite(spoiled, "smplx_parameters.json", lambda record: [record])
    (spoiled / "object_mesh.obj").rename(spoiled / "obj_pcd_h_align.obj")
    assert read_sample(spoiled).thing.closed


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_folders_of_all_levels_hold_samples(made, depth):
    root = (made, made.parent, made.parents[1])[depth]
    assert sample_folders(root) == [made.resolve()]


def test_a_folder_without_samples_is_said(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(BadInput, match="holds no samples of Open3DHOI"):
        sample_folders(tmp_path)
    with pytest.raises(BadInput, match="not a folder"):
        sample_folders(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "name",
    [
        *("smplx_parameters.json", "h_mesh.obj", "object_mesh.obj", "image.jpg"),
        *("person_mask.png", "object_mask.png", "box_annotation.json"),
    ],
)
def test_a_missing_file_is_named(spoiled, name):
    (spoiled / name).unlink()
    with pytest.raises(BadInput, match=f"one lacks {name}"):
        read_sample(spoiled)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("smplx_parameters.json", lambda r: [r, r], "found a list of 2"),
        ("smplx_parameters.json", lambda r: "pose", "found str"),
        ("smplx_parameters.json", lambda r: {"root_pose": r["root_pose"]}, "lacks body_pose"),
        ("smplx_parameters.json", lambda r: {**r, "body_pose": [1, 2]}, "holds 2 numbers"),
        ("smplx_parameters.json", lambda r: {**r, "focal": ["a", 1]}, "not made of numbers"),
        ("smplx_parameters.json", lambda r: {**r, "cam_trans": {"x": 1}}, "not made of numbers"),
        ("smplx_parameters.json", lambda r: {**r, "princpt": [None, 1]}, "expected 2 finite"),
        ("smplx_parameters.json", lambda r: {**r, "cam_trans": [0, 0, -1]}, "behind the camera"),
        ("box_annotation.json", lambda r: {"human": r["human"]}, "lacks obj"),
        ("box_annotation.json", lambda r: {**r, "obj": [9, 9, 3, 3]}, "is no box"),
        ("box_annotation.json", lambda r: [], "found a list of 0"),
    ],
)
def test_json_of_another_shape_is_refused(spoiled, name, change, said):
    rewrite(spoiled, name, change)
    with pytest.raises(BadInput, match=f"{name}.*{said}"):
        read_sample(spoiled)


def test_what_is_no_json_no_mesh_and_no_picture_is_refused(spoiled):
    for name in ("smplx_parameters.json", "person_mask.png", "h_mesh.obj"):
        kept = (spoiled / name).read_bytes()
        (spoiled / name).write_bytes(kept[: len(kept) // 3] if name[0] != "h" else b"v 1 nan x\n")
        with pytest.raises(BadInput, match=name):
            read_sample(spoiled)
        (spoiled / name).write_bytes(kept)


def test_masks_of_another_size_are_refused(spoiled):
    size = lifted.WIDTH // 2, lifted.HEIGHT // 2
    with Image.open(spoiled / "object_mask.png") as mask:
        mask.resize(size).save(spoiled / "object_mask.png")
    with pytest.raises(BadInput, match="different sizes, 240 x 320 and 120 x 160"):
        read_sample(spoiled)
    with Image.open(spoiled / "person_mask.png") as mask:
        mask.resize(size).save(spoiled / "person_mask.png")
    with pytest.raises(BadInput, match=r"image\.jpg: it has 240 x 320 pixels.*120 x 160"):
        read_sample(spoiled)


def test_a_person_in_centimetres_is_refused(spoiled):
    person = lifted.lifted_person()
    person.apply_scale(100)
    (spoiled / "h_mesh.obj").write_text(trimesh.exchange.obj.export_obj(person))
    with pytest.raises(BadInput, match="metres long, which no person is"):
        read_sample(spoiled)


def test_meshes_are_closed_or_known_not_to_be(tmp_path):
    box = lifted.box_in_camera()
    path = tmp_path / "box.obj"
    path.write_text(trimesh.exchange.obj.export_obj(box))
    assert read_mesh(path).closed
    box.invert()  # all faces look inwards
    path.write_text(trimesh.exchange.obj.export_obj(box))
    vertices, faces, closed = read_mesh(path)
    assert closed and trimesh.Trimesh(vertices, faces).volume == pytest.approx(0.012)
    box.update_faces(np.arange(len(box.faces)) > 0)  # a hole
    path.write_text(trimesh.exchange.obj.export_obj(box))
    assert not read_mesh(path).closed


def test_our_body_is_laid_into_the_lifted_person(laid):
    _, found = laid
    assert found.scale == pytest.approx(lifted.SIZE, abs=1e-3)
    np.testing.assert_allclose(found.pelvis, lifted.PLACE, atol=1e-3)
    assert found.distance < 2e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 2), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_to_body_undoes_where_the_body_was_laid(scale, numbers):
    rotation = np.linalg.qr(np.array(numbers * 2)[:9].reshape(3, 3) + np.eye(3) * 7)[0]
    own, place = np.array([0.0, -0.2, 0.03]), np.array(numbers[:3])
    points = np.random.default_rng(0).normal(size=(5, 3))
    there = scale * (points - own) @ rotation.T + place
    back = Laid(scale, rotation, own, place, 0.0).to_body(there)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_the_view_shows_our_body_where_the_person_is(laid):
    image, found = laid
    view = lifted_view(found, image)
    pose = torch.from_numpy(image.pose).float()
    pose[0] = 0
    ours = load_body().pose(pose).vertices.double().numpy()
    pixels = project(ours, view.R, view.t, view.K)[0]
    still = np.zeros(3)
    wanted = project(image.human.vertices + image.translation, np.eye(3), still, image.K)[0]
    # vertices of one place were joined, so places are compared and not numbers
    assert cKDTree(pixels).query(wanted)[0].max() < 1 and view.residual < 1


def test_silhouettes_tell_a_wrong_camera(laid):
    image, _ = laid
    assert min(silhouette_agreement(image)) > 0.99
    moved = type(image)(**{**vars(image), "translation": np.add(image.translation, [0.4, 0, 0])})
    assert max(silhouette_agreement(moved)) < 0.5


@pytest.mark.parametrize("degrees", [0, 30, 80])
def test_lean_is_that_of_the_line_from_pelvis_to_neck(degrees):
    body = load_body()
    upright = np.zeros((24, 3))
    upright[0, 0] = np.pi
    own = lean(body, upright)
    assert own < 5  # the rest pose's neck lies a little behind its pelvis
    upright[0, 0] += np.radians(degrees)
    assert lean(body, upright) == pytest.approx(degrees, abs=own + 1e-3)


def test_truth_is_the_object_in_the_canonical_frame(laid, tmp_path):
    image, found = laid
    space = canonical_space(load_body(), AggregationSettings(resolution=24), clusters=())
    row = {"image": "one.jpg", "pose": image.pose.ravel().tolist()}
    assert not list(lifted_scenes(tmp_path, [row]))  # nothing was lifted
    mesh_file(tmp_path, "one.jpg").write_bytes(object_bytes(found, image.thing))
    truth = true_occupancy(space, lifted_scenes(tmp_path, [row]), subdivisions=3)
    box = lifted.box_in_camera()
    to_body = np.eye(4)
    to_body[:3, :3] = found.rotation.T / found.scale
    to_body[:3, 3] = found.to_body(np.zeros((1, 3)))[0]
    low, high = box.bounds
    plain = KnownScene(
        image.pose,
        np.zeros(10),
        to_body,
        box.bounds,
        lambda points: ((points > low) & (points < high)).all(axis=1),
    )
    expected = true_occupancy(space, [plain], subdivisions=3)
    assert expected.probability.any()
    np.testing.assert_allclose(truth.probability, expected.probability, atol=0.04)
    scores = truth_scores(truth.probability, truth)
    assert scores.soft_ap == pytest.approx(scores.soft_ap_ceiling, abs=0.02)
    assert scores.best_iou == 1


def test_a_damaged_mesh_is_said(tmp_path):
    mesh_file(tmp_path, "one.jpg").write_bytes(b"PK nothing")
    with pytest.raises(BadInput, match="import the test set again"):
        list(lifted_scenes(tmp_path, [{"image": "one.jpg"}]))
