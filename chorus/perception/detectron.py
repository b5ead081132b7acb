"""`pointrend-r50`: the paper's segmenters, on detectron2 (method.md 3, profile `paper`).

Mode `coco`: PointRend R50-FPN, trained three schedules on COCO. Mode `lvis`: Mask R-CNN X101-32x8d
FPN, trained one schedule on LVIS v0.5, for the objects, and PointRend for the persons. SOURCE is
another file of PointRend's weights.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chorus.body.restricted_pickle import RestrictedUnpickler, array_of, load_with
from chorus.errors import BadInput, Unavailable, unknown_name
from chorus.models import registry
from chorus.models.checkpoints import read_state_dict
from chorus.perception.frames import MOST_INSTANCES, Frame, alike, detections, frame_of
from chorus.records.rows import Detection, Image
from chorus.vocabulary import COCO_NAMES, PERSON, strip_demo

_IMAGES_AT_ONCE = 4
_LVIS_CONFIG = "LVISv0.5-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_1x.yaml"

# The published PointRend model, as differences to detectron2's Mask R-CNN: its own configuration
# file is not part of the installed package.
_POINTREND: dict[str, Any] = {
    "MODEL.MASK_ON": True,
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.ROI_HEADS.NAME": "PointRendROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": True,
    "MODEL.ROI_MASK_HEAD.NAME": "PointRendMaskHead",
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "",
    "MODEL.ROI_MASK_HEAD.FC_DIM": 1024,
    "MODEL.ROI_MASK_HEAD.NUM_FC": 2,
    "MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.IN_FEATURES": ["p2"],
    "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON": True,
    "MODEL.POINT_HEAD.FC_DIM": 256,
    "MODEL.POINT_HEAD.NUM_FC": 3,
    "MODEL.POINT_HEAD.IN_FEATURES": ["p2"],
    "INPUT.MASK_FORMAT": "bitmask",
}


def check(name: str, source: str, imports_dir: Path) -> None:
    """Raise Unavailable if detectron2 or PointRend's weights are missing."""
    for package in ("detectron2", "torchvision"):
        if importlib.util.find_spec(package) is None:
            raise Unavailable(
                f"{name} needs the package {package}, which is not installed: see INSTALL.md, 'The "
                "published networks: detectron2 and mmpose'."
            )
    _pointrend_weights(source, imports_dir)


def load(
    name: str, source: str, imports_dir: Path, device: str, *, mode: str, threshold: float
) -> DetectronSegmenter:
    """The segmenter of a mode, "coco" or "lvis"."""
    coco = [(each,) for each in COCO_NAMES]
    pointrend = _network(
        _pointrend_config(), _pointrend_weights(source, imports_dir), device, threshold
    )
    if mode == "coco":
        return DetectronSegmenter([Part(*pointrend, Classes(coco))])
    (lvis,) = registry.MODELS["segmenter"][name].lvis
    path = registry.require(lvis, imports_dir)
    objects = _network(_lvis_config(), path, device, threshold)
    return DetectronSegmenter(
        [
            Part(*objects, Classes(_lvis_names(), persons=False)),
            Part(*pointrend, Classes(coco, objects=False)),
        ]
    )


class Classes:
    """What a network's classes are called."""

    def __init__(
        self, names: Sequence[Sequence[str]], *, persons: bool = True, objects: bool = True
    ):
        """names: for each class its synonyms in LVIS's spelling or plain words.

        Without `persons` the class that is also called "person" is left out, without `objects` all
        others are.
        """
        self._names = [[name.replace("_", " ") for name in synonyms] for synonyms in names]
        self._persons = persons
        self._objects = objects

    def labels(self, category: str) -> list[str | None]:
        """The label of each class, None for one that is left out; the class that means the category
        bears its name. BadInput if no object's class does, or more than one; none need if the
        category is "person"."""
        labels = [
            (PERSON if self._persons else None)
            if PERSON in synonyms
            else (synonyms[0] if self._objects else None)
            for synonyms in self._names
        ]
        if self._objects and category != PERSON:
            labels[self._meaning(category)] = category
        return labels

    def _meaning(self, category: str) -> int:
        objects = [(at, own) for at, own in enumerate(self._names) if PERSON not in own]
        matches = [(at, own) for at, own in objects if category in own]
        # LVIS tells homonyms apart in brackets: "mouse (computer equipment)".
        matches = matches or [
            (at, own)
            for at, own in objects
            if category in [re.sub(r" *\(.*", "", name) for name in own]
        ]
        if len(matches) > 1:
            choice = " or ".join(
                repr(name) for _, own in matches for name in own if name.startswith(category)
            )
            raise BadInput(f"the category {category!r} is ambiguous in LVIS; name it {choice}.")
        if not matches:
            known = [name for _, own in objects for name in own]
            near = unknown_name("category of this segmenter:", category, known)
            raise BadInput(f"{near} For any noun take --segmenter open-vocabulary.")
        return matches[0][0]


@dataclass(frozen=True)
class Part:
    """One network and what is kept of its answers.

    model: detectron2's, from dicts with `image` (3, h, w) float BGR, `height` and `width` to dicts
    with `instances`; resize: BGR (H, W, 3) uint8 to the size that goes in.
    """

    model: Callable[[list[dict]], list[dict]]
    resize: Callable[[np.ndarray], np.ndarray]
    classes: Classes

    def instances(self, frames: Sequence[Frame]) -> list[Any]:
        """detectron2's `Instances` on the CPU for frames of one size, all in one batch."""
        inputs = []
        for frame in frames:
            seen = self.resize(np.ascontiguousarray(frame.pixels[..., ::-1]))
            image = torch.from_numpy(seen.astype(np.float32).transpose(2, 0, 1).copy())
            inputs.append({"image": image, "height": frame.shape[0], "width": frame.shape[1]})
        with torch.inference_mode():
            return [output["instances"].to("cpu") for output in self.model(inputs)]


