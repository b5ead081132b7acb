"""A small body, and persons before known cameras as three programs would record them."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import roma
import torch

from chorus.body.model import BodyModel
from chorus.body.skeleton import PARENTS

SIZE = (640, 480)


def small_body() -> BodyModel:
    """One vertex per joint, person-sized; the first beta makes the body larger."""
    generator = torch.Generator().manual_seed(5)
    template = torch.randn(24, 3, generator=generator) * torch.tensor([0.2, 0.35, 0.08])
    shapes = torch.zeros(24, 3, 10)
    shapes[..., 0] = 0.1 * template
    return BodyModel(
        name="small",
        v_template=template,
        shapedirs=shapes,
        posedirs=None,
        weights=torch.eye(24),
        joint_regressor=torch.eye(24),
        faces=torch.zeros(0, 3, dtype=torch.int64),
        parents=PARENTS,
    )


class People:
    """Persons: rotations (P, 24, 3, 3), betas (P, 10), and HMR2's cameras in square crops.

    bend: how much their joints turn, radians. focal: that of HMR2's camera before a crop of 256
    pixels; 5000 in truth, and the weak camera that it stands for if it is very long.
    """

    def __init__(self, count: int, seed: int = 1, bend: float = 0.1, focal: float = 5000):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(count, *shape, generator=generator)

        self.count = count
        self.focal = focal
        self.rotations = roma.rotvec_to_rotmat(bend * normal(24, 3))
        self.betas = normal(10)
        self.pred_cam = torch.tensor([0.9, 0.0, 0.1]) + 0.1 * normal(3)
        self.centre = torch.tensor([320.0, 240.0]) + 60 * normal(2)
        self.side = 220.0 + 20 * normal()
        self.joints = small_body().pose(self.rotations, self.betas).joints

    @property
    def pixels(self) -> np.ndarray:
        """Joints (P, 24, 2) in the image as HMR2 draws them: by a pinhole camera before the crop,
        the body moved by (tx, ty, 2 * focal / (256 s))."""
        s = self.pred_cam[:, 0]
        depth = 2 * self.focal / (256 * s)
        moved = self.joints + torch.stack([*self.pred_cam[:, 1:].T, depth], dim=-1)[:, None]
        crop = self.focal * moved[..., :2] / moved[..., 2:] + 128
        corner = self.centre - self.side[:, None] / 2
        return (corner[:, None] + crop * (self.side / 256)[:, None, None]).numpy()

    @property
    def boxes(self) -> np.ndarray:
        """Tight boxes (P, 4) xyxy around the joints."""
        return np.concatenate([self.pixels.min(1), self.pixels.max(1)], axis=1)

    def hmr2(self) -> dict[str, np.ndarray]:
        """What HMR2's demo has in hand, as plain arrays."""
        return {
            "image": np.array([f"{at:06d}.jpg" for at in range(self.count)]),
            "global_orient": self.rotations[:, :1].numpy(),
            "body_pose": self.rotations[:, 1:].numpy(),
            "betas": self.betas.numpy(),
            "pred_cam": self.pred_cam.numpy(),
            "box_center": self.centre.numpy(),
            "box_size": self.side.numpy(),
        }

    def phalp(self) -> dict:
        """A 4D-Humans tracking result: one frame with every person."""
        boxes = self.boxes
        frame = {
            "time": 0,
            "shot": 0,
            "frame_path": "outputs/_DEMO/clip/img/000007.jpg",
            "tid": list(range(self.count)),
            "tracked_time": [0] * self.count,
            "bbox": [np.array([x, y, right - x, low - y]) for x, y, right, low in boxes],
            "center": list(self.centre.double().numpy()),
            "scale": [np.array([0.75 * float(side), float(side)]) for side in self.side],
            "size": [[SIZE[1], SIZE[0]]] * self.count,
            "camera_bbox": list(self.pred_cam.numpy()),
            "conf": [np.float32(0.9)] * self.count,
            "mask": [[{"size": [2, 2], "counts": "04"}]] * self.count,
            "smpl": [
                {
                    "global_orient": self.rotations[at, :1].numpy(),
                    "body_pose": self.rotations[at, 1:].numpy(),
                    "betas": self.betas[at].numpy(),
                }
                for at in range(self.count)
            ],
        }
        return {frame["frame_path"]: frame}


def wham(people: People, depth: float = 4.0) -> tuple[dict, np.ndarray]:
    """A WHAM result, person p in frame p, and the true pixels (P, 24, 2)."""
    focal = float(np.hypot(*SIZE))
    tracks, pixels = {}, []
    for at in range(people.count):
        place = np.array([0.3 - 0.2 * at, 0.1, depth], np.float32)
        points = people.joints[at].numpy() + place
        pixels.append(np.array(SIZE) / 2 + focal * points[:, :2] / points[:, 2:])
        tracks[at] = {
            "pose": roma.rotmat_to_rotvec(people.rotations[at]).reshape(1, 72).numpy(),
            "trans": place[None],
            "pose_world": np.zeros((1, 72), np.float32),
            "betas": people.betas[at][None].numpy(),
            "verts": np.zeros((1, 6, 3), np.float32),
            "frame_ids": np.array([at]),
        }
    return tracks, np.stack(pixels)


def write_pickle(path: Path, content: object) -> Path:
    """A pickle compressed as joblib compresses it."""
    path.write_bytes(zlib.compress(pickle.dumps(content), 3))
    return path
