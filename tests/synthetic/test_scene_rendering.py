"""Pictures of synthetic scenes: masks that agree with geometry, and pictures that repeat."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from chorus.errors import BadInput
from chorus.rendering.raycast import camera_rays, cast, unit
from chorus.synthetic.look.appearance import OUTFITS, body_map, draw_look, tailored
from chorus.synthetic.look.rendering import SETTINGS, render
from chorus.synthetic.world import objects
from chorus.synthetic.world.scene import Scene, SceneCamera, SceneObject, ScenePerson

SIZE = 128


def look_at(eye, target, focal=150.0, size=SIZE):
    eye = np.asarray(eye, float)
    forward = unit(np.asarray(target, float) - eye)
    right = unit(np.cross(forward, [0, 1, 0]))
    R = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return SceneCamera(R, -R @ eye, K, size, size)


def ball(radius=0.4, at=(0.0, 0.8, 0.0), seed=0):
    transform = np.eye(4)
    transform[:3, 3] = at
    mesh = objects.build("sphere", radius=radius)
    return SceneObject("sports ball", "sphere", {"radius": radius}, mesh, transform, seed)


def scene(persons=(), items=(), camera=None, setting="park", **more):
    camera = camera or look_at((0.4, 1.2, 3.0), (0, 0.8, 0))
    return Scene(list(persons), list(items), camera, setting, seed=5, **more)


@pytest.fixture(scope="module")
def manikin():
    """A stand-in body: a column of T-shape proportions with 24 joints at SMPL-like places."""
    trunk = trimesh.creation.icosphere(subdivisions=4, radius=1.0)
    vertices = np.asarray(trunk.vertices, np.float32) * np.float32([0.3, 0.85, 0.15])
    vertices[:, 1] -= 0.27
    joints = np.zeros((24, 3), np.float32)
    joints[:, 1] = -0.22
    joints[[1, 2], 1], joints[[7, 8], 1] = -0.23, -1.05
    joints[[7, 8], 0], joints[[16, 17], 0], joints[[20, 21], 0] = 0.1, 0.17, 0.67
    joints[[8, 17, 21], 0] *= -1
    joints[[16, 17, 20, 21], 1], joints[12, 1], joints[15, 1] = 0.25, 0.32, 0.42
    nearest = ((joints[:, None] - vertices[None]) ** 2).sum(-1).argmin(1)
    regressor = np.zeros((24, len(vertices)), np.float32)
    regressor[np.arange(24), nearest] = 1
    return SimpleNamespace(
        v_template=vertices, joint_regressor=regressor, faces=np.asarray(trunk.faces)
    )


def person_of(body, at=(0.0, 1.12, 0.0), seed=3):
    vertices = body.v_template + np.float32(at)
    joints = body.joint_regressor @ body.v_template + np.float32(at)
    return ScenePerson(np.zeros((24, 3)), np.zeros(10), np.array(at), vertices, joints, seed)


def test_instance_map_is_the_silhouette_of_a_known_ball():
    item = ball()
    picture = scene(items=[item])
    camera = picture.camera
    instance = render(picture).instance
    rays = unit(camera_rays(camera.K, SIZE, SIZE).astype(float))
    middle = camera.R @ item.transform[:3, 3] + camera.t
    along = rays @ middle
    miss = np.sqrt(np.maximum(middle @ middle - along**2, 0))
    clear = np.abs(miss - 0.4) > 0.006  # the ball is faceted
    assert ((instance == 0) == (miss < 0.4))[clear].all()
    assert set(np.unique(instance)) == {-1, 0}


def test_instance_numbers_persons_then_objects(manikin):
    people = [person_of(manikin), person_of(manikin, (-0.8, 1.12, -0.5))]
    items = [ball(0.15, (0.55, 1.0, 0.3)), ball(0.15, (0.0, 1.0, 0.6))]
    picture = scene(people, items, body_faces=manikin.faces)
    bare = render(picture).instance
    meshes = [(person.vertices, manikin.faces) for person in people]
    meshes += [(item.mesh.vertices + item.transform[:3, 3], item.mesh.faces) for item in items]
    camera = picture.camera
    hits = cast(meshes, camera.R, camera.t, camera.K, SIZE, SIZE)
    np.testing.assert_array_equal(bare, hits.mesh_id)
    assert bare.dtype == np.int16 and set(np.unique(bare)) == {-1, 0, 1, 2, 3}
    dressed = render(picture, manikin).instance
    assert (dressed == bare).mean() > 0.95  # clothes add a centimetre or two
    assert set(np.unique(dressed)) == {-1, 0, 1, 2, 3}


def test_what_is_below_floor_or_water_is_hidden():
    for setting in ("sea", "park", "room", "studio"):
        instance = render(scene(items=[ball(0.4, (0, 0, 0))], setting=setting)).instance
        rows, columns = np.nonzero(instance == 0)
        camera = scene().camera
        rays = camera_rays(camera.K, SIZE, SIZE)[rows, columns] @ camera.R.astype(np.float32)
        eye = -camera.R.T @ camera.t
        floor = eye[1] / np.maximum(-rays[:, 1], 1e-9)
        distance = np.linalg.norm(np.cross(rays, -eye), axis=1) / np.linalg.norm(rays, axis=1)
        assert (distance < 0.401).all()
        nearest = np.sum(rays * -eye, axis=1) / np.sum(rays * rays, axis=1)
        half = np.sqrt(np.maximum(0.16 - distance**2, 0)) / np.linalg.norm(rays, axis=1)
        assert (nearest - half <= floor + 0.02).all()
        whole = render(scene(items=[ball(0.4, (0, 0.41, 0))], setting=setting)).instance
        assert 0.2 < (instance == 0).sum() / (whole == 0).sum() < 0.9


def test_under_water_the_camera_sees_what_is_down_there():
    camera = look_at((0.1, -1.5, 1.5), (0, 0, 0))
    instance = render(scene(items=[ball(0.3, (0, 0, 0))], camera=camera, setting="sea")).instance
    assert (instance == 0).sum() > 100


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_gives_a_picture_with_contrast(setting, manikin):
    picture = scene([person_of(manikin)], [ball(0.2, (0.6, 0.2, 0.2))], setting=setting,
                    body_faces=manikin.faces)  # fmt: skip
    rendering = render(picture, manikin)
    assert rendering.image.shape == (SIZE, SIZE, 3) and rendering.image.dtype == np.uint8
    assert rendering.image.std() > 10
    assert rendering.image.mean() > 60 and (rendering.image == 255).all(-1).mean() < 0.2


def test_the_same_scene_gives_the_same_picture(manikin):
    picture = scene([person_of(manikin)], [ball()], body_faces=manikin.faces)
    first, second = render(picture, manikin), render(picture, manikin)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instance, second.instance)
    other = render(replace(picture, seed=6), manikin)
    assert (other.image != first.image).mean() > 0.2
    np.testing.assert_array_equal(other.instance, first.instance)
    elsewhere = render(
        scene([person_of(manikin, seed=4)], [ball()], body_faces=manikin.faces), manikin
    )
    assert (elsewhere.image != first.image).any()


def test_empty_scene():
    for setting in SETTINGS:
        rendering = render(scene(setting=setting))
        assert (rendering.instance == -1).all() and rendering.image.std() > 2


def test_camera_inside_an_object():
    inside = look_at((0.0, 0.8, 0.0), (0, 0.8, -1))
    rendering = render(scene(items=[ball(0.5)], camera=inside))
    assert (rendering.instance == 0).all()


def test_object_behind_the_camera():
    rendering = render(scene(items=[ball(0.4, (0.4, 1.2, 5.0))]))
    assert (rendering.instance == -1).all()


def test_camera_that_looks_straight_down_or_up():
    for R in (
        np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
        np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    ):
        eye = np.array([0.0, 0.8, 0.0]) - 2.0 * R[2]
        camera = SceneCamera(R, -R @ eye, look_at((1, 1, 1), (0, 0, 0)).K, SIZE, SIZE)
        for setting in SETTINGS:
            rendering = render(scene(items=[ball()], camera=camera, setting=setting))
            assert (rendering.instance == 0).sum() > 500


def test_strings_of_a_racket_let_the_background_through():
    transform = np.eye(4)
    transform[:3, 3] = (0, 0.7, 0)
    mesh = objects.build("tennis racket")
    racket = SceneObject("tennis racket", "tennis racket", {}, mesh, transform, 1)
    camera = look_at((0, 1.1, 1.0), (0, 1.1, 0))
    behind = ball(0.3, (0.0, 1.1, -0.6))
    alone = render(scene(items=[racket], camera=camera))
    before = render(scene(items=[racket, behind], camera=camera))
    bed = (alone.instance == 0) & (before.instance == 0)
    changed = (alone.image != before.image).any(-1)
    assert (bed & changed).sum() > 0.3 * bed.sum()


def test_clothes_and_hair_stay_close_to_the_body(manikin):
    joints = manikin.joint_regressor @ manikin.v_template
    shape = body_map(manikin.v_template, manikin.faces, joints)
    for number, wardrobe in enumerate(OUTFITS):
        look = draw_look([wardrobe], number)
        moved = np.linalg.norm(
            tailored(manikin.v_template, shape, look) - manikin.v_template, axis=1
        )
        assert moved.max() < 0.08


def test_images_other_than_square():
    camera = look_at((0.4, 1.2, 3.0), (0, 0.8, 0))
    K = camera.K + np.array([[0, 0, 40.0], [0, 0, -20], [0, 0, 0]])
    wide = SceneCamera(camera.R, camera.t, K, width=200, height=90)
    rendering = render(scene(items=[ball()], camera=wide))
    assert rendering.image.shape == (90, 200, 3) and rendering.instance.shape == (90, 200)


def test_bad_scenes_say_what_is_wrong(manikin):
    with pytest.raises(BadInput, match="did you mean 'beach'"):
        render(scene(setting="bech"))
    with pytest.raises(BadInput, match="do not fit the scene's 0 body faces"):
        render(scene([person_of(manikin)]))
    other = SimpleNamespace(v_template=np.zeros((7, 3)), joint_regressor=np.zeros((24, 7)))
    with pytest.raises(BadInput, match="body model has 7"):
        render(scene([person_of(manikin)], body_faces=manikin.faces), other)
