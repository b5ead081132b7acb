"""What an evaluation of refined persons prints and writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from chorus.commands.refinement_tasks.data_files import FOCAL, DataSet
from chorus.commands.refinement_tasks.evaluation import Refined
from chorus.files import atomic_write, content_digest, replacing
from chorus.refinement.score.settings import GuidanceSettings


def summary(errors: dict[str, np.ndarray]) -> str:
    """Means of errors, as the release prints them."""
    return "\n".join([f"{name}: {each.mean():.1f} mm" for name, each in errors.items()] + ["***"])


def save(
    out: Path,
    name: str,
    data: DataSet,
    refined: Refined,
    errors: dict[str, np.ndarray],
    by_group: dict[str, dict[int, np.ndarray]],
    about: dict[str, Any],
) -> tuple[Path, Path]:
    """Write <out>/<name>.json (means, and errors of every sample) and <name>.npz (bodies, joints
    and cameras of every sample); the two paths.

    by_group: errors of a group's inner frames, which no single sample has.
    """
    samples = [
        {
            "imgname": data.names[at],
            "group": int(data.group[at]),
            **{name: float(each[at]) for name, each in errors.items()},
            "loss_before": float(refined.loss_before[at]),
            "loss": float(refined.loss[at]),
            "stopped": bool(refined.stopped[at]),
        }
        for at in range(len(data.names))
    ]
    pooled = {n: np.concatenate(list(groups.values())) for n, groups in by_group.items()}
    record = {
        **about,
        "unit": "mm; of accelerations mm per frame squared",
        "means": {n: float(each.mean()) for n, each in {**errors, **pooled}.items() if each.size},
        "samples": samples,
        "groups": {n: {str(g): e.tolist() for g, e in gs.items()} for n, gs in by_group.items()},
    }
    table, arrays = out / f"{name}.json", out / f"{name}.npz"
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(table, json.dumps(record, indent=1).encode())
    save_arrays(arrays, parameters(data, refined))
    return table, arrays


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz whole or not at all."""
    with replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def parameters(data: DataSet, refined: Refined) -> dict[str, np.ndarray]:
    """Every person's body, joints and camera, as arrays."""
    import roma
    import torch

    count = len(data.names)
    return {
        "imgname": np.array(data.names),
        "group": data.group,
        "pose": roma.rotmat_to_rotvec(torch.from_numpy(refined.rotations)).numpy(),
        "betas": refined.betas,
        "translation": refined.translation,
        "focal_length": np.full(count, FOCAL, np.float32),
        "principal_point": data.image_size / 2,
        "img_size": data.image_size,
        "joints": refined.points,
    }


def described(settings: GuidanceSettings, files: dict[str, Path]) -> dict[str, Any]:
    """What a result remembers of how it was made: settings, and the files' digests."""
    return {
        "settings": asdict(settings),
        "files": {
            what: {"name": path.name, "digest": content_digest(path)}
            for what, path in files.items()
        },
    }
