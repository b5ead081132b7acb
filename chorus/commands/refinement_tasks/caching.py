"""`chorus scorehmr cache_hmr2`: HMR2's bodies of a data set's images, as ScoreHMR caches them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.settings import BodyOptions, DeviceOptions, resolve_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from chorus.commands.refinement_tasks.data_files import DataSet
    from chorus.perception.protocols import HumanRegressor
    from chorus.records.rows import Person

_ASPECT = 192 / 256  # of the boxes that HMR2 takes, whose height is then the crop's side


@dataclass(frozen=True)
class CacheHmr2(DeviceOptions, BodyOptions):
    """Regress every person of 3DPW-TEST by HMR2, and write what ScoreHMR starts from."""

    root: Path = Path(".")
    """Folder of data/ and cache/."""
    data: Path | None = None
    """The data set's file; data/datasets/3dpw_test.npz if left out."""
    img_dir: Path = Path("data/images")
    """Folder that the data set's image names are relative to."""
    checkpoint: Path | None = None
    """HMR2's checkpoint; the one below the imports folder if left out."""
    batch_size: int = 32
    """Images that are in memory together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 1:
            raise BadInput(f"--batch_size must be at least 1, found {self.batch_size}.")

    def run(self, progress: Progress = None) -> CommandResult:
        """Regress all, and write cache/hmr2b/<the data set's file>."""
        from chorus.body.loading import load_body
        from chorus.commands.refinement_tasks.data_files import read_data_set
        from chorus.commands.refinement_tasks.results import save_arrays
        from chorus.perception import hmr2

        started = time.monotonic()
        source = "" if self.checkpoint is None else str(self.checkpoint)
        hmr2.check("scorehmr cache_hmr2", source, self.imports_dir)
        path = self.data or self.root / "data/datasets/3dpw_test.npz"
        data = read_data_set(path, self.img_dir)
        body = load_body(self.body, self.imports_dir)
        device = resolve_device(self.device)
        regress = hmr2.load("hmr2", source, self.imports_dir, device, body=body)
        persons: list[Person] = []
        with progress_bar(progress, len(data.names), "hmr2", "person") as advance:
            for start in range(0, len(data.names), self.batch_size):
                rows = range(start, min(start + self.batch_size, len(data.names)))
                persons += regressed(regress, data, rows, self.img_dir)
                advance(len(rows))
        out = self.root / "cache/hmr2b" / path.name
        out.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(out, cached(persons, data))
        seconds = time.monotonic() - started
        return CommandResult(f"scorehmr: {len(persons)} persons in {seconds:.0f} s → {out}")


def regressed(
    regress: HumanRegressor, data: DataSet, rows: Sequence[int], folder: Path
) -> list[Person]:
    """The persons of some rows. BadInput for an image that cannot be read or a box outside it."""
    import numpy as np

    from chorus.commands.perceiving.photos import pixels_of
    from chorus.records.keys import SampleKey, ShardKey
    from chorus.records.rows import Image

    shard = ShardKey("scorehmr", "person", "data set", "")
    images, boxes = [], []
    for row in rows:
        try:
            pixels = pixels_of(folder / data.names[row])
        except BadInput as error:
            raise BadInput(f"{folder / data.names[row]}: {error}") from error
        images.append(Image(SampleKey(*shard, row), pixels))
        half = data.side[row] / 2 * np.array([_ASPECT, 1])
        boxes.append(np.concatenate([data.centre[row] - half, data.centre[row] + half])[None])
    persons = []
    for row, (found,) in zip(rows, regress.regress(images, boxes), strict=True):
        if isinstance(found, str):
            raise BadInput(f"row {row}, {data.names[row]}: its person is {found}.")
        persons.append(found)
    return persons


def cached(persons: Sequence[Person], data: DataSet) -> dict[str, np.ndarray]:
    """Persons as ScoreHMR's cache has them, with their translation before its 5000 px camera."""
    import numpy as np
    import roma
    import torch

    from chorus.commands.refinement_tasks.data_files import of_weak_camera

    pose = torch.from_numpy(np.stack([person.pose for person in persons]))
    camera = np.stack([person.camera for person in persons])
    centre = np.stack([person.crop_centre for person in persons])
    side = np.array([person.crop_side for person in persons])
    return {
        "pred_betas": np.stack([person.betas for person in persons]),
        "pred_pose": roma.rotvec_to_rotmat(pose).numpy(),
        "pred_cam": camera,
        "pred_cam_t": of_weak_camera(camera, centre, side, data.image_size),
    }
