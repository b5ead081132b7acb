"""The error model of the synthetic world's perception: pure functions, one seed per sample.

Every knob is a field of `NoiseSettings` (noise_settings.py); at 0 its part is exact. Figures at the
default settings (measured by tests/synthetic/test_noise.py on the demo's poses): PA-MPJPE about
50 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from chorus.body.model import BodyModel
from chorus.body.skeleton import JOINT_NAMES
from chorus.geometry.masks import box_of
from chorus.geometry.weak_perspective import image_to_crop, project_weak, square_crop
from chorus.synthetic.perceive.noise_settings import NoiseSettings

# Confidence of a keypoint that is visible, hidden by the person's own body, hidden by something
# else inside the image, outside the image. Networks guess hidden joints well, as here.
VISIBLE, SELF_HIDDEN, COVERED, OUTSIDE = 0, 1, 2, 3
_CONFIDENCE = np.array([0.93, 0.74, 0.52, 0.08])
_EXACT_CONFIDENCE = np.array([1.0, 0.75, 0.5, 0.0])

_SPINE = [
    JOINT_NAMES.index(n) for n in ("spine1", "spine2", "spine3", "left_collar", "right_collar")
]
_JOINT_SHARE = np.ones(23)
_JOINT_SHARE[np.array(_SPINE) - 1] = 0.5
_ARMS, _LEGS = (5, 7, 9), (11, 13, 15)  # left ones of COCO's keypoints; the right ones follow each
_FAR = (0.2, 0.6)  # a miss lies that far off, in sizes of the person
_MASK_GRAIN = 12  # size of a boundary wobble: this fraction of the instance
_OUT_OF_IMAGE_WEIGHT = 0.05


def missed(area: float, noise: NoiseSettings, rng: np.random.Generator) -> bool:
    """Whether an instance of so many visible pixels is overlooked."""
    if area <= 0:
        return True
    small = np.exp(-area / noise.small_area) if noise.small_area else 0.0
    return bool(rng.random() < noise.miss_rate + (1 - noise.miss_rate) * small)


def noisy_mask(mask: np.ndarray, noise: NoiseSettings, rng: np.random.Generator) -> np.ndarray:
    """A mask (H, W) whose boundary is displaced by a smooth random field; bool (H, W)."""
    if not noise.mask_boundary or not mask.any():
        return mask
    left, top, right, bottom = box_of(mask).astype(int)
    size = max(right - left, bottom - top)
    shift = noise.mask_boundary * np.clip(size / 256, 0.25, 2.0)
    margin = int(np.ceil(4 * shift)) + 1
    height, width = mask.shape
    rows = slice(max(top - margin, 0), min(bottom + margin, height))
    columns = slice(max(left - margin, 0), min(right + margin, width))
    part = mask[rows, columns]
    # Repeating the edge keeps cut instances cut: their boundary is not the image's border.
    padded = np.pad(part, 1, mode="edge")
    signed = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    signed -= np.where(padded, 0.5, -0.5)
    grain = max(4.0, size / _MASK_GRAIN)
    coarse = rng.normal(0, shift, [int(np.ceil(n / grain)) + 3 for n in part.shape])
    steps = [np.arange(n) / grain + 1 for n in part.shape]
    field = ndimage.map_coordinates(coarse, np.meshgrid(*steps, indexing="ij"), order=3)
    result = np.zeros_like(mask)
    result[rows, columns] = signed[1:-1, 1:-1] + field > 0
    return result if result.any() else mask


def noisy_box(
    box: np.ndarray, size: tuple[int, int], noise: NoiseSettings, rng: np.random.Generator
) -> np.ndarray:
    """A box (4,) xyxy float32 with jittered sides, inside the image; size: width, height."""
    box = np.asarray(box, float)
    extent = np.tile(box[2:] - box[:2], 2)
    moved = np.clip(box + rng.normal(0, 1, 4) * noise.box_jitter * extent, 0, np.tile(size, 2))
    return (moved if (moved[2:] - moved[:2]).min() >= 1 else box).astype(np.float32)


def score(noise: NoiseSettings, rng: np.random.Generator) -> float:
    """Score of a true instance: mostly close to 1, with a tail below a threshold of 0.8."""
    return float(np.clip(1 - rng.exponential(1.0) * noise.score_spread, 0.3, 1.0))


def noisy_keypoints(
    keypoints: np.ndarray,
    visibility: np.ndarray,
    size: float,
    noise: NoiseSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """Keypoints (17, 2) and visibility (17,) of VISIBLE.. to (17, 3) x, y, confidence.

    size: the person's extent in the image, pixels.
    """
    jitter = noise.keypoint_jitter * size * np.where(visibility == VISIBLE, 1.0, 3.0)
    places = keypoints + rng.normal(0, 1, keypoints.shape) * jitter[:, None]
    if noise.confidence_spread:
        wobble = rng.normal(0, noise.confidence_spread, len(visibility))
        confidence = _CONFIDENCE[visibility] + wobble
    else:
        confidence = _EXACT_CONFIDENCE[visibility]
    found = np.column_stack([places, np.clip(confidence, 0, 1)])
    # Strictly after the draws above, which so are the same whether these errors are on or off.
    if noise.keypoint_swap:
        found = sides_swapped(found, noise.keypoint_swap, rng)
    if noise.keypoint_confident_miss:
        found = confidently_missed(found, size, noise, rng)
    return found.astype(np.float32)


def sides_swapped(found: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Keypoints (17, 3) with both arms, or both legs, taken for each other at a rate."""
    order = np.arange(17)
    for left in (np.array(_ARMS), np.array(_LEGS)):
        if rng.random() < rate:
            order[left], order[left + 1] = left + 1, left
    return found[order]


