"""The synthetic networks end to end on a handful of rendered images."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.errors import BadInput
from chorus.generation.protocols import ImageRequest
from chorus.geometry import masks
from chorus.geometry.image_transforms import about, move_box, move_image, move_points
from chorus.records.keys import SampleKey, sample_seed
from chorus.records.rows import Image
from chorus.synthetic.look.image_model import SyntheticImageModel
from chorus.synthetic.perceive.human_regressor import SyntheticHumanRegressor
from chorus.synthetic.perceive.keypoint_detector import SyntheticKeypointDetector
from chorus.synthetic.perceive.noise_settings import EXACT, NoiseSettings
from chorus.synthetic.perceive.segmenter import SyntheticSegmenter
from chorus.synthetic.world.scene_settings import SceneSettings


@pytest.fixture(scope="module")
def samples(worlds):
    """Images of the shared worlds and a look-up of their truth."""
    images = [Image(key, rendering.image) for key, _, rendering, _ in worlds]
    rows = {key: row for key, _, _, row in worlds}
    return images, rows.get


def true_boxes(images, truth_of):
    return [
        np.array([person["box"] for person in truth_of(image.key)["persons"]], np.float32)
        for image in images
    ]


def test_the_image_model_depends_on_the_request_alone(body):
    model = SyntheticImageModel(body, SceneSettings(width=96, height=96))
    keys = [
        SampleKey("synthetic", "surfboard-demo", "A person carries a surfboard", "side view", i)
        for i in range(2)
    ]
    requests = [ImageRequest(key, "", sample_seed(key, "image")) for key in keys]
    together, alone = list(model.generate(requests)), list(model.generate(requests[1:]))
    assert together[0].pixels.shape == (96, 96, 3) and together[0].pixels.dtype == np.uint8
    np.testing.assert_array_equal(together[1].pixels, alone[0].pixels)
    assert together[1].truth == alone[0].truth
    assert not np.array_equal(together[0].pixels, together[1].pixels)


def test_exact_segmentation_is_the_truth(samples):
    images, truth_of = samples
    for image, found in zip(
        images, SyntheticSegmenter(truth_of, EXACT).segment(images), strict=True
    ):
        truth = truth_of(image.key)
        true = [p for p in [*truth["persons"], *truth["objects"]] if np.ptp(p["box"])]
        assert [d.label for d in found] == ["person", "surfboard"][: len(true)]
        for detection, entry in zip(found, true, strict=True):
            assert detection.mask == entry["mask"] and detection.score == 1
            np.testing.assert_array_equal(detection.box, entry["box"])


def test_noisy_segmentation_is_near_and_repeats(samples):
    images, truth_of = samples
    segmenter = SyntheticSegmenter(truth_of, NoiseSettings(miss_rate=0, false_positive_rate=0))
    first, again = segmenter.segment(images), segmenter.segment(images[::-1])[::-1]
    for image, found, repeated in zip(images, first, again, strict=True):
        truth = truth_of(image.key)
        assert [d.mask for d in found] == [d.mask for d in repeated]
        height, width = truth["height"], truth["width"]
        true = masks.decode(truth["persons"][0]["mask"], height, width)
        near = masks.decode(found[0].mask, height, width)
        if true.sum() > 500:
            assert (true & near).sum() / (true | near).sum() > 0.7
            assert found[0].mask != truth["persons"][0]["mask"]


def test_false_positives_appear(samples):
    images, truth_of = samples
    always = SyntheticSegmenter(truth_of, NoiseSettings(false_positive_rate=1, duplicate_rate=0))
    plain = SyntheticSegmenter(truth_of, NoiseSettings(false_positive_rate=0, duplicate_rate=0))
    more, less = (sum(map(len, each.segment(images))) for each in (always, plain))
    assert more == less + len(images)


def test_exact_regression_fits_the_person(samples, body):
    images, truth_of = samples
    boxes = true_boxes(images, truth_of)
    answers = SyntheticHumanRegressor(body, truth_of, EXACT).regress(images, boxes)
    for image, found in zip(images, answers, strict=True):
        person = truth_of(image.key)["persons"][0]
        pose = np.reshape(person["pose"], (24, 3))
        np.testing.assert_allclose(found[0].pose[1:], pose[1:], atol=1e-5)
        np.testing.assert_allclose(found[0].betas, person["betas"], atol=1e-6)
        true = np.reshape(person["joints2d"], (24, 2))
        inside = ((true >= 0) & (true < image.pixels.shape[0])).all(1)
        off = np.linalg.norm(found[0].joints - true, axis=1)[inside].mean()
        assert off < 0.08 * found[0].crop_side  # weak perspective's own error
        assert found[0].camera[0] > 0


def test_keypoints_follow_the_truth(samples):
    images, truth_of = samples
    boxes = true_boxes(images, truth_of)
    exact = SyntheticKeypointDetector(truth_of, EXACT).detect(images, boxes)
    noisy = SyntheticKeypointDetector(truth_of).detect(images, boxes)
    for image, found, off in zip(images, exact, noisy, strict=True):
        person = truth_of(image.key)["persons"][0]
        np.testing.assert_allclose(
            found[0, :, :2], np.reshape(person["keypoints"], (17, 2)), rtol=1e-5, atol=1e-3
        )
        shown = np.array(person["keypoint_visible"])
        assert (found[0, shown, 2] == 1).all() and (found[0, ~shown, 2] < 1).all()
        assert off.shape == (1, 17, 3) and np.isfinite(off).all()


def test_keypoints_of_a_transformed_image_follow_the_truth(samples):
    images, truth_of = samples
    boxes = true_boxes(images, truth_of)
    for image, own in zip(images, boxes, strict=True):
        transform = about((own[0, :2] + own[0, 2:]) / 2, 1.1, 10)
        moved = Image(image.key, move_image(image.pixels, transform), transform)
        box = [move_box(own[0], transform)[None]]
        exact = SyntheticKeypointDetector(truth_of, EXACT)
        (before,), (after,) = exact.detect([image], [own])[0], exact.detect([moved], box)[0]
        expected = move_points(before[:, :2], transform)
        np.testing.assert_allclose(after[:, :2], expected, rtol=1e-5, atol=1e-3)
        size = image.pixels.shape[1::-1]
        shown = ((expected >= 0) & (expected < size)).all(1)
        np.testing.assert_array_equal(after[shown, 2], before[shown, 2])
        assert (after[~shown, 2] == 0).all()


def test_streams_and_transforms_have_errors_of_their_own(samples):
    images, truth_of = samples
    image, boxes = images[:1], true_boxes(images, truth_of)[:1]
    usual, other = (SyntheticKeypointDetector(truth_of, stream=name) for name in ("", "other"))
    nothing = Image(image[0].key, image[0].pixels, about(np.zeros(2)))
    answers = [
        usual.detect(image, boxes)[0],
        other.detect(image, boxes)[0],
        usual.detect([nothing], boxes)[0],
    ]
    for at, one in enumerate(answers):
        assert all(not np.array_equal(one, another) for another in answers[at + 1 :])
    np.testing.assert_array_equal(other.detect(image, boxes)[0], answers[1])


def test_boxes_without_a_person_get_answers_without_confidence(samples, body):
    images, truth_of = samples
    nothing = [np.array([[0, 0, 12, 12]], np.float32)] + [np.zeros((0, 4))] * (len(images) - 1)
    keypoints = SyntheticKeypointDetector(truth_of).detect(images, nothing)
    people = SyntheticHumanRegressor(body, truth_of).regress(images, nothing)
    assert keypoints[0].shape == (1, 17, 3) and keypoints[0][..., 2].max() < 0.5
    assert keypoints[1].shape == (0, 17, 3)
    assert len(people[0]) == 1 and people[1] == [] and np.isfinite(people[0][0].joints).all()


def test_images_of_another_model_are_refused(samples):
    images, _ = samples
    with pytest.raises(BadInput, match="synthetic_truth"):
        SyntheticSegmenter(lambda key: None).segment(images)
