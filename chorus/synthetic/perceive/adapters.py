"""The synthetic world behind the protocols of `generation` and `perception`.

The image model draws scenes; the three networks look up the sample's truth and answer with the
errors of `NoiseSettings`. Every answer depends on its own sample alone: seeds are `sample_seed`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from chorus.body.model import BodyModel
from chorus.errors import BadInput
from chorus.generation.protocols import GeneratedImage, ImageRequest
from chorus.geometry import boxes as box_geometry
from chorus.geometry import masks
from chorus.perception.protocols import Detection, Image, Person
from chorus.records.keys import GLOBAL_SEED, SampleKey, sample_seed
from chorus.synthetic.look.rendering import render
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.noise import TruePerson
from chorus.synthetic.perceive.noise_settings import NoiseSettings
from chorus.synthetic.perceive.truth import on_mask, truth_row
from chorus.synthetic.world.scenes import SceneSettings, sample_scene
from chorus.vocabulary import strip_demo

TruthOf = Callable[[SampleKey], Mapping | None]
_SAME_PERSON = 0.3  # overlap (IoU) at which a box is taken for a true person's
_FALSE_SCORES = (0.5, 0.97)


class SyntheticImageModel:
    """Text to image by drawing and ray casting a scene; its images come with their truth."""

    def __init__(self, body: BodyModel, settings: SceneSettings | None = None):
        self._body = body
        self._settings = settings or SceneSettings()

    def generate(self, requests: Sequence[ImageRequest]) -> Iterator[GeneratedImage]:
        """One image per request; BadInput for prompts that no interaction answers to."""
        for request in requests:
            key = request.key
            scene = sample_scene(
                strip_demo(key.category),
                key.prompt,
                key.augprompt,
                request.seed,
                self._body,
                self._settings,
            )
            rendering = render(scene, self._body)
            yield GeneratedImage(rendering.image, truth_row(scene, rendering, self._body))


class SyntheticSegmenter:
    """Instance segmentation from the truth, with misses, false positives and ragged masks."""

    def __init__(
        self, truth_of: TruthOf, noise: NoiseSettings | None = None, seed: int = GLOBAL_SEED
    ):
        self._truth_of = truth_of
        self._noise = noise or NoiseSettings()
        self._seed = seed

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Persons and objects per image; label "person" or the object's category."""
        return [self._detect(image.key, _truth(self._truth_of, image.key)) for image in images]

    def _detect(self, key: SampleKey, truth: Mapping) -> list[Detection]:
        noise, rng = (
            self._noise,
            np.random.default_rng(sample_seed(key, "segmentation", self._seed)),
        )
        size = (int(truth["width"]), int(truth["height"]))
        found = []
        for label, counts in _instances(truth):
            mask = masks.decode(counts, size[1], size[0])
            if errors.missed(int(mask.sum()), noise, rng):
                continue
            found.append(_detection(label, mask, errors.score(noise, rng), noise, rng))
            if rng.random() < noise.duplicate_rate:
                again = found[-1].score * rng.uniform(0.75, 0.99)
                found.append(_detection(label, mask, float(again), noise, rng))
        if rng.random() < noise.false_positive_rate:
            label = "person" if rng.random() < 0.5 else strip_demo(key.category)
            found.append(_false_positive(label, size, rng))
        return found


