"""`chorus doctor`: what it says of packages, weights and profiles, and its status."""

from __future__ import annotations

import importlib
import importlib.util
import json
import struct
from dataclasses import fields

import pytest

from chorus import cli
from chorus.commands import doctor
from chorus.models import hub_cache
from chorus.models.registry import MODELS, PROFILES, SYNTHETIC, WEIGHTS, Profile


@pytest.fixture
def doctor_says(tmp_path, monkeypatch, capsys):
    """doctor(*arguments): its status and what it found, with an empty imports folder and cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str):
        options = ["--format", "json", "--imports_dir", str(tmp_path / "imports"), *arguments]
        status = cli.main(["doctor", *options])
        return status, json.loads(capsys.readouterr().out)

    return run


def test_every_profile_names_models_of_the_registry():
    others = {"model_key", "prompts", "quantitative", "qualitative", "hand_model"}
    assert set(MODELS) == {field.name for field in fields(Profile)} - others
    for profile in PROFILES.values():
        for kind, known in MODELS.items():
            name = getattr(profile, kind)
            assert name in known or (kind, name) == ("image_model", "")


@pytest.mark.parametrize(
    "model", [m for known in MODELS.values() for m in known.values()], ids=lambda m: m.form
)
def test_every_entry_of_the_registry_has_an_adapter(model):
    adapter = importlib.import_module(model.module)
    assert callable(adapter.load)
    assert model.name == SYNTHETIC or callable(adapter.check)
    assert model.about
    assert (model.threshold is not None) == (model.kind == "segmenter")


def test_the_synthetic_profile_runs_anywhere(doctor_says):
    status, found = doctor_says("--profile", "synthetic")
    assert status == 0
    assert found["chosen"]["can_run"]
    assert found["devices"][0]["name"] == "cpu"
    assert found["body"]["state"] == "built at first use"
    assert set(found["profiles"]) == set(PROFILES)


def test_a_profile_without_an_image_model(doctor_says, monkeypatch, capsys, tmp_path):
    _, found = doctor_says("--profile", "pocket")
    state = found["chosen"]["stages"]["image_model"]
    assert state["ok"] and not state["model"]
    monkeypatch.setenv("CHORUS_PROFILE", "pocket")
    cli.main(["doctor", "--imports_dir", str(tmp_path)])
    told = capsys.readouterr().out
    assert "\n  -   image_model     none\n" in told
    assert told.count("get: fetched at first use; no: something is missing") == 2
    for command in ("images", "run"):
        assert cli.main([command, "--categories", "bicycle"]) == 2
        said = capsys.readouterr().err
        assert "profile pocket makes no images: import your photographs" in said
        assert "unknown" not in said and said.count("\n") == 1
    assert not any(tmp_path.rglob("*.txt"))
    with pytest.raises(SystemExit) as shown:
        cli.main(["images", "--help"])
    assert shown.value.code == 0


def test_a_missing_weight_and_how_to_get_it(doctor_says, tmp_path):
    pytest.importorskip("diffusers")
    modern = ("--profile", "modern", "--human_model", "frankmocap-eft")
    status, found = doctor_says(*modern)
    assert status == 1
    assert not found["chosen"]["can_run"]
    humans = found["chosen"]["stages"]["human_model"]
    assert not humans["ok"]
    assert "sh scripts/download_off_the_shelf.sh frankmocap-eft" in humans["message"]
    keypoints = found["chosen"]["stages"]["keypoint_model"]
    assert keypoints["ok"] and keypoints["fetches"] == ["vitpose"]  # marked "get", not "ok"
    assert keypoints["message"].endswith("sh scripts/download_off_the_shelf.sh vitpose")
    assert "OPENAI_API_KEY" in found["prompts"]["message"]
    weight = tmp_path / "imports" / WEIGHTS["frankmocap-eft"].destination
    weight.parent.mkdir(parents=True)
    weight.write_bytes(b"weights")
    status, found = doctor_says(*modern)
    assert status == 0
    assert found["weights"]["frankmocap-eft"]["state"] == "present"
    weight.write_bytes(b"")
    status, found = doctor_says(*modern)
    assert status == 1
    assert "is damaged: it is empty" in found["chosen"]["stages"]["human_model"]["message"]


@pytest.mark.parametrize(
    ("stage", "package"), [("segmenter", "detectron2"), ("keypoint_model", "mmpose")]
)
def test_a_package_that_pip_does_not_bring_and_the_script_that_builds_it(
    doctor_says, monkeypatch, stage, package
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name)
    )
    _, found = doctor_says("--profile", "paper")
    sentence = found["chosen"]["stages"][stage]["message"]
    assert f"needs the package {package}" in sentence
    assert sentence.endswith(f"sh scripts/install_published_networks.sh {package}")


def test_a_file_that_is_not_the_published_one(doctor_says, tmp_path):
    weight = tmp_path / "imports" / WEIGHTS["hrnet-w48-dark"].destination
    weight.parent.mkdir(parents=True)
    weight.write_bytes(b"something else")
    _, found = doctor_says()
    state = found["weights"]["hrnet-w48-dark"]
    assert state["state"] == "damaged"
    assert "expected 39c3c381…" in state["wrong"]


def test_a_half_written_repository(doctor_says, tmp_path):
    pytest.importorskip("transformers")
    cache = tmp_path / "hub" / "models--usyd-community--vitpose-plus-base"
    folder = cache / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("abc")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "model.safetensors").write_bytes(whole)
    assert hub_cache.damaged_safetensors(folder) == []
    assert doctor_says()[1]["weights"]["vitpose"]["state"] == "present"
    (folder / "model.safetensors").write_bytes(whole[:-3])
    _, found = doctor_says("--keypoint_model", "vitpose")
    assert found["weights"]["vitpose"]["state"] == "damaged"
    assert not found["chosen"]["stages"]["keypoint_model"]["ok"]
    message = found["chosen"]["stages"]["keypoint_model"]["message"]
    assert f"its header promises {len(whole)}" in message


def test_a_package_that_does_not_import(doctor_says, monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    _, found = doctor_says("--profile", "paper")
    assert "nms does not exist" in found["broken"]["torchvision"]


def test_opencv_with_a_display_over_the_headless_one(doctor_says, monkeypatch):
    status, found = doctor_says("--profile", "synthetic")
    assert (status, found["opencv"]) == (0, "")
    version = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: "4.11" if name == "opencv-python" else version(name)
    )
    status, found = doctor_says("--profile", "synthetic")
    assert status == 0  # it works as long as libGL is there
    assert "opencv-python lies over opencv-python-headless" in found["opencv"]
    assert "pip uninstall --yes opencv-python, then pip install --force-re" in found["opencv"]
    problem = doctor._import_problem
    monkeypatch.setattr(
        doctor, "_import_problem", lambda name: "no libGL.so.1" if name == "cv2" else problem(name)
    )
    status, found = doctor_says("--profile", "synthetic")
    assert status == 1 and not found["chosen"]["can_run"]
    assert "cv2 does not import (no libGL.so.1)" in found["opencv"]
    assert cli.main(["doctor", "--profile", "synthetic"]) == 1


def test_for_people(doctor_says, capsys, tmp_path):
    status = cli.main(["doctor", "--profile", "paper", "--imports_dir", str(tmp_path)])
    said = capsys.readouterr().out
    assert status == 1
    assert "doctor: profile paper cannot run here" in said
    for known in MODELS.values():
        for form in known:
            assert form in said
    for name in WEIGHTS:
        assert name in said


def test_an_unknown_model_is_named(doctor_says):
    _, found = doctor_says("--segmenter", "maskformer")
    assert "did you mean 'mask2former'" in found["chosen"]["stages"]["segmenter"]["message"]


def test_a_damaged_body_is_opened_and_named(doctor_says, tmp_path):
    body = tmp_path / "SMPL_NEUTRAL.npz"
    body.write_bytes(b"PK\x03\x04 no archive")
    status, found = doctor_says("--body", str(body))
    assert status == 1 and not found["chosen"]["can_run"]
    assert found["body"]["state"] == "damaged" and str(body) in found["body"]["message"]
    assert cli.main(["doctor", "--body", str(body)]) == 1


def test_a_device_that_is_not_there_is_told_without_a_trial(doctor_says):
    status, found = doctor_says("--device", "cuda:63")
    assert status == 1 and "torch finds" in found["device"]["message"]
    status, found = doctor_says("--device", "cpu")
    assert status == 0 and found["device"] == {"name": "cpu", "message": ""}
