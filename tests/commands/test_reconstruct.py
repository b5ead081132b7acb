"""`chorus reconstruct`: photographs with masks, several persons and objects, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from chorus.body.loading import load_body
from chorus.body.model import star_body, star_pose
from chorus.cli import main
from chorus.commands.reconstructing.figures import interval, overall_table, per_category_table
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.perception.recorded_persons import body_family
from chorus.records import aggregations
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from references import stick_body

SIZE, FOCAL, FAR = (96, 160), 160.0, 4.0
PROMPT = "A person holds a ball"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tree that has balls at the left hand, and a photograph of two persons with a ball each."""
    root = tmp_path_factory.mktemp("reconstruct")
    np.savez(root / "body.npz", **stick_body.arrays())
    body = load_body(root / "body.npz", root)
    hand = star_body(body).joints[22].double().numpy()
    grid = VoxelGrid(30, 3.0)
    near = np.linalg.norm(grid.centres() - hand, axis=1) < 0.2
    field = Distribution(
        (0.7 * near).astype(np.float32).reshape(grid.shape),
        grid,
        np.ones(grid.shape, np.uint32),
        "ball",
        PROMPT,
        "all",
        body.fingerprint,
    )
    tree = ResultsTree(root / "results")
    name = aggregations.aggregation_name((3,), "quant:full")
    for prompt in (PROMPT, TOTAL):
        where = tree.aggregation("synthetic-v1", "ball", prompt, name)
        where.mkdir(parents=True)
        aggregations.store(tree, where, {"all": field}, aggregations.record_of(name, {}, 5, ""))
    write_photograph(root, body, hand)
    return root


def write_photograph(root: Path, body, hand: np.ndarray) -> None:
    """What perceive writes: two persons side by side, who face the camera, and their balls."""
    pose = star_pose().numpy().copy()
    pose[0] = np.pi, 0, 0  # the camera's y points down, and they look at it
    pelvis = body.rest()[1][0].double().numpy()
    turn = np.diag([1.0, -1, -1])
    (root / "seen").mkdir()
    (root / "masks" / "two").mkdir(parents=True)
    translations, K = [], np.array([[FOCAL, 0, 80], [0, FOCAL, 48], [0, 0, 1]])
    row, column = np.indices(SIZE) + 0.5
    for number, x in enumerate((-1.0, 0.6)):
        translation = np.array([x, 0, FAR])
        translations.append(translation)
        place = turn @ (hand - pelvis) + pelvis + translation
        pixel = (K @ place)[:2] / place[2]
        ball = np.hypot(column - pixel[0], row - pixel[1]) < 5
        cv2.imwrite(str(root / "masks" / "two" / f"{number}.png"), 255 * ball.astype(np.uint8))
    np.savez(
        root / "seen" / "two.jpg.npz",
        pose=np.stack([pose, pose]),
        betas=np.zeros((2, 10)),
        translation=np.array(translations),
        focal_length=np.full(2, FOCAL),
        principal_point=np.tile([80.0, 48.0], (2, 1)),
        body=np.array(body_family(body)),
    )
    cv2.imwrite(str(root / "two.jpg"), np.full((*SIZE, 3), 128, np.uint8))


def arguments(folder: Path, *more: str, masks: str = "masks", category: str = "ball") -> list[str]:
    return [
        *("reconstruct", str(folder / "two.jpg"), "--masks", str(folder / masks)),
        *("--seen", str(folder / "seen"), "--results_dir", str(folder / "results")),
        *("--body", str(folder / "body.npz"), "--imports_dir", str(folder)),
        *("--categories", category, *more),
    ]