class DetectronSegmenter:
    """One or more of detectron2's networks, whose instances are put together."""

    def __init__(self, parts: Sequence[Part]):
        self._parts = parts

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Instances per image of score >= threshold: persons and all classes of objects."""
        frames = [frame_of(image.pixels) for image in images]
        by_image: list[list[Detection]] = [[] for _ in images]
        for part in self._parts:
            labels = {
                category: part.classes.labels(category)
                for category in {strip_demo(image.key.category) for image in images}
            }
            for places in alike([frame.shape for frame in frames], _IMAGES_AT_ONCE):
                answers = part.instances([frames[at] for at in places])
                for at, instances in zip(places, answers, strict=True):
                    own = labels[strip_demo(images[at].key.category)]
                    by_image[at] += to_detections(instances, frames[at], own)
        return by_image


def to_detections(instances: Any, frame: Frame, labels: Sequence[str | None]) -> list[Detection]:
    """Detections of an image from detectron2's `Instances` of its frame (H', W').

    instances: pred_boxes.tensor (N, 4) xyxy, scores (N,), pred_classes (N,) int, pred_masks
    (N, H', W') bool, tensors. labels: of each class, None for classes that are left out.
    """
    names = [labels[number] for number in instances.pred_classes.tolist()]
    kept = [number for number, name in enumerate(names) if name is not None]
    return detections(
        frame,
        [names[number] for number in kept],
        instances.scores.numpy()[kept],
        (instances.pred_masks[number].numpy() for number in kept),
        instances.pred_boxes.tensor.numpy()[kept],
    )


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Fill a network of detectron2 from a file of its model zoo (.pkl) or from a checkpoint (.pth).

    Nothing in the file is executed. BadInput names the first parameter that is not in the file or
    has another shape. Names of old PointRend files are converted by the network itself.
    """
    if path.suffix == ".pkl":
        advice = f"it is damaged, cut short or not a pickle: {registry.how_to_replace(path)}"
        stored = load_with(RestrictedUnpickler, path, "a pickle", advice)
        if not isinstance(stored, dict) or not isinstance(stored.get("model"), dict):
            raise BadInput(f"{path} has no 'model', as files of detectron2's model zoo have.")
        state = {
            name: torch.from_numpy(array_of(value, f"{name} in {path}").copy())
            for name, value in stored["model"].items()
        }
    else:
        state = read_state_dict(path, "model")
    try:
        with _without_notice_of_conversion():
            report = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        # torch's way to say that shapes differ; its first line is a title
        first = str(error).splitlines()[1].strip()
        raise BadInput(f"{path} holds the weights of another network: {first}") from error
    # These two are in the configuration, and old files do without them.
    missing = [name for name in report.missing_keys if name not in ("pixel_mean", "pixel_std")]
    if missing:
        raise BadInput(f"{path} holds the weights of another network: {missing[0]} is missing.")


@contextmanager
def _without_notice_of_conversion() -> Iterator[None]:
    """Without detectron2's warning that old PointRend files are converted: they always are, also
    if nothing in them is old, and nobody need do anything."""
    loggers = [
        logging.getLogger(f"detectron2.projects.point_rend.{module}")
        for module in ("mask_head", "roi_heads")
    ]

    def others(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Weight format of ")

    for logger in loggers:
        logger.addFilter(others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(others)


def _pointrend_weights(source: str, imports_dir: Path) -> Path:
    return registry.given_or_published(source, "pointrend-r50", imports_dir, "a file of weights")


def _pointrend_config() -> Any:
    from detectron2 import model_zoo
    from detectron2.config import get_cfg
    from detectron2.projects.point_rend import add_pointrend_config

    config = get_cfg()
    add_pointrend_config(config)
    config.merge_from_file(model_zoo.get_config_file("Base-RCNN-FPN.yaml"))
    config.merge_from_list([word for pair in _POINTREND.items() for word in pair])
    return config


def _lvis_config() -> Any:
    from detectron2 import model_zoo
    from detectron2.config import get_cfg

    config = get_cfg()
    config.merge_from_file(model_zoo.get_config_file(_LVIS_CONFIG))
    return config


def _lvis_names() -> list[list[str]]:
    """The synonyms of LVIS v0.5's classes in the order the network predicts them."""
    from detectron2.data.datasets.lvis_v0_5_categories import LVIS_CATEGORIES

    return [
        category["synonyms"]
        for category in sorted(LVIS_CATEGORIES, key=lambda category: category["id"])
    ]


def _network(config: Any, path: Path, device: str, threshold: float) -> tuple[Callable, Callable]:
    """The model of a configuration with its weights, and the resizing that belongs to it."""
    from detectron2.data import transforms
    from detectron2.modeling import build_model

    config.MODEL.WEIGHTS = ""
    config.MODEL.DEVICE = device
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = threshold
    config.TEST.DETECTIONS_PER_IMAGE = MOST_INSTANCES
    model = build_model(config).eval()
    load_weights(model, path)
    side = config.INPUT.MIN_SIZE_TEST
    edge = transforms.ResizeShortestEdge([side, side], config.INPUT.MAX_SIZE_TEST)
    return model, lambda image: edge.get_transform(image).apply_image(image)
