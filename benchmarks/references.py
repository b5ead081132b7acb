"""Plain versions of the fast operations: the same mathematics, written for clarity.

See method.md 7-12.

Those that tests/references keeps are taken from there; the others are all neighbours by brute
force, a loop over thresholds, one pose after the other, dense weights.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from chorus.occupancy.views import Views

_PAIRS_AT_ONCE = 1 << 24
_TESTS = Path(__file__).parents[1] / "tests"


def from_tests(path: str) -> ModuleType:
    """A plain version that the tests keep, by its path under tests/."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, _TESTS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nearest(points, vertices, k):
    """Distances and numbers (P, k) of the k nearest vertices: all distances, chunk by chunk."""
    points, vertices = torch.as_tensor(points), torch.as_tensor(vertices)
    chunks = [
        torch.cdist(chunk, vertices, compute_mode="donot_use_mm_for_euclid_dist").topk(
            k, dim=1, largest=False
        )
        for chunk in points.split(max(1, _PAIRS_AT_ONCE // len(vertices)))
    ]
    return tuple(torch.cat([chunk[i] for chunk in chunks]).numpy() for i in range(2))


def skinning_field(vertices, weights, grid, settings):
    """(N^3, J) float64: the skinning field of method.md 7, as the tests keep it."""
    plain = from_tests("references/skinning_field.py").plain_field
    return plain(torch.as_tensor(vertices), torch.as_tensor(weights), grid, settings)


def region(vertices, part_of_vertex, numbers, grid, distance):
    """Numbers of the voxels closer than `distance` to a vertex of the segments (method.md 9)."""
    mine = vertices[np.isin(part_of_vertex, numbers)]
    return np.flatnonzero(nearest(grid.centres(), mine, 1)[0][:, 0] < distance)


def aggregate(space, poses, R, t, K, masks):
    """(image, mask, hidden, members): counts (parts, 12, N^3), members (parts, B); masks (H, W)
    bool."""
    plain = from_tests("references/aggregation.py").plain_counts
    return plain(space, Views.of(poses, R, t, K, masks))


def canonical_places(body, star, pose, grid, settings):
    """(N^3, 3) float64: where the voxels of a posed space come from (method.md 10)."""
    pose = np.array(pose, np.float32)
    pose[0] = 0
    posed = body.pose(pose)
    back = posed.transforms.double() @ torch.linalg.inv(star.transforms.double())
    weights = skinning_field(posed.vertices, body.weights, grid, settings)
    blended = (weights @ back.numpy().reshape(24, 16)).reshape(-1, 4, 4)
    moved = grid.centres().astype(np.float64) - blended[:, :3, 3]
    return np.linalg.solve(blended[:, :3, :3], moved[..., None])[..., 0]


def pose_distribution(distribution, body, star, pose, settings):
    """(N, N, N): the probability around another pose, voxel by nearest voxel (method.md 10)."""
    places = canonical_places(body, star, pose, distribution.grid, settings)
    return distribution.query(places).reshape(distribution.grid.shape)


def pap(probability, image, target, body, star, grid, settings, pap_settings):
    """(2,): PAP and PAP_strict of one test image, a loop over thresholds (method.md 12, pap/v2)."""
    places = canonical_places(body, star, image.pose, grid, settings)
    index = grid.index_of(places)
    value = np.where(index >= 0, probability.reshape(-1)[np.maximum(index, 0)], -1)
    camera = grid.centres() @ np.asarray(image.R, np.float64).T + image.t
    pixel = camera @ np.asarray(image.K, np.float64).T
    scale = min(target.shape) / min(image.mask.shape)
    u = np.floor(scale * pixel[:, 0] / pixel[:, 2])
    v = np.floor(scale * pixel[:, 1] / pixel[:, 2])
    seen = (pixel[:, 2] > 0) & (u >= 0) & (v >= 0) & (u < target.shape[1]) & (v < target.shape[0])
    on = np.zeros((len(pap_settings.thresholds), *target.shape), bool)
    for number, threshold in enumerate(pap_settings.thresholds):
        mine = seen & (value >= threshold)
        on[number, v[mine].astype(int), u[mine].astype(int)] = True
    walk = from_tests("references/pap.py").average_precision
    return np.array([walk(on, target, closed=True, strict=strict) for strict in (False, True)])


def pose_body(body, poses):
    """(B, V, 3) float64: vertices of every pose, joint by joint, pose by pose (method.md 7)."""
    import roma

    joints = (body.joint_regressor @ body.v_template).double().numpy()
    rest = np.concatenate([body.v_template.numpy(), np.ones((len(body.v_template), 1))], axis=1)
    posed = np.empty((len(poses), len(rest), 3))
    for number, pose in enumerate(poses):
        turns = roma.rotvec_to_rotmat(torch.as_tensor(pose).double()).numpy()
        chain = np.tile(np.eye(4), (24, 1, 1))
        for joint in range(24):
            parent = body.parents[joint]
            chain[joint, :3, :3] = turns[joint]
            chain[joint, :3, 3] = joints[joint] - (joints[parent] if joint else 0)
            if joint:
                chain[joint] = chain[parent] @ chain[joint]
        chain[:, :3, 3] -= np.einsum("jab,jb->ja", chain[:, :3, :3], joints)
        blended = (body.weights.double().numpy() @ chain.reshape(24, 16)).reshape(-1, 4, 4)
        posed[number] = np.einsum("vij,vj->vi", blended, rest)[:, :3]
    return posed


def masks(counts, height, width):
    """Masks (H, W) of 0 and 1 by COCO's own decoder."""
    from pycocotools import mask

    return [mask.decode({"size": [height, width], "counts": each}) for each in counts]


def read_rows(path: Path) -> list[dict]:
    """A table's rows, value by value."""
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(path)
    names = content.column_names
    return [{name: content[name][at].as_py() for name in names} for at in range(len(content))]