def confidently_missed(
    found: np.ndarray, size: float, noise: NoiseSettings, rng: np.random.Generator
) -> np.ndarray:
    """Keypoints (17, 3), some of them far off with the confidence of visible ones.

    Half of the missed lie on another keypoint of the person, half anywhere a good part of the
    person's size away.
    """
    missed = rng.random(17) < noise.keypoint_confident_miss
    other = found[(np.arange(17) + rng.integers(1, 17, 17)) % 17, :2]
    way = rng.normal(0, 1, (17, 2))
    way *= size * rng.uniform(*_FAR, (17, 1)) / np.linalg.norm(way, axis=1, keepdims=True)
    places = np.where(rng.random((17, 1)) < 0.5, other, found[:, :2] + way)
    sure = _CONFIDENCE[VISIBLE] if noise.confidence_spread else _EXACT_CONFIDENCE[VISIBLE]
    confidence = np.clip(sure + rng.normal(0, 1, 17) * noise.confidence_spread, 0, 1)
    wrong = np.column_stack([places, np.maximum(confidence, found[:, 2])])
    return np.where(missed[:, None], wrong, found)


def distance_to(mask: np.ndarray, place: np.ndarray) -> float:
    """Pixels from a place (2,) to the nearest pixel centre of a mask (H, W); infinite if empty."""
    rows, columns = np.nonzero(mask)
    away = np.hypot(columns + 0.5 - place[0], rows + 0.5 - place[1])
    return float(away.min(initial=np.inf))


