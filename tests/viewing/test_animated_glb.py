"""Distributions that move with the body: what a program that plays the file sees."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from gltf_validator import assert_valid
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from viewing_bodies import ball_at, limbs

from chorus.body.model import star_body
from chorus.body.skeleton import JOINT_NAMES, PARENTS
from chorus.errors import BadInput
from chorus.occupancy.skinning_field import skinning_field
from chorus.viewing.contact_figure import contact_glb
from chorus.viewing.displayed import DisplayedBody
from chorus.viewing.glb import Glb, linear_light
from chorus.viewing.gltf import (
    HOLD,
    MOVE,
    animated_glb,
    displayed_surface,
    distribution_glb,
    spread_of_poses,
    strongest,
)

_TYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
_SHAPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Played:
    """A plain reader and player of GLB files, after the specification."""

    def __init__(self, content: bytes):
        magic, version, size = struct.unpack("<4sII", content[:12])
        assert (magic, version, size) == (b"glTF", 2, len(content))
        length, kind = struct.unpack("<I4s", content[12:20])
        assert kind == b"JSON"
        self.json = json.loads(content[20 : 20 + length])
        self.binary = content[28 + length :]

    def values(self, accessor: int) -> np.ndarray:
        said = self.json["accessors"][accessor]
        view = self.json["bufferViews"][said["bufferView"]]
        shape = (said["count"], *_SHAPES[said["type"]])
        kind = np.dtype(_TYPES[said["componentType"]])
        start, length = view["byteOffset"], view["byteLength"]
        return np.frombuffer(self.binary[start : start + length], kind).reshape(shape)

    def turns_at(self, second: float) -> dict[int, np.ndarray]:
        """Quaternions of the animated nodes at a key's moment."""
        (animation,) = self.json["animations"]
        turns = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            key = int(np.argmin(np.abs(self.values(sampler["input"]) - second)))
            turns[channel["target"]["node"]] = self.values(sampler["output"])[key]
        return turns

    def places(self, turns: dict[int, np.ndarray]) -> np.ndarray:
        """Global matrices of all nodes."""
        nodes = self.json["nodes"]
        matrices = np.tile(np.eye(4), (len(nodes), 1, 1))

        def walk(number: int, above: np.ndarray) -> None:
            node, own = nodes[number], np.eye(4)
            turn = turns.get(number, node.get("rotation", [0, 0, 0, 1]))
            own[:3, :3] = Rotation.from_quat(turn).as_matrix()
            own[:3, 3] = node.get("translation", [0, 0, 0])
            matrices[number] = above @ own
            for child in node.get("children", []):
                walk(child, matrices[number])

        for root in self.json["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        return matrices

    def vertices(self, name: str, second: float) -> np.ndarray:
        """Where a skinned mesh's vertices are at a key's moment."""
        node = next(n for n in self.json["nodes"] if n["name"] == name)
        attributes = self.json["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        skin = self.json["skins"][node["skin"]]
        inverse = self.values(skin["inverseBindMatrices"]).swapaxes(1, 2)
        joints = self.places(self.turns_at(second))[skin["joints"]] @ inverse
        weights = self.values(attributes["WEIGHTS_0"])
        blend = np.einsum("vk,vkab->vab", weights, joints[self.values(attributes["JOINTS_0"])])
        points = self.values(attributes["POSITION"])
        return np.einsum("vab,vb->va", blend[:, :3, :3], points) + blend[:, :3, 3]


@pytest.fixture(scope="module")
def body():
    return limbs()


@pytest.fixture(scope="module")
def poses():
    made = torch.randn(3, 24, 3, generator=torch.Generator().manual_seed(5)) * 0.4
    made[:, 0] = 2.0  # which way the person faces is nothing to an animation
    return made


@pytest.fixture(scope="module")
def content(body, poses):
    return animated_glb(ball_at((0.6, 0.2, 0.2)), body, poses, 0.5, ["first", "second", "third"])


@pytest.fixture(scope="module")
def played(content):
    return Played(content)


def at(pose: int) -> float:
    return HOLD + MOVE + pose * (HOLD + MOVE) + HOLD / 2


def test_the_first_and_the_last_moment_are_the_star_pose(played, body):
    star = star_body(body)
    for second in (0.0, 1e9):
        np.testing.assert_allclose(played.vertices("body", second), star.vertices, atol=1e-5)
        surface = displayed_surface(ball_at((0.6, 0.2, 0.2)), 0.5)
        moved = played.vertices("distribution", second)
        np.testing.assert_allclose(moved, surface.vertices, atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_joints_and_meshes_are_where_the_body_model_has_them(played, body, poses, number):
    facing = poses[number].clone()
    facing[0] = 0
    posed, star = body.pose(facing), star_body(body)
    nodes = played.places(played.turns_at(at(number)))
    named = {node["name"]: at for at, node in enumerate(played.json["nodes"])}
    joints = nodes[[named[name] for name in JOINT_NAMES]][:, :3, 3]
    np.testing.assert_allclose(joints, posed.joints, atol=1e-5)

    moves = (posed.transforms.double() @ torch.linalg.inv(star.transforms.double())).numpy()
    surface = displayed_surface(ball_at((0.6, 0.2, 0.2)), 0.5)
    points = torch.as_tensor(surface.vertices, dtype=torch.float32)
    around = skinning_field(star.vertices, body.weights, points)
    for name, vertices, weights in (
        ("body", star.vertices.numpy(), body.weights),
        ("distribution", surface.vertices, around),
    ):
        chosen, kept = strongest(weights.numpy())
        blend = np.einsum("vk,vkab->vab", kept, moves[chosen])
        expected = np.einsum("vab,vb->va", blend[:, :3, :3], vertices) + blend[:, :3, 3]
        np.testing.assert_allclose(played.vertices(name, at(number)), expected, atol=2e-5)


def test_the_skeleton_is_smpls_and_the_file_says_what_it_holds(played):
    nodes = played.json["nodes"]
    above = {child: at for at, node in enumerate(nodes) for child in node.get("children", [])}
    joints = played.json["skins"][0]["joints"]
    assert [nodes[joint]["name"] for joint in joints] == list(JOINT_NAMES)
    assert [joints.index(above[j]) if j in above else -1 for j in joints] == list(PARENTS)
    assert played.json["scenes"][0]["extras"]["poses"] == ["first", "second", "third"]
    moments = played.values(played.json["animations"][0]["samplers"][0]["input"])
    assert (np.diff(moments) > 0).all() and moments[0] == 0


def test_every_quaternion_takes_the_shorter_way(played):
    for sampler in played.json["animations"][0]["samplers"]:
        turns = played.values(sampler["output"])
        assert ((turns[1:] * turns[:-1]).sum(axis=1) >= 0).all()


def test_a_distribution_that_no_pose_moves_is_refused(body, poses):
    fixed = ball_at((0.6, 0, 0), settings={"canonicalise": False})
    with pytest.raises(BadInput, match="without canonicalising"):
        animated_glb(fixed, body, poses, 0.5)


@given(st.integers(0, 1 << 32), st.integers(1, 40), st.integers(4, 24))
def test_four_joints_of_largest_weight_are_kept(seed, count, joints):
    weights = np.random.default_rng(seed).dirichlet(np.full(joints, 0.2), count)
    weights = weights.astype(np.float32)
    chosen, kept = strongest(weights)
    assert (kept.sum(axis=1) == pytest.approx(1, abs=5e-7)) and (chosen[kept == 0] == 0).all()
    least = np.sort(weights, axis=1)[:, -4]
    held = np.take_along_axis(weights, chosen.astype(int), axis=1)
    assert (held[kept > 0] >= np.broadcast_to(least[:, None], kept.shape)[kept > 0]).all()


def test_poses_are_spread_from_the_usual_to_the_unusual(body):
    poses = torch.zeros(8, 24, 3)
    for number in range(8):  # the arms rise more and more, the last one absurdly
        poses[number, 16:18, 2] = 0.1 * number if number < 7 else 3
    chosen = spread_of_poses(poses, body, 4)
    assert len(set(chosen)) == 4 and 7 not in chosen
    assert spread_of_poses(poses[:2], body, 4) in ([0, 1], [1, 0])


def test_every_writer_gives_a_valid_file(content, body, tmp_path):
    info = assert_valid(content, tmp_path)
    assert info["animationCount"] == 1 and info["hasSkins"]
    still = ball_at((0.6, 0.2, 0.2))
    assert_valid(distribution_glb(still, body, 0.5), tmp_path)
    shown = DisplayedBody.of(body)
    touched = np.linspace(0, 1, len(shown.vertices))
    assert_valid(contact_glb(shown, touched, {"category": "ball"}), tmp_path)
    still.export(tmp_path / "mesh.glb", 0.5)
    assert_valid((tmp_path / "mesh.glb").read_bytes(), tmp_path)


def test_every_writer_states_normals_that_point_outward(content, body, tmp_path):
    still = ball_at((0.6, 0.2, 0.2))
    still.export(tmp_path / "mesh.glb", 0.5)
    shown = DisplayedBody.of(body)
    for file in (
        content,
        distribution_glb(still, body, 0.5),
        contact_glb(shown, np.zeros(len(shown.vertices)), {}),
        (tmp_path / "mesh.glb").read_bytes(),
    ):
        made = Played(file)
        for mesh in made.json["meshes"]:
            attributes = mesh["primitives"][0]["attributes"]
            normals = made.values(attributes["NORMAL"])
            np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
            points = made.values(attributes["POSITION"])
            if len(points) != len(shown.vertices):  # the ball
                assert ((points - [0.6, 0.2, 0.2]) * normals).sum(axis=1).min() > 0


def test_colours_are_linear_light():
    np.testing.assert_allclose(
        linear_light([0, 0.04045, 0.5, 1]), [0, 0.00313, 0.21404, 1], atol=1e-5
    )
    file = Glb({})
    file.material("half", (0.2, 0.2, 0.2, 0.5))
    (material,) = Played(file.content()).json["materials"]
    assert material["alphaMode"] == "BLEND"
