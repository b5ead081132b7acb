"""Instance segmentation of the synthetic world: its truth with a segmenter's errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chorus.body.skeleton import JOINT_NAMES
from chorus.geometry import masks
from chorus.records.keys import SampleKey, sample_seed
from chorus.records.rows import Detection, Image
from chorus.synthetic.perceive import noise as errors
from chorus.synthetic.perceive.noise_settings import NoiseSettings
from chorus.synthetic.perceive.truth_rows import DegradedTruth, known_truth
from chorus.vocabulary import strip_demo

_FALSE_SCORES = (0.5, 0.97)
_WRISTS = [JOINT_NAMES.index(f"{side}_wrist") for side in ("left", "right")]
_HAND = 0.14  # metres about the wrist: the hand, and as much of the forearm


def load(
    name: str, source: str, imports_dir: Path, device: str, **truth: Any
) -> SyntheticSegmenter:
    """The network of a run; `truth` is what `DegradedTruth` takes."""
    del name, source, imports_dir, device
    return SyntheticSegmenter(**truth)


class SyntheticSegmenter(DegradedTruth):
    """Instance segmentation from the truth, with misses, false positives and ragged masks."""

    def segment(self, images: Sequence[Image]) -> list[list[Detection]]:
        """Persons and objects per image; label "person" or the object's category."""
        return [self._detect(image.key, known_truth(self._truth_of, image.key)) for image in images]

    def _instances(
        self, key: SampleKey, truth: Mapping, size: tuple[int, int]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Labels and masks (H, W) of what there is, as far as the segmenter tells it apart."""
        persons, things = (
            [masks.decode(entry["mask"], size[1], size[0]) for entry in truth[kind]]
            for kind in ("persons", "objects")
        )
        if rate := self._noise.mask_swallows_hands:
            rng = np.random.default_rng(sample_seed(key, "swallowed hands", self._seed))
            _with_swallowed_hands(truth, persons, things, rate, rng)
        yield from (("person", mask) for mask in persons)
        categories = [item["category"] for item in truth["objects"]]
        yield from zip(categories, things, strict=True)

    def _detect(self, key: SampleKey, truth: Mapping) -> list[Detection]:
        noise, rng = (
            self._noise,
            np.random.default_rng(sample_seed(key, "segmentation", self._seed)),
        )
        size = (int(truth["width"]), int(truth["height"]))
        found = []
        for label, mask in self._instances(key, truth, size):
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


def _with_swallowed_hands(
    truth: Mapping, persons: list, things: list, rate: float, rng: np.random.Generator
) -> None:
    """Give hands at a rate from the masks (H, W) of persons to that of an object beside them."""
    depth_axis = np.reshape(truth["camera_R"], (3, 3))[2]
    for number, person in enumerate(truth["persons"]):
        depth = np.reshape(person["joints3d"], (24, 3)) @ depth_axis + truth["camera_t"][2]
        for wrist in _WRISTS:
            swallowed = rng.random() < rate
            if not (swallowed and things and person["joint_visible"][wrist]):
                continue
            radius = _HAND * truth["camera_K"][0] / depth[wrist]
            place = np.reshape(person["joints2d"], (24, 2))[wrist]
            away = [errors.distance_to(thing, place) for thing in things]
            nearest = int(np.argmin(away))
            persons[number], things[nearest] = errors.hand_swallowed(
                persons[number], things[nearest], place, radius
            )


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
