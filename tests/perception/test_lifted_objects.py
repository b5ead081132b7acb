"""Lifted objects as tools record them: made to their exact shapes, poses by hand, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus.errors import BadInput
from chorus.perception.lifted_objects import read_lifted
from chorus.perception.lifted_of_cari4d import SMPLH
from chorus.perception.mesh_files import read_mesh, with_inside

HIGH = np.array([0.2, 0.5, 0.3])
"""Upper corner of a box whose lower one is the origin; it is highest along y, as in a GLB."""
PLACE = [[0, 0, 1, 0.1], [0, 1, 0, 0.2], [-1, 0, 0, 3], [0, 0, 0, 1]]


def box() -> trimesh.Trimesh:
    return trimesh.creation.box(bounds=[np.zeros(3), HIGH])


def placed(thing) -> np.ndarray:
    """The mesh's vertices in the camera."""
    mesh = thing.mesh()
    return mesh.vertices @ thing.to_camera[:3, :3].T + thing.to_camera[:3, 3]


def own_json(root: Path, *rows: dict) -> Path:
    box().export(root / "box.glb")
    (root / "lifted.json").write_text(json.dumps(list(rows)))
    return root / "lifted.json"


ROW = {"image": "a.jpg", "mesh": "box.glb", "object_to_camera": PLACE}
PERSON = {"pose": np.full((24, 3), 0.1).tolist(), "translation": [0.0, 0.3, 4.0]}


def test_our_own_json(tmp_path):
    K = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    path = own_json(tmp_path, ROW | PERSON | {"K": K, "betas": [0.5] * 10}, ROW | {"image": 7})
    whole, frame = read_lifted(path).objects
    assert whole.image == "a.jpg" and frame.image == 7 and frame.person is None and frame.K is None
    assert whole.K.tolist() == K and whole.person.betas.tolist() == [0.5] * 10
    assert whole.person.camera.translation.tolist() == [0, 0.3, 4]
    corner = placed(whole).max(axis=0)  # (x, y, z) -> (z, y, -x) + (0.1, 0.2, 3)
    np.testing.assert_allclose(corner, [0.1 + 0.3, 0.2 + 0.5, 3], atol=1e-6)
    assert set(read_lifted(path).files) == {path, tmp_path / "box.glb"}
    (tmp_path / "lifted.json").write_text(json.dumps({"objects": [ROW]}))
    assert len(read_lifted(tmp_path).objects) == 1


def test_our_own_npz_of_rows_and_of_vertices(tmp_path):
    box().export(tmp_path / "box.ply")
    rows = {
        "image": np.array(["a.jpg", "b.jpg"]),
        "mesh": np.array(["box.ply"] * 2),
        "object_to_camera": np.array([PLACE, PLACE], np.float32),
        "pose": np.zeros((2, 72), np.float32),
        "translation": np.full((2, 3), 2.0),
        "body": "free",
    }
    np.savez(tmp_path / "rows.npz", **rows)
    found = read_lifted(tmp_path / "rows.npz").objects
    assert [thing.image for thing in found] == ["a.jpg", "b.jpg"]
    assert found[1].person.shape_of == "free"
    mesh = box()
    np.savez(tmp_path / "c.npz", vertices=mesh.vertices + np.array([0, 0, 2]), faces=mesh.faces)
    (alone,) = read_lifted(tmp_path / "c.npz").objects
    assert alone.image == "c" and placed(alone).min() == 0 and alone.person is None
    np.savez(tmp_path / "rows.npz", **rows | {"pose": np.zeros((3, 72))})
    with pytest.raises(BadInput, match=r"pose has the shape \(3, 72\); expected 2 rows"):
        read_lifted(tmp_path / "rows.npz")


def sam3d(root: Path, quaternion, **more) -> Path:
    box().export(root / "photo_0.glb")
    values = {
        "rotation": np.array([quaternion], np.float32),
        "translation": np.array([[0.5, 0.25, 2.0]], np.float32),
        "scale": np.full((1, 3), 2, np.float32),
    }
    np.savez(root / "photo_0.npz", **values | {"image": "photo.jpg"} | more)
    return root / "photo_0.npz"