def hand_swallowed(
    person: np.ndarray, thing: np.ndarray, wrist: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of person and object (H, W), the person's pixels about a wrist given to the object.

    wrist (2,) and radius: pixels. Both as they were if the object does not reach as far.
    """
    height, width = person.shape
    x, y = np.arange(width) + 0.5 - wrist[0], np.arange(height)[:, None] + 0.5 - wrist[1]
    near = x**2 + y**2 < radius**2
    if not (near & thing).any():
        return person, thing
    return person & ~near, thing | (person & near)


def noisy_pose(
    pose: np.ndarray, visible: np.ndarray, noise: NoiseSettings, rng: np.random.Generator
) -> np.ndarray:
    """Body pose (23, 3) axis-angle with every joint's rotation off; visible (23,) bool."""
    if not noise.pose_error:
        return pose
    spread = np.radians(noise.pose_error) * _JOINT_SHARE
    spread = spread * np.where(visible, 1.0, 1 + noise.hidden_pose_error)
    if noise.occlusion_pose_error:
        spread = spread * (1 + noise.occlusion_pose_error * np.mean(~visible))
    wrong = Rotation.from_rotvec(rng.normal(0, 1, (23, 3)) * spread[:, None])
    return (Rotation.from_rotvec(pose) * wrong).as_rotvec()


def noisy_rotation(
    rotation: np.ndarray, noise: NoiseSettings, rng: np.random.Generator
) -> np.ndarray:
    """Global rotation (3, 3), off by a small turn."""
    wrong = rng.normal(0, 1, 3) * np.radians(noise.rotation_error)
    return Rotation.from_rotvec(wrong).as_matrix() @ rotation


def noisy_betas(betas: np.ndarray, noise: NoiseSettings, rng: np.random.Generator) -> np.ndarray:
    """Shape parameters (10,), off."""
    return betas + rng.normal(0, 1, betas.shape) * noise.betas_error


def noisy_camera(camera: np.ndarray, noise: NoiseSettings, rng: np.random.Generator) -> np.ndarray:
    """Weak cameras (3,) s, tx, ty, off."""
    wrong = rng.normal(0, noise.camera_error, 3) if noise.camera_error else np.zeros(3)
    return np.array([camera[0] * np.exp(wrong[0]), *(camera[1:] + wrong[1:])])


def crop_rotation(centre: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of the camera onto the ray through a crop's centre (2,), pixels.

    A regressor sees a crop and takes its middle for the optical axis, so it reports orientations in
    the frame of a camera turned toward the crop.
    """
    ray = np.linalg.solve(K, np.array([centre[0], centre[1], 1.0]))
    ray /= np.linalg.norm(ray)
    axis = np.cross(ray, [0.0, 0.0, 1.0])
    length = np.linalg.norm(axis)
    if length < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(axis / length * np.arctan2(length, ray[2])).as_matrix()


def fit_weak_camera(points: np.ndarray, crop_points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weak cameras (P, 3) = s, tx, ty that bring points (P, J, 3) to crop coordinates (P, J, 2).

    Weighted linear least squares in closed form; weights (P, J). The scale is kept positive.
    """
    total = weights.sum(1, keepdims=True)[..., None]
    w = weights[..., None]
    flat = points[..., :2]
    mean_from = (w * flat).sum(1, keepdims=True) / total
    mean_to = (w * crop_points).sum(1, keepdims=True) / total
    off_from, off_to = flat - mean_from, crop_points - mean_to
    scale = (w * off_from * off_to).sum((1, 2)) / np.maximum((w * off_from**2).sum((1, 2)), 1e-12)
    scale = np.maximum(scale, 1e-3)
    shift = mean_to[:, 0] - scale[:, None] * mean_from[:, 0]
    return np.column_stack([scale, shift])


@dataclass(frozen=True)
class TruePerson:
    """What the regressor's error model needs of one person; arrays as in the truth table.

    pose (24, 3), betas (10,), joints2d (24, 2) pixels, visible (24,) bool, in_image (24,) bool,
    in_front (24,) bool, R (3, 3) world to camera, K (3, 3).
    """

    pose: np.ndarray
    betas: np.ndarray
    joints2d: np.ndarray
    visible: np.ndarray
    in_image: np.ndarray
    in_front: np.ndarray
    R: np.ndarray
    K: np.ndarray


@dataclass(frozen=True)
class Regressed:
    """Answers for P persons: pose (P, 24, 3), betas (P, 10), camera (P, 3), centre (P, 2),
    side (P,), joints (P, 24, 2) in image pixels. float32."""

    pose: np.ndarray
    betas: np.ndarray
    camera: np.ndarray
    centre: np.ndarray
    side: np.ndarray
    joints: np.ndarray


def regress(
    body: BodyModel,
    persons: list[TruePerson],
    boxes: np.ndarray,
    noise: NoiseSettings,
    rngs: list[np.random.Generator],
) -> Regressed:
    """What a crop-based body regressor would answer for P >= 1 persons on boxes (P, 4) xyxy.

    Pose, shape and global rotation are off by the noise; the camera is the weak-perspective camera
    in the 1.2 x square crop (method.md, appendix) that fits the predicted joints to the true ones
    best.
    """
    boxes = torch.as_tensor(np.asarray(boxes, np.float32)).reshape(-1, 4)
    centre, side = square_crop(boxes)
    poses, betas = [], []
    for person, middle, rng in zip(persons, centre.numpy(), rngs, strict=True):
        turn = Rotation.from_rotvec(person.pose[0]).as_matrix()
        turn = noisy_rotation(crop_rotation(middle, person.K) @ person.R @ turn, noise, rng)
        limbs = noisy_pose(person.pose[1:], person.visible[1:], noise, rng)
        poses.append(np.concatenate([Rotation.from_matrix(turn).as_rotvec()[None], limbs]))
        betas.append(noisy_betas(person.betas, noise, rng))
    pose, shape = (np.asarray(value, np.float32) for value in (poses, betas))
    points = body_joints(body, pose, shape)
    pixels = torch.as_tensor(np.array([p.joints2d for p in persons], np.float32))
    wanted = image_to_crop(pixels, centre, side).numpy()
    weights = np.array(
        [np.where(p.in_image, 1.0, _OUT_OF_IMAGE_WEIGHT) * p.in_front + 1e-6 for p in persons]
    )
    fitted = fit_weak_camera(points.astype(float), wanted, weights)
    camera = np.array(
        [noisy_camera(best, noise, rng) for best, rng in zip(fitted, rngs, strict=True)], np.float32
    )
    joints = project_weak(torch.from_numpy(points), torch.from_numpy(camera), centre, side)
    return Regressed(pose, shape, camera, centre.numpy(), side.numpy(), joints.numpy())


def body_joints(body: BodyModel, pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Kinematic joints (P, 24, 3), metres, of poses (P, 24, 3) and betas (P, 10)."""
    count = min(betas.shape[-1], body.shapedirs.shape[2])
    shape = torch.from_numpy(np.ascontiguousarray(betas[:, :count]))
    with torch.no_grad():
        joints = body.posed_joints(torch.from_numpy(pose), shape)
    return joints.numpy().astype(np.float32)
