"""COCO's keypoint evaluation takes what is written, and finds it equal to itself."""

from __future__ import annotations

import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from chorus.geometry import masks
from chorus.perception.coco_writing import LABELLED, CocoKeypoints

W, H = 320, 240


def detection(box: tuple[int, int, int, int], label: str = "person", score: float = 0.9) -> dict:
    mask = np.zeros((H, W), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return {"label": label, "box": list(box), "score": score, "mask": masks.encode(mask)}


def keypoints(draw: np.random.Generator, box: tuple[int, int, int, int]) -> dict:
    points = np.column_stack([draw.uniform(box[:2], box[2:], (17, 2)), draw.uniform(0, 1.05, 17)])
    return {"box": list(box), "keypoints": points.astype(np.float32).ravel().tolist()}


def written() -> CocoKeypoints:
    draw, coco = np.random.default_rng(4), CocoKeypoints()
    boxes = (10, 10, 110, 200), (150, 20, 300, 230)
    for number in range(6):
        chosen = boxes[: 1 + number % 2]
        found = [detection(box, score=draw.uniform(0.5, 1)) for box in chosen]
        persons = [keypoints(draw, box) for box in chosen]
        image = {"file_name": f"{number}.jpg", "width": W, "height": H}
        coco.add(image, [detection((0, 0, 30, 30), "tie"), *found], persons)
    return coco


def evaluated(coco: CocoKeypoints, results: list[dict], folder) -> COCOeval:
    truth = folder / "truth.json"
    truth.write_text(json.dumps(coco.content()))
    (folder / "results.json").write_text(json.dumps(results))
    of_truth = COCO(str(truth))
    judged = COCOeval(of_truth, of_truth.loadRes(str(folder / "results.json")), "keypoints")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return judged


def test_against_themselves_they_score_one(tmp_path):
    coco = written()
    judged = evaluated(coco, coco.results, tmp_path)
    assert judged.stats[0] == judged.stats[5] == 1  # AP and AR over all OKS thresholds
    assert len(coco.results) == len(coco.annotations) == 9


def test_keypoints_elsewhere_score_less(tmp_path):
    coco = written()
    moved = json.loads(json.dumps(coco.results))
    for result in moved:
        result["keypoints"][0::3] = [x + 25 for x in result["keypoints"][0::3]]
    assert evaluated(coco, moved, tmp_path).stats[0] < 0.5


def test_labelled_are_the_keypoints_that_are_seen():
    coco = written()
    for annotation, result in zip(coco.annotations, coco.results, strict=True):
        truth = np.array(annotation["keypoints"]).reshape(17, 3)
        found = np.array(result["keypoints"]).reshape(17, 3)
        labelled = found[:, 2] > LABELLED
        np.testing.assert_array_equal(truth[:, 2], np.where(labelled, 2, 0))
        np.testing.assert_array_equal(truth[labelled, :2], found[labelled, :2])
        assert not truth[~labelled].any() and annotation["num_keypoints"] == labelled.sum()
        assert found[:, 2].max() <= 1
        assert result["score"] < found[labelled, 2].mean()  # times the detection's
    first = coco.annotations[0]
    assert first["area"] == 100 * 190 and first["bbox"] == [10, 10, 100, 190]


def test_a_person_without_a_keypoint_is_ignored_by_the_evaluation(tmp_path):
    coco = written()
    unseen = {"box": [0, 0, 9, 9], "keypoints": [5.0, 5.0, 0.1] * 17}
    image = {"file_name": "unseen.jpg", "width": W, "height": H}
    coco.add(image, [detection((0, 0, 9, 9))], [unseen])
    assert coco.annotations[-1]["num_keypoints"] == 0 and len(coco.results) == 9
    assert evaluated(coco, coco.results, tmp_path).stats[0] == 1
