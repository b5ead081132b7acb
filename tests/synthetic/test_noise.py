"""The error model: exact at zero, of the stated size at its defaults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chorus.errors import BadInput
from chorus.geometry.weak_perspective import project_weak, square_crop
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.noise import body_joints
from chorus.synthetic.perceive.noise_settings import EXACT, NoiseSettings
from chorus.synthetic.world.scenes import sample_scene


def procrustes_error(predicted, true):
    """PA-MPJPE in metres: mean joint distance after the best similarity transform."""
    a, b = predicted - predicted.mean(0), true - true.mean(0)
    u, s, v = np.linalg.svd(a.T @ b)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    scale = (s * sign).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ (u * sign @ v) - b, axis=1).mean()


def test_pose_error_is_fifty_millimetres(body):
    rng, noise = np.random.default_rng(0), NoiseSettings()
    prompts = [f"A person {verb} a surfboard" for verb in ("balances on", "carries", "paddles on")]
    true, wrong, true_betas, wrong_betas = [], [], [], []
    for seed in range(60):
        scene = sample_scene("surfboard", prompts[seed % 3], "original", seed, body)
        for person in scene.persons[:1]:
            visible = rng.random(23) < 0.6  # about the share in the demo's retained images
            limbs = errors.noisy_pose(person.pose[1:], visible, noise, rng)
            true.append(person.pose)
            wrong.append(np.concatenate([person.pose[:1], limbs]))
            true_betas.append(person.betas)
            wrong_betas.append(errors.noisy_betas(person.betas, noise, rng))
    predicted = body_joints(body, np.float32(wrong), np.float32(wrong_betas))
    expected = body_joints(body, np.float32(true), np.float32(true_betas))
    error = np.mean([procrustes_error(*pair) for pair in zip(predicted, expected, strict=True)])
    assert 0.040 < error < 0.060


def test_body_joints_are_the_models(body):
    rng = np.random.default_rng(1)
    pose, betas = rng.normal(0, 0.3, (3, 24, 3)), rng.normal(0, 1, (3, 10))
    posed = body.pose(torch.tensor(pose).float(), torch.tensor(betas).float())
    found = body_joints(body, np.float32(pose), np.float32(betas))
    np.testing.assert_allclose(found, posed.joints.numpy(), atol=1e-4)


def test_zero_noise_changes_nothing():
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), bool)
    mask[10:40, 20:50] = True
    box = np.array([20, 10, 50, 40], np.float32)
    keypoints, pose = rng.normal(30, 5, (17, 2)), rng.normal(0, 0.5, (23, 3))
    assert errors.noisy_mask(mask, EXACT, rng) is mask
    np.testing.assert_array_equal(errors.noisy_box(box, (64, 64), EXACT, rng), box)
    assert errors.score(EXACT, rng) == 1.0
    assert not errors.missed(1, EXACT, rng)
    np.testing.assert_array_equal(errors.noisy_pose(pose, np.ones(23, bool), EXACT, rng), pose)
    found = errors.noisy_keypoints(keypoints, np.zeros(17, int), 30, EXACT, rng)
    np.testing.assert_allclose(found[:, :2], keypoints, rtol=1e-6)
    assert (found[:, 2] == 1).all()


def test_mask_noise_wobbles_the_boundary_only():
    mask = np.zeros((300, 300), bool)
    mask[60:240, 80:220] = True
    ragged = errors.noisy_mask(mask, NoiseSettings(), np.random.default_rng(0))
    overlap = (mask & ragged).sum() / (mask | ragged).sum()
    assert 0.95 < overlap < 0.999
    assert ragged[80:220, 100:200].all() and not ragged[:40].any()


def test_a_mask_cut_by_the_image_stays_cut():
    mask = np.zeros((200, 200), bool)
    mask[50:, 40:160] = True
    ragged = errors.noisy_mask(mask, NoiseSettings(), np.random.default_rng(3))
    assert ragged[-1, 60:140].all()


def test_small_instances_are_missed_more_often():
    rng, noise = np.random.default_rng(0), NoiseSettings()
    rates = [np.mean([errors.missed(a, noise, rng) for _ in range(500)]) for a in (40, 400, 9000)]
    assert rates[0] > 0.5 > rates[1] > rates[2] and rates[2] < 0.06
    assert errors.missed(0, EXACT, rng)


def test_confidences_follow_visibility():
    rng = np.random.default_rng(0)
    states = np.repeat([0, 1, 2, 3], 500)
    found = errors.noisy_keypoints(np.zeros((2000, 2)), states, 100, NoiseSettings(), rng)
    means = [found[states == state, 2].mean() for state in range(4)]
    assert means[0] > 0.85 > means[1] > 0.65 > means[2] > 0.4 > means[3]
    jitter = found[states == 0, :2].std()
    assert jitter == pytest.approx(100 * NoiseSettings().keypoint_jitter, rel=0.1)


def test_weak_camera_fit_recovers_a_weak_camera():
    rng = np.random.default_rng(0)
    points, camera = np.float32(rng.normal(0, 0.5, (2, 24, 3))), np.float32([[0.8, 0.1, -0.2]] * 2)
    unit_crop = torch.zeros(2, 2), torch.full((2,), 2.0)
    seen = project_weak(torch.tensor(points), torch.tensor(camera), *unit_crop).numpy()
    found = errors.fit_weak_camera(points, seen, np.ones((2, 24)))
    np.testing.assert_allclose(found, camera, atol=1e-5)


def test_exact_regression_leaves_only_weak_perspective(body):
    """A person far away under a long lens: the weak camera's joints are the true ones."""
    pose, betas = np.zeros((24, 3)), np.zeros(10)
    pose[16, 2], pose[17, 2] = -1.0, 1.0
    R, K = np.diag([1.0, -1, -1]), np.array([[20000.0, 0, 256], [0, 20000.0, 256], [0, 0, 1]])
    joints = body_joints(body, np.float32(pose[None]), np.float32(betas[None]))[0]
    camera_points = joints @ R.T + [0.3, 0.1, 100.0]
    pixels = camera_points @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    person = errors.TruePerson(
        pose, betas, pixels, *(np.ones(24, bool) for _ in range(3)), R=R, K=K
    )
    box = np.concatenate([pixels.min(0), pixels.max(0)])[None]
    found = errors.regress(body, [person], box, EXACT, [np.random.default_rng(0)])
    np.testing.assert_allclose(found.joints[0], pixels, atol=0.6)
    np.testing.assert_allclose(found.pose[0, 1:], pose[1:], atol=1e-6)
    centre, side = square_crop(torch.tensor(box, dtype=torch.float32))
    np.testing.assert_allclose(found.side, side.numpy())
    np.testing.assert_allclose(found.centre, centre.numpy())
    off = errors.regress(body, [person], box, NoiseSettings(), [np.random.default_rng(0)])
    assert np.abs(off.joints - found.joints).max() > 1


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_negative_noise_is_refused(value):
    with pytest.raises(BadInput, match="box_jitter"):
        replace(EXACT, box_jitter=value)
