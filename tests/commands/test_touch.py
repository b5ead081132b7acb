"""`chorus touch` and `chorus ask`: files, layouts, the nearest prompt, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from chorus.body.loading import load_body
from chorus.body.model import star_body
from chorus.cli import main
from chorus.commands.touching import against_truth
from chorus.commands.touching.against_truth import best_set
from chorus.commands.touching.nearest import likeness, named_objects, nearest_cluster, ranked, stems
from chorus.errors import BadInput
from chorus.occupancy.distribution import Distribution
from chorus.occupancy.grid import VoxelGrid
from chorus.records import aggregations
from chorus.records.keys import TOTAL
from chorus.records.results_tree import ResultsTree
from references import stick_body

PROMPTS = ("A person carries a surfboard", "A person paddles on a surfboard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tree with surfboards and a tie learned on a body file, `body.npz`."""
    root = tmp_path_factory.mktemp("touch")
    np.savez(root / "body.npz", **stick_body.arrays())
    fill(ResultsTree(root / "results"), root / "body.npz")
    return root


def fill(tree: ResultsTree, body_file: Path) -> None:
    body = load_body(body_file, body_file.parent)
    hand, foot = (star_body(body).joints[joint].numpy() for joint in (22, 10))
    grid = VoxelGrid(30, 3.0)
    name = aggregations.aggregation_name((3,), "quant:full")
    places = {("surfboard", PROMPTS[0]): hand, ("surfboard", PROMPTS[1]): foot}
    places |= {("surfboard", TOTAL): hand, ("tie", TOTAL): foot}
    for (category, prompt), place in places.items():
        near = np.linalg.norm(grid.centres() - place, axis=1) < 0.15
        field = Distribution(
            (0.7 * near).astype(np.float32).reshape(grid.shape),
            grid,
            np.ones(grid.shape, np.uint32),
            category,
            prompt,
            "all",
            body.fingerprint,
        )
        where = tree.aggregation("synthetic-v1", category, prompt, name)
        where.mkdir(parents=True)
        record = aggregations.record_of(name, {}, 5, "")
        aggregations.store(tree, where, {"all": field, "leftFoot": field}, record)


def run(folder: Path, command: str, *arguments: str, body: str = "body.npz") -> int:
    where = ("--results_dir", folder / "results", "--imports_dir", folder / "imports")
    return main([command, *arguments, *map(str, where), "--body", str(folder / body)])


def test_a_prompts_contacts_as_picture_glb_npz_and_json(folder, tmp_path, capsys):
    out = ("--out", str(tmp_path / "out"))
    assert run(folder, "touch", "--categories", "surfboard", "--prompts", PROMPTS[0], *out) == 0
    said = capsys.readouterr().out
    assert "leftHandIndex1 *" in said and "1 contact map" in said
    stem = tmp_path / "out" / f"surfboard - {PROMPTS[0]}"
    assert stem.with_name(f"{stem.name}.png").stat().st_size > 10_000
    with np.load(f"{stem}.npz") as arrays:
        touched, probability = arrays["contact_label"], arrays["contact_probability"]
        assert len(touched) == len(arrays["vertices"]) == len(arrays["segment_of_vertex"])
        assert arrays["segment_names"][22] == "leftHandIndex1" and touched.any()
    record = json.loads(Path(f"{stem}.json").read_text())
    assert record["prompt"] == PROMPTS[0] and len(record["parts"]) == 24
    assert {part["segment"] for part in record["parts"] if part["touched"]} >= {"leftHandIndex1"}
    mesh = trimesh.load(f"{stem}.glb").geometry["body"]
    colours = mesh.visual.vertex_attributes["color"]
    assert len(colours) == len(probability)
    grey, red = colours[probability.argmin()], colours[probability.argmax()]
    assert np.ptp(grey[:3].astype(int)) < 30 and int(red[0]) > 3 * int(red[2])


def test_totals_and_the_clusters_of_parts(folder, tmp_path, capsys):
    out = ("--out", str(tmp_path))
    assert run(folder, "touch", "--part", "leftFoot", *out) == 0
    made = sorted(path.name for path in tmp_path.glob("*.npz"))
    assert made == ["surfboard - leftFoot.npz", "tie - leftFoot.npz"]
    assert run(folder, "touch", "--part", "leftfot", *out) == 1
    assert "did you mean 'leftFoot'" in capsys.readouterr().err


