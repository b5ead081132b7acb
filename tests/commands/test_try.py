"""`chorus doctor --try`: what is run, what is doubted, and what a user is told."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from chorus import cli
from chorus.body.keypoints import KEYPOINT_NAMES
from chorus.commands import doctor
from chorus.commands.trying import checks, trials
from chorus.commands.trying.portrait import CATEGORY, PERSON_BOX, PLACES, portrait
from chorus.errors import Unavailable
from chorus.generation.protocols import GeneratedImage
from chorus.geometry import masks
from chorus.models.choice import ModelChoice
from chorus.models.registry import MODELS, PROFILES, WEIGHTS, Model
from chorus.records.rows import Detection, Person
from chorus.vocabulary import PERSON

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))
sys.path.insert(0, str(Path(__file__).parents[1] / "perception"))

SIZE = (512, 512)


@pytest.fixture(autouse=True)
def _profile(monkeypatch):
    monkeypatch.delenv("CHORUS_PROFILE", raising=False)


@pytest.fixture
def told(tmp_path, capsys):
    """told(*arguments): the status of doctor --try and its report, on a small body."""
    from tiny_humans import save_small_body

    def run(*arguments: str):
        body = save_small_body(tmp_path / "small.npz")
        options = ["--format", "json", "--imports_dir", str(tmp_path / "imports")]
        options += ["--body", str(body)]
        capsys.readouterr()
        status = cli.main(["doctor", *options, "--device", "cpu", *arguments])
        return status, json.loads(capsys.readouterr().out)

    return run


# The checks


def detection(label="person", score=0.9, box=PERSON_BOX, share=0.7) -> Detection:
    left, top, right, bottom = np.clip(np.asarray(box, float), 0, 512).astype(int)
    mask = np.zeros(SIZE, bool)
    mask[top : top + int(share * (bottom - top)), left:right] = True
    return Detection(label, score, np.asarray(box, np.float32), masks.encode(mask))


def test_the_portrait_is_what_its_places_say():
    image = portrait()
    assert image.pixels.shape == (*SIZE, 3) and image.pixels.dtype == np.uint8
    left, top, right, bottom = PERSON_BOX
    assert all(left < x < right and top < y < bottom for x, y in PLACES.values())
    assert set(PLACES) <= set(KEYPOINT_NAMES)
    x, y = map(int, PLACES["nose"])  # skin is redder than it is blue
    assert image.pixels[y, x, 0] > image.pixels[y, x, 2] + 30


def test_good_detections():
    things = [detection(), detection("airplane", 0.5, (350, 0, 470, 280))]
    summary, doubts = checks.of_detections(things, SIZE)
    assert not doubts and "2 instances, 1 persons; hers: score 0.90, box 20 15 362 512" in summary


@pytest.mark.parametrize(
    ("found", "doubt"),
    [
        ([], r"expected a person in the box 20 15 362 512 .*, found none\."),
        ([detection("airplane")], "found none"),
        ([detection(box=(0, 0, 60, 60))], r"the best of 1 overlaps by 0\.0"),
        ([detection(score=1.7)], r"a person has the score 1\.7, expected 0 to 1"),
        ([detection(score=float("nan"))], "a person has the score nan"),
        ([detection(box=(20, 15, 362, 540))], "a person has the box 20 15 362 540, which is none"),
        ([detection(), detection("kite", box=(9, 9, 5, 20))], "a kite has the box 9 9 5 20"),
        ([detection("kite", share=0.0)], "a kite has an empty mask"),
        ([detection(share=0.1)], "her mask fills 10% of her box"),
    ],
)
def test_doubtful_detections(found, doubt):
    assert any(re.search(doubt, each) for each in checks.of_detections(found, SIZE).doubts)


def keypoints(**changes) -> np.ndarray:
    points = np.full((17, 3), 0.1)
    for name, place in PLACES.items():
        points[KEYPOINT_NAMES.index(name)] = *place, 0.9
    for name, value in changes.items():
        points[KEYPOINT_NAMES.index(name)] = value
    return points


def test_good_keypoints():
    summary, doubts = checks.of_keypoints(keypoints())
    assert not doubts and summary == "5 of 17 keypoints surer than 0.3, the surest 0.90"


@pytest.mark.parametrize(
    ("points", "doubt"),
    [
        (np.zeros((133, 3)), "expected finite numbers of the shape (17, 3)"),
        (keypoints(nose=np.nan), "expected finite numbers"),
        (keypoints(nose=(224, 125, 0.05)), "the nose has the confidence 0.05"),
        (keypoints(nose=(224, 500, 0.9)), "the nose is at 224 500, expected near 224 125"),
        (
            keypoints(left_shoulder=(97, 268, 0.9), right_shoulder=(318, 268, 0.9)),
            "the left shoulder is at 97 268",
        ),
        (keypoints(left_knee=(300, 700, 8.0)), "confidences go from 0.10 to 8.00"),
    ],
)
def test_doubtful_keypoints(points, doubt):
    assert any(doubt in each for each in checks.of_keypoints(points).doubts)


def person(**changes) -> Person:
    pose = np.zeros((24, 3), np.float32)
    pose[0] = np.pi, 0, 0  # upright, towards the camera: the body's y up, the image's down
    joints = np.tile(np.float32([200, 300]), (24, 1))
    joints[15] = 224, 150
    good = Person(
        box=PERSON_BOX,
        pose=pose,
        betas=np.zeros(10, np.float32),
        camera=np.float32([0.9, 0, 0]),
        crop_centre=np.float32([190, 260]),
        crop_side=500.0,
        joints=joints,
    )
    return replace(good, **{name: np.asarray(value) for name, value in changes.items()})


def posed(rotation) -> np.ndarray:
    return np.concatenate([[rotation], np.zeros((23, 3))])


def test_a_good_body():
    summary, doubts = checks.of_person(person())
    assert not doubts and summary.startswith("a body 0 degrees off upright, turned 0 from")


@pytest.mark.parametrize(
    ("found", "doubt"),
    [
        ("no person found", "no body: no person found; expected a body in the box"),
        (person(pose=np.zeros((22, 3))), "pose has the shape (22, 3), expected (24, 3)"),
        (person(betas=np.full(10, np.nan)), "betas holds NaN or infinity"),
        (person(pose=posed([0, 0, 0])), "180 degrees off upright"),
        (person(pose=posed([0, np.pi, 0])), "180 degrees off upright"),
        (person(pose=posed([0, 0, np.pi])), "turned 180 degrees from the camera"),
        (person(joints=np.tile([200.0, 500.0], (24, 1))), "the head is at 200 500"),
        (person(camera=[-0.9, 0, 0]), "the camera's scale is -0.90"),
        (person(betas=np.full(10, 9.0)), "a shape parameter is 9.0"),
    ],
)
def test_doubtful_bodies(found, doubt):
    assert any(doubt in each for each in checks.of_person(found).doubts)


@pytest.mark.parametrize(
    ("image", "doubt"),
    [
        (GeneratedImage(np.full((512, 512, 3), 40, np.uint8)), "of one colour"),
        (GeneratedImage(None, refused="safety checker"), "it was refused: safety checker"),
        (GeneratedImage(np.zeros((512, 512, 3))), "expected RGB, uint8"),
        (GeneratedImage(portrait().pixels[:256]), "is 512 x 256, asked was 512 x 512"),
        (GeneratedImage(portrait().pixels), None),
    ],
)
def test_pictures(image, doubt):
    doubts = checks.of_picture(image, 512).doubts
    assert doubts == [] if doubt is None else doubt in doubts[0]


# The trials


def test_a_name_means_models_of_every_kind_that_has_it(monkeypatch):
    for kind in ("segmenter", "human_model", "keypoint_model"):
        entry = Model(kind, "three-in-one", "several", "chorus.nowhere", source="FILE")
        monkeypatch.setitem(MODELS[kind], entry.name, entry)
    own = [(model.kind, model.text) for model in doctor.chosen("three-in-one:x", doctor.Options())]
    assert own == [
        ("segmenter", "three-in-one:x"),
        ("human_model", "three-in-one:x"),
        ("keypoint_model", "three-in-one:x"),
    ]
    options = doctor.Options(human_model="hmr2:mine.ckpt")
    modern = {model.kind: model.text for model in doctor.chosen("modern", options)}
    expected = {kind: getattr(PROFILES["modern"], kind) for kind in MODELS}
    assert modern == {**expected, "human_model": "hmr2:mine.ckpt"}


def test_an_unknown_name_is_refused(capsys):
    assert cli.main(["doctor", "--try", "modrn"]) == 2
    assert "unknown profile or model in --try: 'modrn'; did you mean 'modern'" in (
        capsys.readouterr().err
    )


def test_what_is_missing_is_said(told):
    status, report = told("--try", "frankmocap-eft")
    assert status == 1 and not report["ok"]
    (trial,) = report["trials"]
    assert trial["state"] == "missing" and trial["load_seconds"] is None
    assert "sh scripts/download_off_the_shelf.sh frankmocap-eft" in trial["summary"]


def test_the_synthetic_worlds_networks_have_nothing_to_look_at(told, monkeypatch):
    class Drawing:
        def generate(self, requests):
            return [GeneratedImage(portrait().pixels[:300]) for _ in requests]

    monkeypatch.setattr(ModelChoice, "load", lambda *_, **__: Drawing())
    status, report = told("--try", "synthetic")
    states = {trial["kind"]: trial["state"] for trial in report["trials"]}
    assert status == 0 and states.pop("image_model") == "well"
    assert set(states.values()) == {"nothing to try"} and len(states) == 3


@pytest.mark.parametrize("name", ["hmr2", "frankmocap-eft"])
def test_regressors_of_random_weights_run(told, tmp_path, name):
    from tiny_humans import save_tiny_hmr2, save_tiny_spin_checkpoint

    save = {"hmr2": save_tiny_hmr2, "frankmocap-eft": save_tiny_spin_checkpoint}[name]
    status, report = told("--try", f"{name}:{save(tmp_path / 'weights.pt')}")
    (trial,) = report["trials"]
    assert trial["state"] in ("well", "doubtful") and trial["summary"].startswith("a body ")
    assert trial["load_seconds"] > 0 and trial["run_seconds"] > 0
    assert trial["peak_memory"] > 2**20 and trial["peak_device_memory"] is None
    assert status == (trial["state"] != "well")
    assert "torch" in report["packages"] and report["device"] == "cpu"


@pytest.mark.parametrize("name", ["open-vocabulary", "mask2former", "vitpose"])
def test_networks_of_transformers_run(told, tmp_path, monkeypatch, name):
    pytest.importorskip("transformers")
    import tiny_models as tiny

    small = replace(portrait(), pixels=np.ascontiguousarray(portrait().pixels[::4, ::4]))
    monkeypatch.setattr(trials, "portrait", lambda *_: small)
    if name == "open-vocabulary":
        detector = tiny.save_tiny_grounding_dino(tmp_path / "dino")
        source = f"{detector}+{tiny.save_tiny_sam(tmp_path / 'sam')}"
    else:
        save = {"mask2former": tiny.save_tiny_mask2former, "vitpose": tiny.save_tiny_vitpose}[name]
        source = str(save(tmp_path / "model"))
    status, report = told("--try", f"{name}:{source}")
    (trial,) = report["trials"]
    assert (status, trial["state"]) == (1, "doubtful"), trial  # random networks see nobody
    assert trial["doubts"] and not trial["trace"]
    assert "instances" in trial["summary"] or "17 keypoints" in trial["summary"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")
@pytest.mark.parametrize("name", ["diffusers", "stable-diffusion-v1-4"])
def test_image_models_draw_one_picture(told, tmp_path, monkeypatch, name):
    pytest.importorskip("diffusers")
    from tiny_diffusion import save_tiny_pipeline

    monkeypatch.setattr(trials, "IMAGE_SIDE", 64)
    status, report = told("--try", f"{name}:{save_tiny_pipeline(tmp_path / 'pipeline')}")
    (trial,) = report["trials"]
    assert (status, trial["state"], trial["how"]) == (0, "well", "4 steps"), trial
    assert trial["summary"].startswith("a picture 64 x 64, grey levels ")


def test_a_segmenter_of_persons_alone_is_asked_for_no_object(told, monkeypatch):
    asked = []

    class Asked:
        def segment(self, images):
            asked.extend(image.key.category for image in images)
            return [[detection()] for _ in images]

    monkeypatch.setattr(ModelChoice, "check", lambda *_: None)
    monkeypatch.setattr(ModelChoice, "load", lambda *_, **__: Asked())
    told("--segmenter", "mask2former", "--try", "pocket")
    told("--try", "mask2former")
    monkeypatch.setitem(MODELS["segmenter"], "two", replace(MODELS["segmenter"]["blazepose"]))
    told("--try", "two")
    assert asked == [CATEGORY, CATEGORY, PERSON]


def test_networks_of_pocket_where_their_weights_are(blazepose_imports, capsys):
    """Of a portrait the body is refused: the networks cram its legs into the picture."""
    arguments = ["--imports_dir", str(blazepose_imports), "--device", "cpu", "--format", "json"]
    cli.main(["doctor", "--try", "pocket", *arguments])
    trials_of = {trial["kind"]: trial for trial in json.loads(capsys.readouterr().out)["trials"]}
    assert trials_of.keys() == {"segmenter", "human_model", "keypoint_model"}
    assert trials_of["segmenter"]["state"] == trials_of["keypoint_model"]["state"] == "well"
    assert trials_of["human_model"]["state"] in ("well", "doubtful")
    assert all("no body: body and mask" in doubt for doubt in trials_of["human_model"]["doubts"])


class Seeing:
    """A segmenter that finds the portrait's person."""

    def segment(self, images):
        return [[detection()] for _ in images]


