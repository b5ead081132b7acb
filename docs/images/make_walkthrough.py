"""Makes the picture of docs/walkthrough.md: one image of the quickstart on its way to 3D.

python docs/images/make_walkthrough.py [--results_dir results] [--output PICTURE.jpg]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from chorus.body.loading import load_body
from chorus.body.model import BodyModel
from chorus.engine.sample_counting import views
from chorus.errors import ChorusError
from chorus.evaluation.labelled_images import LabelledImage
from chorus.evaluation.pap import prepare, score
from chorus.filtering.verdicts import FilterSettings
from chorus.geometry.cameras import azimuth_bin, camera_centre, from_homogeneous, project
from chorus.occupancy.accumulate import accumulate
from chorus.occupancy.canonical import CanonicalSpace, canonical_space
from chorus.occupancy.presets import preset
from chorus.occupancy.regions import Part
from chorus.occupancy.views import joint_cameras
from chorus.records.aggregations import WHOLE, AggregationKind, load
from chorus.records.gathering import gather
from chorus.records.image_files import read_image
from chorus.records.joining import read_tables, rows_of
from chorus.records.keys import SampleKey
from chorus.records.results_tree import ResultsTree
from chorus.records.rows import Camera, boxes_of, keypoints_of, masks_of, only_person, person_array
from chorus.viewing.contact_sheet import OBJECT_TINT, PERSON_TINT, tinted
from chorus.viewing.displayed import DisplayedBody, DisplayedDistribution
from chorus.viewing.lettering import FAINT_INK, INK, write
from chorus.viewing.overlay import body_overlay
from chorus.viewing.rasterise import CpuRenderer
from chorus.viewing.scene import Composition, Shell, View, compose, frame
from chorus.viewing.surfaces import isosurface

SAMPLE = SampleKey(
    "synthetic-v1", "surfboard-demo", "A person balances on a surfboard", ", full body photo", 7
)
KIND = AggregationKind("qual:demo", (3,))
PANEL, GAP, HEAD, FOOT, COLUMNS = 392, 16, 40, 62, 4
CROP = (76, 92, 492, 508)
"""The part of the image that the panels show: left, top, right, bottom, pixels."""
OVER = 2
"""Panels with an image are drawn so many times as large and shrunk."""
SCALE = OVER * PANEL / (CROP[2] - CROP[0])
LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""Pairs of COCO keypoints that are joined by a line."""
SEEN, UNSEEN, JOINT = (255, 221, 87), (235, 64, 52), (226, 43, 120)
VIEW = View(azimuth_degrees=92, elevation_degrees=22)
THINNED = 3
"""Every so many voxels along each axis are shown outside of the mask."""


class Panel:
    """A square picture with a title above it and two lines below it."""

    def __init__(self, title: str, *lines: str):
        self.title, self.lines = title, lines
        self.picture = Image.new("RGB", (PANEL, PANEL), "white")

    def photograph(self, pixels: np.ndarray, fade: float = 0.0) -> ImageDraw.ImageDraw:
        """Show the crop of an image (512, 512, 3), paler by `fade`; gives what draws on it."""
        mixed = (pixels * (1 - fade) + 255 * fade).astype(np.uint8)
        crop = Image.fromarray(mixed).crop(CROP)
        self.picture = crop.resize((OVER * PANEL, OVER * PANEL), Image.Resampling.LANCZOS)
        return ImageDraw.Draw(self.picture)