def test_sam_3d_objects_by_hand(tmp_path):
    """The GLB's y is the object's z. Without a turn it points along the camera's z; a quarter about
    x, of row vectors, turns z to y, which is up in PyTorch3D's camera and -y in OpenCV's."""
    (thing,) = read_lifted(sam3d(tmp_path, [1, 0, 0, 0])).objects
    tip = np.array([0, HIGH[1], 0, 1])
    np.testing.assert_allclose((thing.to_camera @ tip)[:3], [-0.5, -0.25, 2 + 1.0], atol=1e-6)
    half = np.sqrt(0.5)
    (thing,) = read_lifted(sam3d(tmp_path, [half, half, 0, 0])).objects
    np.testing.assert_allclose((thing.to_camera @ tip)[:3], [-0.5, -0.25 - 1.0, 2], atol=1e-6)
    assert thing.image == "photo.jpg" and thing.person is None
    side = np.array([HIGH[0], 0, 0, 1])  # x is left in PyTorch3D's camera
    np.testing.assert_allclose((thing.to_camera @ side)[:3], [-0.5 - 0.4, -0.25, 2], atol=1e-6)
    extent = np.ptp(placed(thing), axis=0)
    np.testing.assert_allclose(extent, 2 * HIGH[[0, 1, 2]], atol=1e-6)


UNIT = st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3)


@settings(deadline=None, max_examples=25)
@given(st.tuples(UNIT, UNIT, UNIT, UNIT))
def test_poses_of_sam_3d_objects_are_as_its_code_has_them(tmp_path_factory, q):
    """PyTorch3D's quaternion_to_matrix and row vectors, in other words."""
    from scipy.spatial.transform import Rotation

    root = tmp_path_factory.mktemp("sam3d")
    (thing,) = read_lifted(sam3d(root, q)).objects
    glb = read_mesh(root / "photo_0.glb").vertices
    z_up = np.stack([glb[:, 0], -glb[:, 2], glb[:, 1]], axis=1)
    R = Rotation.from_quat([*q[1:], q[0]]).as_matrix()
    p3d = (2 * z_up) @ R + [0.5, 0.25, 2.0]
    np.testing.assert_allclose(placed(thing), p3d * [-1, -1, 1], atol=1e-5)


def test_the_person_beside_an_object_of_sam_3d_objects(tmp_path):
    person = {"pose": np.zeros((24, 3)), "person_translation": np.array([0, 0, 3.0])}
    (thing,) = read_lifted(sam3d(tmp_path, [1, 0, 0, 0], **person, body="smplx")).objects
    assert (
        thing.person.camera.translation.tolist() == [0, 0, 3] and thing.person.shape_of == "smplx"
    )


def cari4d(root: Path, frames: int = 3, **change) -> Path:
    rng = np.random.default_rng(0)
    box().export(root / "chair.obj")
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, 2, 3] = 2.5
    predicted = {
        "frames": [f"Date01_Sub01_chair/t{at / 30:08.3f}" for at in range(frames)],
        "pose_abs": poses,
        "smpl_pose": torch.from_numpy(rng.normal(0, 0.2, (frames, 156))).float(),
        "smpl_t": torch.tensor([0.1, 0.2, 2.6]).repeat(frames, 1),
        "betas": torch.zeros(frames, 10),
    } | change
    other = {name: value for name, value in predicted.items() if name != "frames"}
    torch.save({"pr": predicted, "in": other, "gt": other}, root / "chair.pth")
    return root / "chair.pth"


def test_a_sequence_of_cari4d(tmp_path):
    path = cari4d(tmp_path)
    recording = read_lifted(path, tmp_path / "chair.obj")
    assert [thing.image for thing in recording.objects] == [0, 1, 2]
    thing = recording.objects[1]
    assert thing.person.shape_of == SMPLH and thing.person.pose.shape == (24, 3)
    assert not thing.person.pose[22:].any() and thing.person.pose[:22].any()
    vertices = placed(thing)  # moved to the mean of its vertices
    np.testing.assert_allclose(vertices.mean(axis=0), [0, 0, 2.5], atol=1e-6)
    assert recording.files == [path, tmp_path / "chair.obj"]
    short = cari4d(tmp_path, smpl_pose=torch.zeros(3, 72), smpl_t=torch.tensor([[0, 0, 2.0]] * 3))
    assert len(read_lifted(short, tmp_path / "chair.obj").objects) == 3