def test_each_object_goes_to_the_person_who_uses_it(folder, tmp_path, capsys):
    assert main(arguments(folder, "--out", str(tmp_path / "out"))) == 0
    assert "2 objects" in capsys.readouterr().out
    files = {path.name for path in (tmp_path / "out" / "ball").iterdir()}
    several = {f"two.jpg.{number}.{suffix}" for number in (0, 1) for suffix in ("glb", "npz")}
    assert files == {"two.jpg.json", "two.jpg.png", *several}
    record = json.loads((tmp_path / "out" / "ball" / "two.jpg.json").read_text())
    assert [each["person"] for each in record["objects"]] == [0, 1]
    hand = star_body(load_body(folder / "body.npz", folder)).joints[22].numpy()
    for number, each in enumerate(record["objects"]):
        assert each["pair_probabilities"][number] > 0.9
        assert np.linalg.norm(np.array(each["centroid"]) - hand) < 0.15
        assert each["interactions"] == {PROMPT: 1.0}
    with np.load(tmp_path / "out" / "ball" / "two.jpg.0.npz", allow_pickle=False) as stored:
        assert stored["mass"].sum() == pytest.approx(1, abs=1e-4) and stored["region"].any()
    scene = trimesh.load(tmp_path / "out" / "ball" / "two.jpg.1.glb")
    assert set(scene.geometry) == {"body", "object"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"category": "bal"}, "ball"),
        ({"mask": np.zeros(SIZE, np.uint8)}, "mask is empty"),
        ({"mask": np.full((40, 40), 255, np.uint8)}, "40 x 40 pixels, the photograph 160 x 96"),
        ({"masks": "seen"}, "no mask in"),
        ({"seen": "masks"}, "run chorus perceive"),
        ({"number": "0"}, "1 or more"),
        ({"no masks": True}, "belong together"),
    ],
)
def test_bad_input_is_told_in_a_sentence(folder, tmp_path, capsys, spoil, words):
    given = arguments(
        folder,
        *("--out", str(tmp_path / "out"), *(("--num_images", "0") if "number" in spoil else ())),
        masks=spoil.get("masks", "masks"),
        category=spoil.get("category", "ball"),
    )
    if "mask" in spoil:
        cv2.imwrite(str(tmp_path / "two.png"), spoil["mask"])
        given[given.index("--masks") + 1] = str(tmp_path)
    if "seen" in spoil:
        given[given.index("--seen") + 1] = str(folder / spoil["seen"])
    if "no masks" in spoil:
        at = given.index("--masks")
        del given[at : at + 2]
    assert main(given) != 0
    printed = capsys.readouterr()
    assert words in printed.err + printed.out and "Traceback" not in printed.err


def test_a_tree_of_another_body_is_refused(folder, tmp_path, capsys):
    vertices = {**stick_body.arrays()}
    vertices["v_template"] = np.asarray(vertices["v_template"]) * 1.01
    np.savez(tmp_path / "other.npz", **vertices)
    given = arguments(folder, "--out", str(tmp_path / "out"))
    given[given.index("--body") + 1] = str(tmp_path / "other.npz")
    assert main(given) != 0
    assert "another body model" in capsys.readouterr().err


def test_means_over_categories_and_their_intervals():
    values = {"a": np.array([1.0, 3.0]), "b": np.array([4.0, np.nan, 4.0]), "c": np.array([np.nan])}
    found = interval(values)
    assert found.mean == pytest.approx(3) and 2.4 < found.low <= found.mean <= found.high < 3.6
    assert np.isnan(interval({"c": values["c"]}).mean)
    names = ("centroid", "relative", "chamfer", "iou", "rotation", "within")
    scores = {"a": {"some method": {name: np.array([0.1, 0.1]) for name in names}}}
    assert "10.0 [10.0, 10.0]" in overall_table(scores)
    assert "some method" in per_category_table(scores)


def test_a_photograph_that_is_not_there_is_told(folder, tmp_path, capsys):
    given = arguments(folder, "--out", str(tmp_path / "out"))
    given[1] = "no.jpg"
    assert main(given) == 1
    assert "no.jpg: it is not a file" in capsys.readouterr().err