def placed(pixels: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of the image as places in a panel as it is drawn."""
    return (np.asarray(pixels, float) - CROP[:2]) * SCALE


def dot(draw: ImageDraw.ImageDraw, at: np.ndarray, radius: float, fill, outline=None) -> None:
    """A disc around one place of a panel."""
    (x, y), r = at, radius * OVER
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=outline, width=OVER)


def body_in_front(body: BodyModel, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and joints (24, 3) of the zero-shape body without its global rotation."""
    pose = torch.from_numpy(pose).clone()
    pose[0] = 0
    posed = body.pose(pose)
    return posed.vertices.numpy(), posed.joints.numpy()


def voxel_pixels(space: CanonicalSpace, view) -> tuple[np.ndarray, np.ndarray]:
    """Where the voxel centres of one view land, (N^3, 2) pixels, and their depth (N^3)."""
    blend = np.einsum("vj,jab->vab", space.weights, joint_cameras(space, view)[0].numpy())
    places = np.concatenate([space.centres, np.ones((len(space.centres), 1))], axis=1)
    homogeneous = np.einsum("vab,vb->va", blend, places)
    return from_homogeneous(homogeneous), homogeneous[:, 2]


def drawn(composition: Composition, view: View) -> Image.Image:
    """A composition in a panel."""
    return Image.fromarray(CpuRenderer(composition, PANEL, PANEL).render(view))


def panels(results: Path, imports: Path) -> list[Panel]:
    """The eight panels."""
    tree = ResultsTree(results)
    body = load_body(None, imports)
    names = ("images", "segmentations", "humans", "human_kps", "filtered", "filtered_cameras")
    rows = rows_of(SAMPLE.index, read_tables(tree, SAMPLE.shard, names))
    image = read_image(tree, SAMPLE, rows["images"]).pixels
    shown = [Panel("images", rows["images"]["text"].split(",")[0], "full body photo, 512 × 512")]
    shown[0].photograph(image)

    detections = rows["segmentations"]["detections"]
    person, target = masks_of(rows["segmentations"])
    labels = [f"{each['label']} {each['score']:.2f}" for each in detections]
    segment = Panel("segment", ",  ".join(labels), "boxes, masks as run lengths")
    picture = tinted(tinted(image, person, PERSON_TINT), target, OBJECT_TINT)
    draw = segment.photograph(picture)
    for box, tint in zip(boxes_of(detections), (PERSON_TINT, OBJECT_TINT), strict=True):
        draw.rectangle((*placed(box[:2]), *placed(box[2:])), outline=tint, width=3 * OVER)

    points = keypoints_of(rows["human_kps"]["persons"])[0]
    seen = points[:, 2] > FilterSettings().confidence
    rules = [n for n, one in enumerate(rows["filtered"]["verdicts"], 1) if one == "retained"]
    keypoints = Panel(
        "keypoints, filter",
        f"yellow: the {seen.sum()} of 17 with confidence > {FilterSettings().confidence}",
        f"retained by rules {', '.join(map(str, rules))}",
    )
    draw = keypoints.photograph(image, 0.25)
    at = placed(points[:, :2])
    for one, other in LIMBS:
        draw.line((*at[one], *at[other]), fill="white", width=3 * OVER)
    for where, good in zip(at, seen, strict=True):
        dot(draw, where, 6, SEEN if good else UNSEEN, (40, 40, 40))

    human = only_person(rows["humans"])
    camera = Camera.of_row(rows["filtered_cameras"])
    vertices, joints = body_in_front(body, person_array(human, "pose"))
    found, _ = project(joints, camera.R, camera.t, camera.K)
    R, t = torch.from_numpy(camera.R), torch.from_numpy(camera.t)
    calibrate = Panel(
        "humans, calibrate",
        "crosses: predicted joints, weak perspective",
        f"body, dots: pinhole camera, residual {camera.residual:.2f} px",
    )
    overlaid = body_overlay(image, vertices, body.faces.numpy(), camera.R, camera.t, camera.K)
    draw = calibrate.photograph(overlaid)
    for x, y in placed(person_array(human, "joints")):
        draw.line((x - 16, y, x + 16, y), fill=JOINT, width=5)
        draw.line((x, y - 16, x, y + 16), fill=JOINT, width=5)
    for where in placed(found):
        dot(draw, where, 2.6, "white")

    gathered = gather(tree, [SAMPLE.shard], KIND.rules)
    view = views(gathered, [gathered.keys.index(SAMPLE)])
    space = canonical_space(body, preset(KIND.preset), imports / "cache", (Part(WHOLE),))
    counts = accumulate(space, view).counts[WHOLE]
    hit = counts.mask.sum(axis=0).reshape(-1) > 0
    pixels, depth = voxel_pixels(space, view)
    deform = Panel(
        "aggregate: deform and project",
        f"{space.grid.count:,} voxels, {int(counts.image.sum()):,} in the image",
        f"orange: the {hit.sum():,} in the object's mask",
    )
    draw = deform.photograph(image, 0.4)
    shown_voxels = (np.indices(space.grid.shape) % THINNED == 1).all(axis=0).reshape(-1)
    for chosen, radius, tint in ((shown_voxels & ~hit, 1.3, (52, 62, 80)), (hit, 1.9, OBJECT_TINT)):
        for where in placed(pixels[chosen & (depth > 0)]):
            if (where > -2).all() and (where < OVER * PANEL + 2).all():
                dot(draw, where, radius, tint)

    canonical = DisplayedBody.of(body)
    folder = tree.aggregation(*SAMPLE[:3], KIND.name)
    learned = load(folder)[WHOLE]
    composed = compose(DisplayedDistribution.of(learned), canonical)
    one = isosurface(counts.mask.sum(axis=0).astype(np.float32), 0.5, space.grid.side)
    tint = np.array(OBJECT_TINT) / 255
    single = Composition(canonical, (Shell(one, 0.5, tint, 0.5),), composed.centre, one.vertices)
    (look,) = frame(single, [VIEW])
    bin_number = int(azimuth_bin(R, t))
    alone = Panel(
        "aggregate: one view",
        "the same voxels around the star-pose body",
        f"azimuth bin {bin_number}: {30 * bin_number}° to {30 * bin_number + 30}°",
    )
    alone.picture = drawn(single, look)
    line_of_sight(alone.picture, single, look, camera_centre(R, t).numpy())

    together = Panel(
        "aggregate: all views",
        f"{learned.metadata['members']} retained samples of the prompt",
        f"probability, at most {learned.probability.max():.2f}",
    )
    (closer,) = frame(composed, [VIEW])
    together.picture = drawn(composed, closer)

    again = Panel(
        "evaluate: posed and projected",
        "the largest probability in each of 32 × 32 cells",
        "line: the mask (evaluate takes test images)",
    )
    pose = person_array(human, "pose")
    labelled = LabelledImage(pose, camera.R, camera.t, camera.K, target)
    result = score(learned.probability, prepare(labelled, body, learned.grid))
    again.picture = heat(result.likelihood, image)
    outline(again.picture, target)
    colour_bar(again.picture, float(result.likelihood.max()))
    return [*shown, segment, keypoints, calibrate, deform, alone, together, again]


def line_of_sight(picture, composition: Composition, view: View, centre: np.ndarray) -> None:
    """An arrow beside the body along the line of sight of the camera that took the image."""
    R, t, K = view.camera(composition, PANEL, PANEL)
    away = centre / np.linalg.norm(centre)
    level = np.array([0, 0.55, 0])
    tail, head = project(np.stack([level + 1.75 * away, level + 0.85 * away]), R, t, K)[0]
    along = (head - tail) / np.linalg.norm(head - tail)
    across = np.array([-along[1], along[0]])
    draw = ImageDraw.Draw(picture)
    draw.line((*tail, *(head - 6 * along)), fill=INK, width=3)
    barbs = [head, head - 13 * along + 6 * across, head - 13 * along - 6 * across]
    draw.polygon([tuple(one) for one in barbs], fill=INK)
    write(draw, tuple((tail + head) / 2 + [0, -16]), "line of sight", 15, width=200, anchor="mm")


def heat(likelihood: np.ndarray, image: np.ndarray) -> Image.Image:
    """The cells' probabilities over the pale image, in the panel's crop."""
    from matplotlib import colormaps

    side = image.shape[0] // likelihood.shape[0]
    field = np.kron(np.maximum(likelihood, 0), np.ones((side, side)))
    share = np.clip(field / field.max(), 0, 1)[..., None]
    colours = 255 * colormaps["plasma"](share[..., 0])[..., :3]
    opacity = 0.92 * np.clip((share - 0.1) / 0.3, 0, 1)
    grey = 0.45 * image.mean(axis=2, keepdims=True) + 0.55 * 255
    mixed = grey * (1 - opacity) + colours * opacity
    crop = Image.fromarray(mixed.astype(np.uint8)).crop(CROP)
    return crop.resize((OVER * PANEL, OVER * PANEL), Image.Resampling.NEAREST)


def colour_bar(picture: Image.Image, top: float) -> None:
    """What the colours of `heat` mean, from 0 to `top`."""
    from matplotlib import colormaps

    ramp = 255 * colormaps["plasma"](np.linspace(0, 1, 120))[:, :3]
    bar = Image.fromarray(np.repeat(ramp[None].astype(np.uint8), 10, axis=0))
    left, above = OVER * (PANEL - 166), OVER * 18
    picture.paste(bar.resize((OVER * bar.width, OVER * bar.height)), (left, above))
    draw, middle = ImageDraw.Draw(picture), above + OVER * 5
    write(draw, (left - 16, middle), "0", 15 * OVER, width=80, anchor="rm")
    write(draw, (left + 256, middle), f"{top:.2f}", 15 * OVER, width=90, anchor="lm")


def outline(picture: Image.Image, mask: np.ndarray) -> None:
    """Draw a mask's outline into a panel."""
    import cv2

    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    draw = ImageDraw.Draw(picture)
    for line in lines:
        draw.line(
            [tuple(where) for where in placed(line[:, 0] + 0.5)], fill="white", width=2 * OVER
        )


def main(results: Path, imports: Path, output: Path) -> None:
    """All panels on one page."""
    shown = panels(results, imports)
    rows = -(-len(shown) // COLUMNS)
    block = HEAD + PANEL + FOOT
    page = Image.new("RGB", (COLUMNS * (PANEL + GAP) - GAP, rows * block), "white")
    draw = ImageDraw.Draw(page)
    for number, panel in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        left, top = column * (PANEL + GAP), row * block
        title = f"{number + 1}  {panel.title}"
        write(draw, (left + 2, top + 20), title, 20, width=PANEL, bold=True, anchor="lm")
        picture = panel.picture.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
        page.paste(picture, (left, top + HEAD))
        for place, line in enumerate(panel.lines):
            below = (left + 2, top + HEAD + PANEL + 14 + 22 * place)
            write(draw, below, line, 15, width=PANEL, ink=FAINT_INK, anchor="lm")
    output.parent.mkdir(parents=True, exist_ok=True)
    page.save(output, quality=88, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results_dir", type=Path, default=Path("results"))
    parser.add_argument("--imports_dir", type=Path, default=Path("imports"))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("walkthrough.jpg"))
    given = parser.parse_args()
    try:
        main(given.results_dir, given.imports_dir, given.output)
    except (ChorusError, OSError) as error:
        sys.exit(f"error: {error}")
