"""`chorus scorehmr images`: persons of photographs, refined by a learned prior, as ScoreHMR's image
demonstration.

ScoreHMR's own denoiser needs PARE's features of every image, whose network is licensed and no part
of CHORUS. Here MediaPipe's networks perceive the persons and our own prior refines them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chorus.engine.command_result import CommandResult
from chorus.engine.progress import Progress, progress_bar
from chorus.errors import BadInput
from chorus.settings import BodyOptions

if TYPE_CHECKING:
    from chorus.body.model import BodyModel
    from chorus.perception.perceiving import PerceivedPerson
    from chorus.refinement.map_fit import Evidence
    from chorus.refinement.score.score_fit import ScoreRefiner

_PICTURE = ".png"
_PREFIX = "opt_"


@dataclass(frozen=True)
class DemoImages(BodyOptions):
    """Refine everybody in a folder of photographs: opt_NAME.png with the bodies, and their
    parameters, joints and cameras as opt_NAME.json and opt_NAME.npz."""

    img_folder: Path = Path("example_data/images")
    """Folder of photographs."""
    out_folder: Path = Path("demo_out/images")
    """Folder to write into; files of the same names are replaced."""
    prior: Path | None = None
    """The learned prior, a prior.safetensors of `chorus train score`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.img_folder.is_dir():
            raise BadInput(f"--img_folder {self.img_folder} is not a folder of photographs.")
        if self.out_folder.exists() and not self.out_folder.is_dir():
            raise BadInput(f"--out_folder {self.out_folder} is a file; give a folder.")
        if self.out_folder.resolve().is_relative_to(self.img_folder.resolve()):
            raise BadInput(
                f"--out_folder {self.out_folder} lies in --img_folder, where its pictures would be "
                "taken for photographs the next time; give another folder."
            )
        if self.prior is None or not self.prior.is_file():
            found = "none was given" if self.prior is None else f"{self.prior} is not a file"
            raise BadInput(
                f"--prior needs a learned prior, {found}; make one with `chorus train score`. "
                "ScoreHMR's own checkpoint cannot refine photographs here: it needs PARE's "
                "features of them, which CHORUS has no network for; with cached features, take "
                "eval_keypoint_fitting.py."
            )

    def run(self, progress: Progress = None) -> CommandResult:
        """Refine every photograph; one that cannot be read is reported and stops nothing."""
        from chorus.body.loading import load_body
        from chorus.commands.perceive import OVERLAY
        from chorus.commands.perceiving.photos import photographs_of, pixels_of
        from chorus.commands.perceiving.results import Results
        from chorus.perception import blazepose
        from chorus.perception.perceiving import Perceiver
        from chorus.refinement.score.learned import load_learned
        from chorus.refinement.score.score_fit import ScoreRefiner

        started = time.monotonic()
        photos = photographs_of([self.img_folder], OVERLAY)
        blazepose.check("scorehmr images", "", self.imports_dir)
        body = load_body(self.body, self.imports_dir)
        scorer = ScoreRefiner(body, load_learned(self.prior))
        perceive = Perceiver(self.imports_dir, body)
        results = Results(self.out_folder, body, _PICTURE)
        called = _called([photo.name for photo in photos])
        problems = []
        with progress_bar(progress, len(photos), "refine", "photo") as advance:
            for photo in photos:
                try:
                    pixels = pixels_of(photo.path)
                    persons = refined(perceive(pixels), body, scorer)
                    results.add(photo.name, pixels, persons, called[photo.name])
                except BadInput as error:
                    problems.append(f"{photo.name}: {error}")
                advance(1)
        results.finish()
        line = (
            f"scorehmr: {results.bodies} bodies of {results.persons} persons in {results.done} of "
            f"{len(photos)} photographs in {time.monotonic() - started:.1f} s → {self.out_folder}"
        )
        return CommandResult(line, [*problems, *results.remarks()], ok=not problems)


def _called(names: Sequence[str]) -> dict[str, str]:
    """What the files of each photograph are called: opt_ and its name, without the ending if no
    other photograph has the same without."""
    plain = {name: Path(name).with_suffix("").as_posix() for name in names}
    shared = {name for name, count in Counter(plain.values()).items() if count > 1}
    chosen = {name: Path(name if bare in shared else bare) for name, bare in plain.items()}
    return {n: path.with_name(_PREFIX + path.name).as_posix() for n, path in chosen.items()}


def refined(
    persons: Sequence[PerceivedPerson], body: BodyModel, scorer: ScoreRefiner
) -> list[PerceivedPerson]:
    """Persons of one photograph with their bodies refined; who has none, or whose fit is not
    finite, stays as is."""
    import torch

    from chorus.refinement.agreement import agreement, body_surface, surface_pixels
    from chorus.refinement.map_fit import NOT_FINITE

    with_body = [at for at, person in enumerate(persons) if person.body is not None]
    if not with_body:
        return list(persons)
    some = [persons[at] for at in with_body]
    betas = torch.stack([person.body.betas for person in some])
    fitted = scorer(evidence_of(some, body), betas).fitted
    upright = fitted.pose.clone()
    upright[:, 0] = 0
    pelvis = (fitted.R @ body.rest()[1][0]) + fitted.t
    surface = body_surface(body)
    pixels = None
    if surface is not None:
        transforms = body.skinning_transforms(upright)
        pixels = surface_pixels(surface, transforms, fitted.R, fitted.t, fitted.K).numpy()
    answer = list(persons)
    for row, (at, person) in enumerate(zip(with_body, some, strict=True)):
        if fitted.failure[row] == NOT_FINITE:
            continue
        mask = person.found.mask
        same = agreement(pixels[row], mask, mask & False) if pixels is not None else float("nan")
        found = replace(
            person.body,
            pose=fitted.pose[row],
            root=pelvis[row],
            K=fitted.K[row],
            error=float(fitted.residual[row]),
            agreement=same,
        )
        answer[at] = replace(person, body=found)
    return answer


def evidence_of(persons: Sequence[PerceivedPerson], body: BodyModel) -> Evidence:
    """What refinement knows of persons with bodies."""
    import numpy as np
    import torch

    from chorus.geometry import cameras
    from chorus.refinement.articulated import NEAR
    from chorus.refinement.map_fit import Evidence

    bodies = [person.body for person in persons]
    pose = torch.stack([each.pose for each in bodies])
    betas = torch.stack([each.betas for each in bodies])
    joints = body.posed_joints(pose, betas)
    joints = joints - joints[:, :1] + torch.stack([each.root for each in bodies])[:, None]
    K = torch.stack([each.K for each in bodies])
    straight = pose.clone()
    straight[:, 0] = torch.stack([each.straight for each in bodies])
    upright = pose.clone()
    upright[:, 0] = 0
    boxes = torch.from_numpy(np.stack([person.found.box for person in persons])).float()
    sizes = [person.found.size[::-1] for person in persons]
    return Evidence(
        pose=straight,
        joints3d=body.posed_joints(upright),
        joints2d=cameras.from_homogeneous(joints @ K.mT, NEAR),
        keypoints=torch.from_numpy(np.stack([person.keypoints for person in persons])).float(),
        extent=(boxes[:, 2:] - boxes[:, :2]).amax(1),
        image_size=torch.tensor(sizes, dtype=torch.float32),
    )