class SyntheticHumanRegressor:
    """Body regression from the truth, degraded as a crop-based network's answers are."""

    def __init__(
        self,
        body: BodyModel,
        truth_of: TruthOf,
        noise: NoiseSettings | None = None,
        seed: int = GLOBAL_SEED,
    ):
        self._body = body
        self._truth_of = truth_of
        self._noise = noise or NoiseSettings()
        self._seed = seed

    def regress(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[list[Person]]:
        """For each image and its person boxes (P, 4), P persons in the same order."""
        persons, places, rngs = [], [], []
        for image, image_boxes in zip(images, boxes, strict=True):
            truth = _truth(self._truth_of, image.key)
            known = _true_persons(truth)
            for number, box in enumerate(np.reshape(image_boxes, (-1, 4))):
                rng = np.random.default_rng(sample_seed(image.key, f"human {number}", self._seed))
                match = _match(box, truth)
                persons.append(known[match] if match >= 0 else _nobody(truth, box, rng))
                places.append(np.asarray(box, np.float32))
                rngs.append(rng)
        if not persons:
            return [[] for _ in images]
        found = errors.regress(self._body, persons, np.stack(places), self._noise, rngs)
        answers = iter(
            Person(
                box=places[i],
                pose=found.pose[i],
                betas=found.betas[i],
                camera=found.camera[i],
                crop_centre=found.centre[i],
                crop_side=float(found.side[i]),
                joints=found.joints[i],
            )
            for i in range(len(persons))
        )
        return [[next(answers) for _ in np.reshape(b, (-1, 4))] for b in boxes]


class SyntheticKeypointDetector:
    """2D keypoints from the truth, with jitter and confidences that follow visibility."""

    def __init__(
        self, truth_of: TruthOf, noise: NoiseSettings | None = None, seed: int = GLOBAL_SEED
    ):
        self._truth_of = truth_of
        self._noise = noise or NoiseSettings()
        self._seed = seed

    def detect(self, images: Sequence[Image], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each image and its person boxes (P, 4), (P, 17, 3): x, y, confidence."""
        return [
            self._of_image(image.key, np.reshape(image_boxes, (-1, 4)))
            for image, image_boxes in zip(images, boxes, strict=True)
        ]

    def _of_image(self, key: SampleKey, boxes: np.ndarray) -> np.ndarray:
        truth = _truth(self._truth_of, key)
        result = np.zeros((len(boxes), 17, 3), np.float32)
        for number, box in enumerate(boxes):
            rng = np.random.default_rng(sample_seed(key, f"keypoints {number}", self._seed))
            match = _match(box, truth)
            if match < 0:  # a network asked about nothing answers, without confidence
                places = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1), (17, 2))
                result[number] = np.column_stack([places, rng.uniform(0.02, 0.4, 17)])
                continue
            person = truth["persons"][match]
            extent = float(np.max(np.subtract(box[2:], box[:2])))
            result[number] = errors.noisy_keypoints(
                np.reshape(person["keypoints"], (17, 2)),
                keypoint_visibility(person, int(truth["width"]), int(truth["height"])),
                extent,
                self._noise,
                rng,
            )
        return result


def keypoint_visibility(person: Mapping, width: int, height: int) -> np.ndarray:
    """(17,) int for a person of a truth row: `noise`'s VISIBLE, SELF_HIDDEN, COVERED, OUTSIDE."""
    places = np.reshape(person["keypoints"], (17, 2)).astype(float)
    inside = ((places >= 0) & (places < [width, height])).all(1)
    own = on_mask(places, masks.decode(person["mask"], height, width))
    state = np.where(own, errors.SELF_HIDDEN, errors.COVERED)
    state = np.where(inside, state, errors.OUTSIDE)
    return np.where(np.asarray(person["keypoint_visible"], bool), errors.VISIBLE, state)


def _truth(truth_of: TruthOf, key: SampleKey) -> Mapping:
    truth = truth_of(key)
    if truth is None:
        raise BadInput(
            f"{key}: the table synthetic_truth has no row for this sample; the synthetic models "
            "only understand images that the synthetic image model made. Generate it anew, or "
            "choose another profile."
        )
    return truth


def _instances(truth: Mapping) -> Iterator[tuple[str, bytes]]:
    for person in truth["persons"]:
        yield "person", person["mask"]
    for item in truth["objects"]:
        yield item["category"], item["mask"]


def _detection(
    label: str, mask: np.ndarray, score: float, noise: NoiseSettings, rng: np.random.Generator
) -> Detection:
    height, width = mask.shape
    ragged = errors.noisy_mask(mask, noise, rng)
    box = errors.noisy_box(masks.box_of(mask), (width, height), noise, rng)
    return Detection(label, score, box, masks.encode(ragged))


def _false_positive(label: str, size: tuple[int, int], rng: np.random.Generator) -> Detection:
    """An ellipse somewhere, as background taken for an instance."""
    extent = rng.uniform(0.06, 0.3, 2) * size
    centre = rng.uniform(0, 1, 2) * size
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    mask = ((x - centre[0]) / extent[0]) ** 2 + ((y - centre[1]) / extent[1]) ** 2 < 0.25
    return Detection(label, rng.uniform(*_FALSE_SCORES), masks.box_of(mask), masks.encode(mask))


def _match(box: np.ndarray, truth: Mapping) -> int:
    """Number of the true person that a box fits best, -1 if it fits none."""
    if not len(truth["persons"]):
        return -1
    true = np.array([person["box"] for person in truth["persons"]], np.float32)
    overlap = box_geometry.iou(np.asarray(box, np.float32)[None], true)
    best = int(np.argmax(overlap))
    return best if overlap[best] >= _SAME_PERSON else -1


def _true_persons(truth: Mapping) -> list[TruePerson]:
    R = np.reshape(truth["camera_R"], (3, 3)).astype(float)
    t = np.asarray(truth["camera_t"], float)
    K = np.reshape(truth["camera_K"], (3, 3)).astype(float)
    found = []
    for person in truth["persons"]:
        pixels = np.reshape(person["joints2d"], (24, 2)).astype(float)
        depth = np.reshape(person["joints3d"], (24, 3)) @ R[2] + t[2]
        inside = (pixels >= 0) & (pixels < [truth["width"], truth["height"]])
        found.append(
            TruePerson(
                pose=np.reshape(person["pose"], (24, 3)).astype(float),
                betas=np.asarray(person["betas"], float),
                joints2d=pixels,
                visible=np.asarray(person["joint_visible"], bool),
                in_image=inside.all(1) & (depth > 0),
                in_front=depth > 0.05,
                R=R,
                K=K,
            )
        )
    return found


def _nobody(truth: Mapping, box: np.ndarray, rng: np.random.Generator) -> TruePerson:
    """What a regressor makes of a box without a person: someone with hanging arms that fills it."""
    pose = np.zeros((24, 3))
    pose[0] = [0, rng.uniform(-np.pi, np.pi), 0]
    pose[16], pose[17] = [0, 0, -1.2], [0, 0, 1.2]
    low, high = np.asarray(box, float)[:2], np.asarray(box, float)[2:]
    return TruePerson(
        pose=pose,
        betas=np.zeros(10),
        joints2d=low + rng.uniform(0.2, 0.8, (24, 2)) * (high - low),
        visible=np.zeros(24, bool),
        in_image=np.ones(24, bool),
        in_front=np.ones(24, bool),
        R=np.diag([1.0, -1.0, -1.0]),
        K=np.reshape(truth["camera_K"], (3, 3)).astype(float),
    )
