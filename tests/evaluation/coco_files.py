"""Hand-made COCO and EFT files of the published schemas, from bodies and cameras we know."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch

from chorus.body.model import BodyModel
from chorus.geometry import cameras

CATEGORIES = {"person": 1, "skateboard": 41, "surfboard": 42, "tie": 32}
WIDTH, HEIGHT = 640, 480


class Camera(NamedTuple):
    """The true camera of one person, body frame to camera."""

    R: torch.Tensor
    t: torch.Tensor
    K: torch.Tensor


def photograph(body: BodyModel, seed: int, distance: float = 4.0) -> tuple[dict, Camera]:
    """An EFT record of a randomly posed and shaped person, and the true camera.

    The weak camera of the record is the least-squares one for the person's true pixels, seen as the
    regressor sees it: in a crop around the person, turned with the line of sight.
    """
    generator = torch.Generator().manual_seed(seed)
    pose = 0.3 * torch.randn(24, 3, generator=generator)
    pose[0] = 0
    betas = torch.randn(10, generator=generator)
    direction = torch.randn(3, generator=generator) * torch.tensor([1.0, 0.2, 1.0])
    joints = body.pose(pose).joints
    middle = joints.mean(dim=0)
    eye = middle + distance * direction / direction.norm()
    R, t = cameras.look_at(eye, middle + 0.05 * torch.randn(3, generator=generator))
    focal = torch.tensor(0.5 / math.tan(math.radians(46.4) / 2))
    K = cameras.intrinsics(focal, WIDTH, HEIGHT)
    pixels, _ = cameras.project(joints, R, t, K)

    rotations = roma.rotvec_to_rotmat(pose)
    rotations[0] = R
    flat = body.pose(rotations, betas).joints
    low, high = pixels.amin(dim=0), pixels.amax(dim=0)
    centre, side = (low + high) / 2, 1.2 * (high - low).max()
    coordinates = (pixels - centre) / (side / 2)
    from_middle = flat[:, :2] - flat[:, :2].mean(dim=0)
    scale = (from_middle * coordinates).sum() / from_middle.square().sum()
    shift = coordinates.mean(dim=0) - scale * flat[:, :2].mean(dim=0)
    record = {
        "parm_pose": rotations.tolist(),
        "parm_shape": betas.tolist(),
        "parm_cam": [float(scale), *shift.tolist()],
        "bbox_scale": float(side) / 200,
        "bbox_center": centre.tolist(),
        "gt_keypoint_2d": [[0.0, 0.0, 0.0]] * 49,
        "joint_validity_openpose18": [1] * 18,
        "smpltype": "smpl",
        "annotId": 1000 + seed,
        "imageName": file_name(seed),
        "subjectId": None,
    }
    return record, Camera(R, t, K)


def file_name(number: int) -> str:
    """COCO's name of a val2014 image."""
    return f"COCO_val2014_{number:012d}.jpg"


def rectangle(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A polygon segmentation."""
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def annotation(number: int, image: int, category: str, box, **change) -> dict:
    """An instance annotation with a rectangle as its polygon."""
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORIES[category],
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
        "segmentation": rectangle(*box),
        **change,
    }


def coco_file(images: dict[int, list[dict]]) -> dict:
    """An instances file of images (number -> annotations) of WIDTH x HEIGHT pixels."""
    return {
        "info": {"year": 2014, "version": "1.0"},
        "licenses": [],
        "images": [
            {"id": n, "file_name": file_name(n), "width": WIDTH, "height": HEIGHT, "license": 1}
            for n in images
        ],
        "annotations": [one for annotations in images.values() for one in annotations],
        "categories": [
            {"id": number, "name": name, "supercategory": "thing"}
            for name, number in CATEGORIES.items()
        ],
    }


def eft_file(records: list[dict]) -> dict:
    """An EFT file."""
    return {"ver": 1.0, "data": records}


def usual_annotations(image: int, **objects) -> list[dict]:
    """A person and, by category, object boxes (or lists of them) in one image."""
    made = [annotation(1000 + image, image, "person", (200, 40, 200, 400))]
    for category, boxes in objects.items():
        for box in boxes if isinstance(boxes, list) else [boxes]:
            made.append(annotation(2000 + 100 * image + len(made), image, category, box))
    return made


def direction_error(R: np.ndarray, t: np.ndarray, camera: Camera) -> float:
    """Degrees between two cameras' directions seen from the body's origin."""
    found = cameras.camera_centre(torch.tensor(R), torch.tensor(t))
    true = cameras.camera_centre(camera.R, camera.t).double()
    cosine = torch.nn.functional.cosine_similarity(found, true, dim=0)
    return math.degrees(math.acos(min(1.0, float(cosine))))


def write_model(path: Path, body: BodyModel) -> Path:
    """A body as a model file, with some triangles so that it can be drawn."""
    count = len(body.v_template)
    np.savez(
        path,
        v_template=body.v_template,
        shapedirs=body.shapedirs,
        posedirs=np.zeros((count, 3, 207)),
        weights=body.weights,
        J_regressor=body.joint_regressor,
        f=np.arange(count).reshape(-1, 3),
        kintree_table=np.array([body.parents, range(24)]),
    )
    return path
