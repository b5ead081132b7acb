"""Bodies of BlazePose's landmarks: the row of a person, and why there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import roma
import torch

from chorus.body.landmarks import LANDMARKS, body_landmarks
from chorus.geometry import cameras
from chorus.geometry.weak_perspective import project_weak
from chorus.perception.blazepose_body import NOT_FOUND, BlazeposeRegressor, BodyFitter, doubt
from chorus.records.keys import SampleKey
from chorus.records.rows import Image, Person
from chorus.rendering.raycast import cast
from references.stick_body import shaped_stick_body

BODY = shaped_stick_body()
SIZE = (320, 240)
FOCAL = 320 * 0.5 / np.tan(np.radians(23.2))
ROOT = torch.tensor([0.5, -0.2, 4.0])
IMAGE = Image(
    SampleKey("mine", "bicycle", "A person rides a bicycle", "", 0),
    np.zeros((240, 320, 3), np.uint8),
)


def found(doubted="", mask=None):
    """A person with arms half lowered before a camera, as the networks would see it."""
    pose = torch.zeros(24, 3)
    pose[0, 0] = torch.pi
    pose[16, 2], pose[17, 2] = -0.7, 0.7
    posed = BODY.pose(pose)
    shift = ROOT - posed.joints[0]
    K = torch.tensor([[FOCAL, 0, 160], [0, FOCAL, 120], [0, 0, 1]], dtype=torch.float32)
    on_body = body_landmarks(BODY)
    transforms = posed.transforms[on_body.carrier]
    points = torch.zeros(LANDMARKS, 3)
    rest = on_body.rest.float()
    numbers = list(on_body.numbers)
    points[numbers] = (transforms[:, :3, :3] @ rest[..., None])[..., 0] + transforms[:, :3, 3]
    pixels = cameras.project(points, torch.eye(3), shift, K)[0]
    landmarks = torch.cat([pixels, torch.zeros(33, 1), torch.ones(33, 2)], 1)
    if mask is None:
        mesh = (posed.vertices + shift).numpy(), BODY.faces.numpy()
        mask = cast([mesh], np.eye(3), np.zeros(3), K.numpy(), *SIZE).found
    return SimpleNamespace(
        landmarks=landmarks.numpy().astype(np.float64),
        world=(points - points[[23, 24]].mean(0)).numpy().astype(np.float64),
        mask=mask,
        doubt=doubted,
    )


class Networks:
    """Answers what it was given."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def look_at(self, image, boxes):
        return self._answers


BOX = np.array([[150, 50, 260, 200]], np.float32)


def test_the_row_is_the_body_in_the_image():
    person = BlazeposeRegressor(Networks(found()), BODY).regress([IMAGE], [BOX])[0][0]
    assert isinstance(person, Person)
    joints = BODY.posed_joints(torch.from_numpy(person.pose), torch.from_numpy(person.betas))
    weak = project_weak(
        joints,
        torch.from_numpy(person.camera),
        torch.from_numpy(person.crop_centre),
        torch.tensor(person.crop_side),
    )
    # The weak camera is the nearest to the pinhole's joints: a few pixels of 150.
    assert np.abs(weak.numpy() - person.joints).max() < 5
    seen = found().landmarks[[11, 12, 15, 16, 23, 24, 27, 28], :2]
    assert np.abs(person.joints[[16, 17, 20, 21, 1, 2, 7, 8]] - seen).max() < 3
    assert np.array_equal(person.box, BOX[0])


def test_the_global_rotation_is_that_of_the_crop():
    """Aside of the middle, a person who faces the camera's plane is not seen frontally."""
    perceived = BodyFitter(BODY)([found()], SIZE)[0]
    line = perceived.root / perceived.root.norm()
    turned = roma.rotvec_to_rotmat(torch.stack([perceived.straight, perceived.pose[0]]))
    turn = turned[1] @ turned[0].mT
    assert (turn[:, 2] @ line) > 0.999  # the straight camera looks along the line of sight
    assert roma.rotvec_geodesic_distance(perceived.straight, perceived.pose[0]) > 0.05


def test_nobody_a_doubted_and_an_ordinary_person_keep_their_order():
    networks = Networks(None, found("two looks disagree on the body"), found())
    answers = BlazeposeRegressor(networks, BODY).regress([IMAGE], [np.repeat(BOX, 3, 0)])[0]
    assert answers[:2] == [NOT_FOUND, "two looks disagree on the body"]
    assert isinstance(answers[2], Person)


def test_a_body_beside_its_mask_is_refused():
    elsewhere = np.zeros((240, 320), bool)
    elsewhere[:200, :60] = True
    answer = BlazeposeRegressor(Networks(found(mask=elsewhere)), BODY).regress([IMAGE], [BOX])[0][0]
    assert answer == "body and mask disagree (IoU 0.00)"


def test_landmarks_that_are_not_finite_are_refused():
    broken = found()
    broken.world[3] = np.nan
    assert BodyFitter(BODY)([broken], SIZE) == [None]
    assert "not finite" in doubt(None)


@pytest.mark.parametrize("boxes", [np.zeros((0, 4), np.float32)])
def test_no_boxes_are_no_persons(boxes):
    assert BlazeposeRegressor(Networks(), BODY).regress([IMAGE], [boxes]) == [[]]
