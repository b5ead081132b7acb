"""The fit: derivatives, the optimum, what it gains, bad persons, batches, settings."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from chorus.body.keypoints import BODY_KEYPOINTS, KEYPOINT_NAMES, face_vertices
from chorus.body.skeleton import JOINT_NAMES
from chorus.engine.torch_threads import one_torch_thread
from chorus.errors import BadInput
from chorus.geometry import cameras
from chorus.geometry.rotations import turn_to_ray
from chorus.refinement.least_squares import minimise
from chorus.refinement.map_fit import (
    NO_KEYPOINTS,
    NOT_CONVERGED,
    NOT_FINITE,
    Evidence,
    Refiner,
    keypoint_sd,
)
from chorus.refinement.settings import RefinementSettings
from references.stick_body import stick_body

BODY = stick_body()
REFINER = Refiner(BODY)
FACE = len(KEYPOINT_NAMES) - len(BODY_KEYPOINTS)
SIZE = 512.0


class Scene:
    """B persons before cameras, and what a regressor and a detector say of them."""

    def __init__(self, count: int, pose_error=6.0, keypoint_error=0.01, seed=0):
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=draw, dtype=torch.float64)

        self.pose = 0.3 * normal(count, 24, 3)
        self.pose[:, 0] = 0
        eye = 3 * torch.nn.functional.normalize(
            normal(count, 3) * torch.tensor([1, 0.3, 1]), dim=-1
        )
        self.R, self.t = cameras.look_at(eye, 0.2 * normal(count, 3))
        focal = torch.full((count,), 0.5 / math.tan(math.radians(23.2)), dtype=torch.float64)
        self.K = cameras.intrinsics(focal, SIZE, SIZE)
        self.joints = BODY.posed_joints(self.pose).double()
        places = torch.cat([BODY.pose(self.pose).vertices[:, face_vertices(BODY)].double(),
                            self.joints[:, BODY_KEYPOINTS]], 1)  # fmt: skip
        pixels = cameras.project(places, self.R, self.t, self.K)[0]
        joints2d = cameras.project(self.joints, self.R, self.t, self.K)[0]
        extent = (joints2d.amax(1) - joints2d.amin(1)).amax(-1)
        wrong = roma.rotvec_to_rotmat(math.radians(pose_error) * normal(count, 24, 3))
        rotations = roma.rotvec_to_rotmat(self.pose)
        rotations[:, 0] = turn_to_ray(self._line_of_sight(joints2d)).mT @ self.R
        said = roma.rotmat_to_rotvec(rotations @ wrong)
        upright = said.clone()
        upright[:, 0] = 0
        noisy = pixels + keypoint_error * extent[:, None, None] * normal(*pixels.shape)
        self.evidence = Evidence(
            pose=said,
            joints3d=BODY.posed_joints(upright).double(),
            joints2d=joints2d,
            keypoints=torch.cat([noisy, torch.full_like(noisy[..., :1], 0.95)], -1),
            extent=extent,
            image_size=torch.full((count, 2), SIZE).double(),
        )

    def _line_of_sight(self, joints2d) -> torch.Tensor:
        across = (joints2d.mean(1) - SIZE / 2) / self.K[:, :1, 0]
        return torch.cat([across, torch.ones_like(across[:, :1])], -1)

    def error(self, pose) -> torch.Tensor:
        """Mean distance (B,) of the joints of a body pose from the true ones, metres."""
        upright = pose.clone()
        upright[:, 0] = 0
        return (BODY.posed_joints(upright).double() - self.joints).norm(dim=-1).mean(-1)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def scene():
    return Scene(24)


def take(evidence, persons):
    return Evidence(**{field.name: getattr(evidence, field.name)[persons]
                       for field in fields(Evidence)})  # fmt: skip


def with_keypoints(evidence, change):
    keypoints = evidence.keypoints.clone()
    change(keypoints)
    return replace(evidence, keypoints=keypoints)


def test_the_jacobian_is_the_derivative(scene):
    fit, problem = REFINER._fit, REFINER._problem(take(scene.evidence, slice(3)))
    x = problem.mean + 0.5 * problem.prior_sd * torch.randn_like(problem.mean)
    x[1, 3:] = problem.mean[1, 3:]  # rotation vectors of zero have a derivative too
    found = fit._jacobian(problem, x, fit.view(problem, x))
    step = 1e-5 * problem.prior_sd
    for column in range(x.shape[1]):
        aside = torch.zeros_like(x)
        aside[:, column] = step[:, column]
        up, down = (fit.view(problem, x + sign * aside).pixels() for sign in (1, -1))
        plain = (up - down) / (2 * step[:, column, None, None])
        torch.testing.assert_close(found[..., column], plain, rtol=1e-5, atol=1e-4)


def test_the_fit_ends_where_a_plain_minimiser_does(scene):
    fit, evidence = REFINER._fit, take(scene.evidence, slice(1))
    problem = REFINER._problem(evidence)
    start = REFINER._start(evidence, problem)
    solution = minimise(fit, problem, start, torch.tensor([True]), 100, 1e-9)

    def cost(x):
        x = torch.from_numpy(x).requires_grad_()
        value = fit.cost(problem, problem.mean + problem.prior_sd * x)[0]
        return float(value.detach()), torch.autograd.grad(value, x)[0].numpy()

    begin = ((start - problem.mean) / problem.prior_sd)[0].numpy()
    plain = minimize(cost, begin, jac=True, method="L-BFGS-B", options={"ftol": 1e-6})
    assert float(solution.cost[0]) == pytest.approx(plain.fun, rel=1e-3)


def test_pose_and_camera_come_closer_to_the_truth(scene):
    found = REFINER(scene.evidence)
    assert set(found.failure) == {""} and found.converged.all()
    before, after = scene.error(scene.evidence.pose), scene.error(found.pose)
    assert after.mean() < 0.75 * before.mean()
    assert (found.residual < 0.6 * found.residual_before).all() and found.residual.max() < 0.02
    apart = [cameras.camera_centre(R, t) for R, t in ((found.R, found.t), (scene.R, scene.t))]
    distance = apart[1].norm(dim=-1)
    assert ((apart[0] - apart[1]).norm(dim=-1) / distance).median() < 0.15


def test_the_result_is_a_body_before_a_camera(scene):
    found = REFINER(scene.evidence)
    upright = found.pose.clone()
    upright[:, 0] = 0
    places = torch.cat(
        [BODY.pose(upright).vertices[:, face_vertices(BODY)],
         BODY.posed_joints(upright)[:, BODY_KEYPOINTS]], 1
    ).double()  # fmt: skip
    pixels, depth = cameras.project(places, found.R, found.t, found.K)
    error = (pixels - scene.evidence.keypoints[..., :2]).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(found.residual, error / scene.evidence.extent, rtol=1e-3, atol=1e-5)
    assert (depth > 0).all()
    torch.testing.assert_close(roma.rotvec_to_rotmat(found.pose[:, 0]), found.R)
    assert found.K[:, 0, 2].tolist() == [SIZE / 2] * 24


def test_what_the_keypoints_agree_with_stays():
    exact = Scene(4, pose_error=0.0, keypoint_error=0.0)
    found = REFINER(exact.evidence)
    assert found.residual.max() < 2e-3
    assert exact.error(found.pose).max() < 0.01


def test_no_steps_give_the_regressors_pose_where_the_keypoints_are(scene):
    found = REFINER(scene.evidence, 0)
    assert not found.iterations.any() and set(found.failure) == {""}
    torch.testing.assert_close(found.pose[:, 1:], scene.evidence.pose[:, 1:])
    torch.testing.assert_close(found.residual, found.residual_before)


def test_joints_that_move_no_keypoint_stay(scene):
    found = REFINER(scene.evidence)
    still = [JOINT_NAMES.index(name) for name in ("left_hand", "right_foot", "left_ankle")]
    torch.testing.assert_close(found.pose[:, still], scene.evidence.pose[:, still])


def test_one_wrong_keypoint_hardly_matters(scene):
    def spoil(keypoints):
        keypoints[:, 9, 0] += 0.5 * scene.evidence.extent

    found = REFINER(with_keypoints(scene.evidence, spoil))
    assert scene.error(found.pose).mean() < scene.error(scene.evidence.pose).mean()
    others = [1, 2, 4, 5, 16, 17]  # hips, knees, shoulders
    moved = found.pose[:, others] - REFINER(scene.evidence).pose[:, others]
    assert moved.norm(dim=-1).median() < math.radians(3)


def test_a_person_cut_to_a_hand_is_placed(scene):
    def cut(keypoints):
        keypoints[:, :9, 2] = keypoints[:, 10:, 2] = 0.05

    found = REFINER(with_keypoints(scene.evidence, cut))
    assert set(found.failure) == {""} and found.residual.max() < 0.01
    assert found.t.isfinite().all() and (found.t[:, 2] > 0).all()


def test_bad_persons_fail_alone_with_their_reason(scene):
    def spoil(keypoints):
        keypoints[0, :, 2] = 0.1
        keypoints[1, 3:6] = torch.nan
        keypoints[2] = torch.nan
        keypoints[5, 4, :2] = 1e5

    evidence = with_keypoints(scene.evidence, spoil)
    evidence.pose[3, 7, 1] = torch.nan
    evidence.extent[4] = 0
    found, usual = REFINER(evidence), REFINER(Scene(24).evidence)
    expected = [NO_KEYPOINTS, "", NO_KEYPOINTS, NOT_FINITE, NOT_FINITE, ""]
    assert list(found.failure[:6]) == expected
    assert found.residual.isnan().tolist()[:6] == [True, False, True, True, True, False]
    assert found.R[3:5].isnan().all() and found.pose[3:5].isnan().all()
    torch.testing.assert_close(found.pose[0, 1:], evidence.pose[0, 1:])
    assert found.t[[0, 2]].isfinite().all() and found.residual[5] < 0.03
    for name in ("pose", "R", "t", "K", "residual", "iterations"):
        assert torch.equal(getattr(found, name)[6:], getattr(usual, name)[6:]), name
    scene.evidence.pose[3], scene.evidence.extent[4] = Scene(24).evidence.pose[3], 300.0


def test_a_person_does_not_depend_on_its_batch():
    evidence = Scene(9, seed=4).evidence
    together = REFINER(evidence)
    for person in (0, 5):
        alone = REFINER(take(evidence, slice(person, person + 1)))
        assert torch.equal(alone.pose[0].float(), together.pose[person].float())
        assert torch.equal(alone.t[0].float(), together.t[person].float())


def test_no_person_is_no_work():
    found = REFINER(take(Scene(2).evidence, slice(0)))
    assert found.pose.shape == (0, 24, 3) and found.failure == ()


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 10.0, 90.0]),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.sampled_from([1e-3, 1.0, 30.0]),
)
def test_no_fit_ends_worse_than_it_began(seed, pose_error, keypoint_error, enlarged):
    """Whatever the regressor, the detector and the box say."""
    evidence = Scene(3, pose_error, keypoint_error, seed).evidence
    evidence = replace(evidence, extent=enlarged * evidence.extent)
    problem = REFINER._problem(evidence)
    start = REFINER._start(evidence, problem)
    cost = REFINER._fit.cost(problem, start)
    solution = minimise(REFINER._fit, problem, start, torch.ones(3, dtype=torch.bool), 9, 1e-4)
    assert (solution.cost <= cost).all() and cost.isfinite().all()
    found = REFINER(evidence, 9)
    assert found.R.isfinite().all() and found.pose.isfinite().all()


def test_a_fit_that_has_no_time_says_so(scene):
    assert NOT_CONVERGED in REFINER(scene.evidence, 1).failure


def test_doubt_widens_keypoints(scene):
    def confidences(keypoints):
        keypoints[0, :6, 2] = torch.tensor([1.0, 0.9, 0.825, 0.75, 0.3, 0.1])
        keypoints[0, 6, 0] = -1.01 * scene.evidence.extent[0]

    sd = keypoint_sd(with_keypoints(scene.evidence, confidences), RefinementSettings())[0]
    shares = (sd / scene.evidence.extent[0] / 0.012).tolist()
    assert shares[:4] == pytest.approx([1, 1, 3**0.5, 3])
    assert shares[4] == pytest.approx(3) and shares[5] == shares[6] == math.inf


def test_a_body_without_a_head_has_no_face(scene):
    head = JOINT_NAMES.index("head")
    weights = BODY.weights.clone()
    weights[:, JOINT_NAMES.index("neck")] += weights[:, head]
    weights[:, head] = 0
    refiner = Refiner(replace(BODY, weights=weights))
    assert refiner._problem(scene.evidence).sd[:, :FACE].isinf().all()
    assert set(refiner(scene.evidence).failure) == {""}


def test_wrong_shapes_are_told(scene):
    with pytest.raises(BadInput, match=r"keypoints must have shape \(24, 17, 3\).*\(24, 16, 3\)"):
        replace(scene.evidence, keypoints=scene.evidence.keypoints[:, 1:])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("joint_sd", 0.0), ("rotation_sd", -1.0), ("focal_sd", math.nan), ("place_sd", math.inf)),
        *(("keypoint_sd", 0.0), ("outlier", 0.0), ("tolerance", 0.0), ("field_of_view", 180.0)),
        *(("doubtful_factor", 0.5), ("least_confidence", 1.1), ("max_iterations", 0)),
        *(("doubt_residual", 0.0), ("doubt_agreement", -0.1)),
    ],
)
def test_settings_out_of_range_are_told(name, value):
    with pytest.raises(BadInput, match=f"refinement setting {name} is out of range, found"):
        RefinementSettings(**{name: value})


def test_settings_are_recorded_whole():
    assert RefinementSettings(**RefinementSettings().recorded()) == RefinementSettings()
    assert np.isfinite(list(RefinementSettings().recorded().values())).all()


def test_the_usual_view_is_along_the_longer_side():
    evidence = Scene(1).evidence
    focal = {}
    for size in ((512, 512), (512, 1024), (1024, 512)):
        resized = replace(evidence, image_size=torch.tensor([size]).double())
        focal[size] = float(REFINER(resized, 0).K[0, 0, 0])
    usual = 0.5 / math.tan(math.radians(23.2))
    assert focal[512, 512] == pytest.approx(512 * usual)
    assert focal[512, 1024] == focal[1024, 512] == pytest.approx(1024 * usual)
