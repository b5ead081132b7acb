"""Persons of photographs refined by a learned prior: bodies, what is written, bad input."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from chorus.cli import main
from chorus.commands.refinement_tasks import demonstration
from chorus.commands.refinement_tasks.demonstration import DemoImages, evidence_of, refined
from chorus.errors import BadInput
from chorus.perception.blazepose_body import PerceivedBody
from chorus.perception.perceiving import PerceivedPerson
from chorus.refinement.score.denoiser import axis_angle_numbers
from chorus.refinement.score.learned import LearnedDenoiser, save_learned
from chorus.refinement.score.losses import BodyPoints
from chorus.refinement.score.score_fit import ScoreRefiner
from references.stick_body import arrays, stick_body

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0


def perceived(off: float = 0.0) -> PerceivedPerson:
    """A stick figure three metres away, whose pelvis is off by so many metres to the right."""
    body = stick_body()
    pose = torch.zeros(24, 3)
    pose[0, 0] = np.pi  # upright before a camera whose y points down
    pose[18] = torch.tensor([0.0, -0.4, 0.0])
    root = torch.tensor([0.1, 0.0, 4.0])
    K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    points = BodyPoints(body)(axis_angle_numbers(pose)[None])[0] + root
    pixels = (points @ K.T)[:, :2] / points[:, 2:]
    low, high = pixels.min(0).values, pixels.max(0).values
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = True
    found = SimpleNamespace(
        box=torch.cat([low, high]).numpy(),
        size=(HEIGHT, WIDTH),
        mask=mask,
        score=0.9,
        landmarks=np.zeros((33, 5)),
        world=np.zeros((33, 3)),
    )
    keypoints = torch.cat([pixels, torch.ones(17, 1)], 1).numpy()
    root = root + torch.tensor([off, 0.0, 0.0])
    straight = pose[0]
    seen = PerceivedBody(pose, torch.zeros(10), root, K, 0.1, 0.5, straight)
    return PerceivedPerson(found, keypoints, seen, "")


def scorer() -> ScoreRefiner:
    torch.manual_seed(0)
    return ScoreRefiner(stick_body(), LearnedDenoiser())


def test_bodies_come_to_their_keypoints_and_others_stay():
    person, without = (
        perceived(0.1),
        PerceivedPerson(perceived().found, np.zeros((17, 3)), None, "x"),
    )
    answer = refined([without, person], stick_body(), scorer())
    assert answer[0] is without
    body = answer[1].body
    points = BodyPoints(stick_body())(axis_angle_numbers(body.pose)[None])[0] + body.root
    pixels = (points @ body.K.T)[:, :2] / points[:, 2:]
    away = np.linalg.norm(pixels.numpy() - person.keypoints[:, :2], axis=1)
    assert away.mean() < 3 and body.error < 0.02 and 0 <= body.agreement <= 1
    assert refined([without], stick_body(), scorer()) == [without]


def test_evidence_is_what_the_body_says_of_itself():
    person = perceived()
    evidence = evidence_of([person], stick_body())
    shoulders = evidence.joints2d[0, [16, 17]].numpy()
    np.testing.assert_allclose(shoulders, person.keypoints[5:7, :2], atol=1e-3)
    assert evidence.image_size.tolist() == [[WIDTH, HEIGHT]]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Photographs, a prior and a body, and a perceiver that always sees the stick figure."""
    monkeypatch.setattr("chorus.perception.blazepose.check", lambda *_: None)
    monkeypatch.setattr(
        "chorus.perception.perceiving.Perceiver", lambda *_: lambda _: [perceived()]
    )
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no picture")
    np.savez(tmp_path / "body.npz", **arrays())
    torch.manual_seed(0)
    save_learned(tmp_path / "prior.safetensors", LearnedDenoiser(), {})
    return tmp_path


def test_pictures_and_parameters_are_written(prepared, capsys):
    out = prepared / "out"
    options = {"img_folder": "photos", "out_folder": "out", "prior": "prior.safetensors"}
    options["body"] = "body.npz"
    given = [word for name, file in options.items() for word in (f"--{name}", str(prepared / file))]
    assert main(["scorehmr", "images", *given]) == 1  # for the one that is no picture
    said = capsys.readouterr()
    assert "1 bodies of 1 persons in 1 of 2 photographs" in said.out and "b.jpg" in said.err
    assert Image.open(out / "opt_a.png").format == "PNG"
    (person,) = json.loads((out / "opt_a.json").read_text())["persons"]
    assert np.shape(person["body"]["pose"]) == (24, 3) and np.shape(person["body"]["K"]) == (3, 3)
    assert np.load(out / "opt_a.npz")["pose"].shape == (1, 24, 3)


def test_photographs_of_one_stem_have_files_of_their_own():
    found = demonstration._called(["a.jpg", "in/b.jpg", "in/b.png"])
    assert found == {
        "a.jpg": "opt_a",
        "in/b.jpg": "in/opt_b.jpg",
        "in/b.png": "in/opt_b.png",
    }


def test_options_that_cannot_be_are_refused(prepared):
    photos, prior = prepared / "photos", prepared / "prior.safetensors"
    with pytest.raises(BadInput, match="it needs PARE's features of them"):
        DemoImages(img_folder=photos, out_folder=prepared / "out")
    with pytest.raises(BadInput, match="is not a folder of photographs"):
        DemoImages(img_folder=prepared / "none", prior=prior)
    with pytest.raises(BadInput, match="lies in --img_folder"):
        DemoImages(img_folder=photos, out_folder=photos / "out", prior=prior)