def test_every_mode_whose_weights_are_there_is_tried(told, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(ModelChoice, "check", lambda *_: None)

    def load(model, imports_dir, device, **how):
        asked.append(how)
        return Seeing()

    monkeypatch.setattr(ModelChoice, "load", load)
    status, report = told("--try", "pointrend-r50")
    assert status == 0 and [trial["how"] for trial in report["trials"]] == [""]
    lvis = tmp_path / "imports" / WEIGHTS["mask-rcnn-x101-lvis"].destination
    lvis.parent.mkdir(parents=True)
    lvis.write_bytes(b"weights")
    _, report = told("--try", "pointrend-r50")
    assert [trial["how"] for trial in report["trials"]] == ["--mode coco", "--mode lvis"]
    assert [how["mode"] for how in asked] == ["coco", "coco", "lvis"]
    assert {how["threshold"] for how in asked} == {0.8}


@pytest.mark.parametrize(
    ("error", "state", "summary"),
    [
        (RuntimeError("mat1 and mat2"), "failed", "RuntimeError: mat1 and mat2"),
        (Unavailable("the hub cannot be reached."), "missing", "the hub cannot be reached."),
        (torch.cuda.OutOfMemoryError("of 8 GiB"), "failed", "OutOfMemoryError: of 8 GiB"),
    ],
)
def test_whatever_goes_wrong_is_told_with_its_place(told, monkeypatch, error, state, summary):
    monkeypatch.setattr(ModelChoice, "check", lambda *_: None)

    def load(*_, **__):
        raise error

    monkeypatch.setattr(ModelChoice, "load", load)
    status, report = told("--try", "vitpose")
    (trial,) = report["trials"]
    assert (status, trial["state"], trial["summary"]) == (1, state, summary)
    assert ("in load\n" in trial["trace"]) == (state == "failed")


def test_for_people(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(ModelChoice, "check", lambda *_: None)
    monkeypatch.setattr(ModelChoice, "load", lambda *_, **__: Seeing())
    arguments = ["doctor", "--device", "cpu", "--imports_dir", str(tmp_path), "--try"]
    assert cli.main([*arguments, "mask2former"]) == 0
    said = capsys.readouterr().out
    assert "well: segmenter mask2former\n    1 instances, 1 persons; hers: score 0.90" in said
    assert "loaded in 0.0 s, ran in " in said and " GiB at most" in said
    assert said.endswith("doctor: tried mask2former: 1 well\n")
    monkeypatch.setattr(Seeing, "segment", lambda *_: [[detection(share=0.05)]])
    assert cli.main([*arguments, "mask2former"]) == 1
    said = capsys.readouterr().out
    assert "doubtful: segmenter" in said and "    ! her mask fills 5% of her box" in said
    assert "1 doubtful; for a report add --format json" in said
