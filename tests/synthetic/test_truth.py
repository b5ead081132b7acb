"""The truth row agrees with the scene it was taken from."""

from __future__ import annotations

import json

import numpy as np
import torch

from chorus.body.keypoints import face_vertices
from chorus.geometry import masks
from chorus.records.tables import SCHEMAS
from chorus.synthetic.look.truth import body_to_world, world_to_body
from chorus.synthetic.world import objects


def test_rows_have_the_columns_of_the_table(worlds):
    for _, _, _, row in worlds:
        assert row.keys() == SCHEMAS["synthetic_truth"].columns.keys()


def test_joints_and_pose_make_the_same_person(worlds, body):
    for _, scene, _, row in worlds:
        person = row["persons"][0]
        posed = body.pose(
            torch.tensor(person["pose"]).reshape(24, 3),
            torch.tensor(person["betas"]),
            torch.tensor(person["translation"]),
        )
        joints = np.reshape(person["joints3d"], (24, 3))
        np.testing.assert_allclose(posed.joints.numpy(), joints, atol=1e-4)
        np.testing.assert_allclose(posed.vertices.numpy(), scene.persons[0].vertices, atol=1e-4)
        R, t = np.reshape(row["camera_R"], (3, 3)), np.array(row["camera_t"])
        seen = (joints @ R.T + t) @ np.reshape(row["camera_K"], (3, 3)).T
        pixels = seen[:, :2] / seen[:, 2:]
        np.testing.assert_allclose(pixels, np.reshape(person["joints2d"], (24, 2)), atol=1e-3)


def test_object_to_body_keeps_the_object_where_it_is(worlds, body):
    """The object, moved to the body frame and back with the body, is where the scene has it."""
    for _, scene, _, row in worlds:
        item = row["objects"][0]
        person = scene.persons[0]
        still = torch.tensor(person.pose)
        still = torch.cat([torch.zeros(1, 3), still[1:]])
        in_body = body.pose(still, torch.tensor(person.betas)).vertices.numpy()
        forward = body_to_world(person, body)
        moved = in_body @ forward[:3, :3].T + forward[:3, 3]
        np.testing.assert_allclose(moved, person.vertices, atol=1e-4)
        np.testing.assert_allclose(forward @ world_to_body(person, body), np.eye(4), atol=1e-9)
        to_body = np.reshape(item["object_to_body"], (4, 4))
        np.testing.assert_allclose(forward @ to_body, scene.objects[0].transform, atol=1e-6)
        rebuilt = objects.build(item["kind"], **json.loads(item["parameters"]))
        np.testing.assert_array_equal(rebuilt.vertices, scene.objects[0].mesh.vertices)


def test_masks_and_boxes_are_the_visible_pixels(worlds):
    for _, scene, rendering, row in worlds:
        entries = [*row["persons"], *row["objects"]]
        assert len(entries) == len(scene.persons) + len(scene.objects)
        for number, entry in enumerate(entries):
            mask = rendering.instance == number
            decoded = masks.decode(entry["mask"], row["height"], row["width"])
            np.testing.assert_array_equal(decoded, mask)
            np.testing.assert_array_equal(entry["box"], masks.box_of(mask))


def test_visible_points_lie_on_the_person(worlds):
    for key, _, rendering, row in worlds:
        person = row["persons"][0]
        shown = np.array(person["joint_visible"])
        pixels = np.floor(np.reshape(person["joints2d"], (24, 2))[shown]).astype(int)
        assert (rendering.instance[pixels[:, 1], pixels[:, 0]] == 0).all()
        if key.augprompt == "full body photo":
            assert shown.mean() > 0.3


def test_the_face_is_found_on_the_body(body):
    nose, left_eye, right_eye, left_ear, right_ear = body.v_template.numpy()[face_vertices(body)]
    assert abs(nose[0]) < 0.01 and nose[2] > left_eye[2] > left_ear[2]
    assert left_eye[1] > nose[1] and right_eye[1] > nose[1]
    for left, right in ((left_eye, right_eye), (left_ear, right_ear)):
        np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.01)
        assert left[0] > 0.02