def test_frames_that_cannot_be_used_are_told(tmp_path):
    t = torch.tensor([[0, 0, 2.0], [0, 0, -1.0], [float("nan"), 0, 2]])
    recording = read_lifted(cari4d(tmp_path, smpl_t=t), tmp_path / "chair.obj")
    assert [thing.image for thing in recording.objects] == [0]
    assert "frame 1: it lies behind its camera" in recording.faults[0]
    assert "frame 2: smpl_t is not finite" in recording.faults[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mesh": "no.glb"}, "its mesh .*no.glb is not there"),
        ({"mesh": None}, "mesh is None; expected the name of a mesh file"),
        ({"object_to_camera": [[1, 2], [3, 4]]}, "expected 4 rows of 4 numbers"),
        ({"object_to_camera": np.transpose(PLACE).tolist()}, "transposed, if it is the last"),
        ({"object_to_camera": np.zeros((4, 4)).tolist()}, "expected 4 rows"),
        ({"object_to_camera": np.diag([-1.0, 1, 1, 1]).tolist()}, "flattens or mirrors"),
        ({"object_to_camera": "x"}, "not made of numbers"),
        ({"object_to_camera": [[float("nan")] * 4] * 4}, "not finite"),
        ({"K": [[0, 0, 1]] * 3}, "K is .*in pixels"),
        ({"pose": [0.0] * 72}, "lacks translation"),
        ({"pose": [0.0] * 72, "translation": [0, 0, -2]}, "behind its camera"),
        (PERSON | {"body": "star"}, "body is 'star'; expected smpl, smplx or free"),
        ({"pose": [0.0] * 70, "translation": [0, 0, 2]}, "pose has the shape"),
        ({"vertices": [[0, 0, 1]], "faces": [[0, 1, 2]]}, "numbers of vertices"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, change, said):
    path = own_json(tmp_path, ROW, ROW | change)
    recording = read_lifted(path)
    assert len(recording.objects) == 1
    assert recording.faults and "object 1" in recording.faults[0]
    with pytest.raises(BadInput, match=said):
        read_lifted(own_json(tmp_path, ROW | change))


def test_files_that_cannot_be_used_are_named(tmp_path):
    for name, content, said in (
        ("x.json", "[", "not whole JSON"),
        ("x.json", "5", "expected a list of objects"),
        ("x.json", "[]", "holds no lifted object"),
        ("x.npz", "no archive", "cannot be read as .npz"),
        ("x.txt", "", "is none of .json"),
        ("x.pth", "no pickle", "x.pth"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(BadInput, match=said):
            read_lifted(tmp_path / name)
    with pytest.raises(BadInput, match="is not there"):
        read_lifted(tmp_path / "none")
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    with pytest.raises(BadInput, match="lacks mesh and object_to_camera, or vertices"):
        read_lifted(tmp_path / "y.npz")
    with pytest.raises(BadInput, match=r"--lifted_mesh"):
        read_lifted(cari4d(tmp_path))
    torch.save({"gt": {}}, tmp_path / "z.pth")
    with pytest.raises(BadInput, match="not of CARI4D: expected `pr`"):
        read_lifted(tmp_path / "z.pth", tmp_path / "chair.obj")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rotation": np.zeros((1, 4))}, "quaternion is zero"),
        ({"rotation": np.ones((1, 3))}, "expected a quaternion"),
        ({"scale": np.zeros((1, 3))}, "sizes above 0"),
        ({"translation": np.array([0, 0, -1.0])}, "behind its camera"),
        ({"translation": np.array([0, np.inf, 1.0])}, "not finite"),
    ],
)
def test_poses_of_sam_3d_objects_that_cannot_be(tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        read_lifted(sam3d(tmp_path, [1, 0, 0, 0], **change))


def test_a_damaged_file_of_a_folder_does_not_lose_the_others(tmp_path):
    sam3d(tmp_path, [1, 0, 0, 0])
    (tmp_path / "half.json").write_text("{")
    recording = read_lifted(tmp_path)
    assert len(recording.objects) == 1 and "half.json is not whole" in recording.faults[0]


def test_an_object_without_its_mesh_is_told(tmp_path):
    path = sam3d(tmp_path, [1, 0, 0, 0])
    (tmp_path / "photo_0.glb").unlink()
    with pytest.raises(BadInput, match=r"has no mesh beside it: expected photo_0\.glb"):
        read_lifted(path)


def test_meshes_with_few_holes_have_an_inside_and_open_ones_none(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=3)
    assert with_inside(_stored(ball, tmp_path), "ball").closed
    holed = trimesh.Trimesh(ball.vertices, ball.faces[3:, ::-1], process=False)  # and inside out
    found = with_inside(_stored(holed, tmp_path), "ball")
    assert not found.closed
    assert trimesh.Trimesh(found.vertices, found.faces, process=False).volume > 0
    half = trimesh.Trimesh(ball.vertices, ball.faces[: len(ball.faces) // 2], process=False)
    with pytest.raises(BadInput, match=r"ball is open: .* of its edges lie at holes"):
        with_inside(_stored(half, tmp_path), "ball")
    mixed = ball.faces.copy()
    mixed[::3] = mixed[::3, ::-1]
    with pytest.raises(BadInput, match="look to different sides"):
        with_inside(_stored(trimesh.Trimesh(ball.vertices, mixed, process=False), tmp_path), "ball")


def _stored(mesh: trimesh.Trimesh, root: Path):
    mesh.export(root / "mesh.ply")
    return read_mesh(root / "mesh.ply")