def test_damons_layout_is_for_smpl_bodies_alone(folder, tmp_path, capsys):
    out = ("--out", str(tmp_path / "out"), "--layout", "damon", "--categories", "tie")
    assert run(folder, "touch", *out) == 2
    assert "6,890" in capsys.readouterr().err and not (tmp_path / "out").exists()
    arrays = stick_body.arrays()
    more = 6890 - len(arrays["v_template"])  # repeated corners that no face or joint uses
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        arrays[name] = np.concatenate([arrays[name], np.repeat(arrays[name][:1], more, axis=0)])
    arrays["J_regressor"] = np.pad(arrays["J_regressor"], ((0, 0), (0, more)))
    np.savez(tmp_path / "smpl.npz", **arrays)
    fill(ResultsTree(tmp_path / "results"), tmp_path / "smpl.npz")
    assert run(tmp_path, "touch", *out, body="smpl.npz") == 0
    with np.load(tmp_path / "out" / "tie.npz") as found:
        assert set(found) == {"imgname", "contact_label", "contact_probability"}
        label = found["contact_label"]
        assert label.shape == (1, 6890) and set(np.unique(label)) == {0.0, 1.0}
        assert found["imgname"].tolist() == ["tie"]


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("touch", ["--categories", "surfbord"], "did you mean 'surfboard'"),
        ("touch", ["--categories", "frisbee"], "known: surfboard, tie"),
        ("touch", ["--prompts", "A person carries a surfboards"], "did you mean 'A person carries"),
        ("touch", ["--aggr_setting_names", "quant:evidence"], "run aggregate first"),
        ("touch", ["--against", "truth", "--profile", "paper"], "only the synthetic world"),
        ("ask", ["a person rides a horse"], "distributions of surfboard, tie"),
        ("ask", [""], "names no object"),
    ],
)
def test_what_is_not_there_is_named(folder, tmp_path, capsys, command, arguments, sentence):
    key = ["--model_key", "synthetic-v1", "--out", str(tmp_path)]
    assert run(folder, command, *arguments, *key) == 2
    assert sentence in capsys.readouterr().err


def test_a_field_of_another_body_is_refused(folder, tmp_path, capsys):
    np.savez(folder / "other.npz", **stick_body.arrays(half=0.07))
    assert run(folder, "touch", "--out", str(tmp_path), body="other.npz") == 1
    assert "another body" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_sentence_is_answered_by_the_nearest_prompt(folder, tmp_path, capsys):
    out = ("--out", str(tmp_path))
    assert run(folder, "ask", "a man is carrying two surfboards", *out) == 0
    said = capsys.readouterr().out
    assert f"nearest to '{PROMPTS[0]}'" in said and "leftHandIndex1 *" in said
    assert (tmp_path / f"surfboard - {PROMPTS[0]}.png").is_file()
    assert run(folder, "ask", "surfboard", *out) == 0
    assert "nearest to 'surfboard' (1.00)" in capsys.readouterr().out
    assert run(folder, "ask", "Someone paddles on a surfbord with the left foot", *out) == 0
    said = capsys.readouterr().out
    assert f"nearest to '{PROMPTS[1]}'" in said and "cluster leftFoot" in said


def test_likeness_by_hand():
    assert stems("A person is CARRYING the skis") == stems("person carries ski")
    assert likeness("a person rides a bus", "A person rides a bus") == 1
    assert likeness("abc", "xyz") == 0 and likeness("the", "the") == 0
    assert likeness("ski", "ski run") == pytest.approx((2 / 3 + 6 / 10) / 2)
    assert [name for name, _ in ranked("ski", {"b": "ski run", "a": "skis"})] == ["a", "b"]
    categories = ("sports ball", "surfboard-demo", "tie")
    assert named_objects("kick that ball", categories) == {"sports ball"}
    assert named_objects("two surfboards and ties", categories) == {"surfboard-demo", "tie"}
    with pytest.raises(BadInput, match="did you mean 'surfboard-demo'"):
        named_objects("a skateboard", categories)
    assert (
        nearest_cluster("holds it with the right arm", ("all", "rightArm", "torso")) == "rightArm"
    )
    assert nearest_cluster("holds it", ("all", "rightArm")) == "all"


def test_against_scenes_whose_objects_are_known(folder, monkeypatch, capsys):
    """A ball in the left hand in every scene, as the first prompt's map has it."""
    body = load_body(folder / "body.npz", folder)
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    scenes = [
        (
            {"pose": [0.0] * 72, "betas": [0.0] * 10},
            {
                "object_to_body": trimesh.transformations.translation_matrix(
                    body.rest()[1][22].numpy()
                ).ravel()
            },
            ball,
        )
    ]
    monkeypatch.setattr(against_truth, "known_objects", lambda *given: iter(12 * scenes))
    monkeypatch.setattr(ResultsTree, "shards", lambda *given: [])
    inside = lambda mesh, points: np.linalg.norm(points, axis=1) < 0.1  # noqa: E731
    monkeypatch.setattr("chorus.synthetic.world.objects.contains", inside)
    arguments = ("--against", "truth", "--prompts", PROMPTS[0])
    assert run(folder, "touch", *arguments) == 0
    cells = capsys.readouterr().out.splitlines()[2].split()
    assert cells[:2] == ["surfboard", str(against_truth.SCENES)]
    precision, recall, f1, most = map(float, cells[2:6])
    assert recall == 100 and 50 < precision <= 100 and f1 <= most == 100


def test_the_best_set_is_of_what_most_scenes_touch():
    truths = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    assert best_set(truths).tolist() == [True, True, False, False]
