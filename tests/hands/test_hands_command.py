"""`chorus hands` and the release's script, from folders to pred.json."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_sets import freihand, ho3d
from PIL import Image

from chorus.cli import main
from chorus.errors import BadInput
from chorus.hands.checkpoint import load_checkpoint
from chorus.hands.datasets import read_images
from chorus.hands.joints import gather
from chorus.hands.prediction_file import read_predictions
from chorus.hands.true_keypoints import true_keypoints
from chorus.perception.person_crops import normalised, whole_pixel_crop
from references.hands import mano_arrays, save_checkpoint, small_hand, write_mano

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def release(tmp_path, monkeypatch) -> Path:
    """Folders as the release has them, with small networks."""
    for name in ("FreiHAND_model", "HO3D_model"):
        folder = tmp_path / "inference" / name / "checkpoints"
        folder.mkdir(parents=True)
        save_checkpoint(folder / "tempclr", "resnet18", small_hand())
        (folder / "latest_checkpoint").write_text("tempclr")
    freihand(tmp_path / "datasets" / "freihand")
    ho3d(tmp_path / "datasets" / "HO3D_v2")
    (tmp_path / "models" / "mano").mkdir(parents=True)
    write_mano(tmp_path / "models" / "mano" / "MANO_RIGHT.pkl", mano_arrays())
    for name in ("INFERENCE", "DATASETS", "MODELS"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


def plainly(checkpoint: Path, path: Path, centre, side) -> tuple[np.ndarray, np.ndarray]:
    """Joints in TempCLR's own order and vertices of one image, step by step."""
    network, hand = load_checkpoint(checkpoint, "resnet18")
    crop = whole_pixel_crop(np.asarray(Image.open(path).convert("RGB")), centre, side, 256)
    with torch.no_grad():
        predicted = network(normalised([crop], "cpu"))
        posed = hand.pose(predicted.rotations, predicted.betas)
    raw = posed.joints21[0, gather("ho3d", "tempclr")]
    return raw.numpy(), posed.vertices[0].numpy()


def test_freihand_by_the_releases_script(release):
    script = REPOSITORY / "scripts" / "hands" / "main.py"
    cfg = REPOSITORY / "scripts" / "hands" / "evaluation_freihand.yaml"
    done = subprocess.run(
        [sys.executable, script, "--exp-cfg", cfg, "--exp-opts",
         "network.hand.backbone.type=resnet18", "datasets.hand.batch_size=2", "--device", "cpu"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = release / "inference" / "FreiHAND_model"
    joints, vertices = read_predictions(out / "pred.json")
    assert joints.shape == (5, 21, 3) and vertices.shape == (5, 778, 3)
    image = release / "datasets/freihand/evaluation/rgb/00000003.jpg"
    raw, mesh = plainly(out / "checkpoints/tempclr", image, np.array([112, 112]), 224)
    order = [0, 13, 14, 15, 20, 1, 2, 3, 16, 4, 5, 6, 17, 10, 11, 12, 19, 7, 8, 9, 18]
    np.testing.assert_allclose(joints[3], raw[order], atol=2e-5)
    np.testing.assert_allclose(vertices[3], mesh, atol=2e-5)
    assert not (out / "summary").exists()  # the shipped file asks for no pictures
    with np.load(out / "parameters.npz") as stored:
        assert stored["pose"].shape == (5, 16, 3) and stored["camera"].shape == (5, 3)
        assert (stored["camera"][:, 0] > 0).all()
        s, tx, ty = stored["camera"][3]
        uv = s * (stored["joints"][3][:, :2] + [tx, ty])
        np.testing.assert_allclose(stored["keypoints"][3], (uv + 1) / 2 * 224, atol=2e-2)
        assert stored["names"].tolist()[3] == "00000003"


def test_ho3d_in_opengls_axes_with_pictures(release, capsys):
    cfg = REPOSITORY / "scripts" / "hands" / "evaluation_ho3d.yaml"
    assert main(["hands", "--exp_cfg", str(cfg), "--device", "cpu"]) == 0
    out = release / "inference" / "HO3D_model"
    joints, vertices = read_predictions(out / "pred.json")
    image = release / "datasets/HO3D_v2/evaluation/SM1/rgb/0001.png"
    raw, mesh = plainly(out / "checkpoints/tempclr", image, np.array([265, 215]), 260)
    order = [*range(16), 20, 16, 17, 19, 18]
    flip = [1, -1, -1]
    np.testing.assert_allclose(joints[1], raw[order] * flip, atol=2e-5)
    np.testing.assert_allclose(vertices[1], mesh * flip, atol=2e-5)
    picture = np.asarray(Image.open(out / "summary" / "batch_0.png"))
    # crop, keypoints, overlay, eight views; two hands a row, three hands
    assert picture.shape == (2 * 256, 2 * 11 * 256, 3)
    assert picture[:256, 3 * 256 : 4 * 256].any()
    assert "hands: 3 images" in capsys.readouterr().out


def test_without_an_experiment_file(release, tmp_path, capsys):
    checkpoint = tmp_path / "own"
    save_checkpoint(checkpoint)  # holds no hand
    words = ["hands", "--dataset", "freihand", "--folder", str(tmp_path / "datasets/freihand"),
             "--checkpoint", str(checkpoint), "--backbone", "resnet18", "--device", "cpu",
             "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(words) == 2
    assert "holds no hand" in capsys.readouterr().err
    words += ["--hand", str(tmp_path / "models/mano/MANO_RIGHT.pkl")]
    assert main(words) == 0
    assert read_predictions(tmp_path / "out" / "pred.json")[1].shape == (5, 778, 3)


def test_another_hand_than_the_checkpoints_is_remarked(release, capsys):
    model = mano_arrays(seed=9)
    write_mano(release / "models/mano/MANO_RIGHT.pkl", model)
    cfg = REPOSITORY / "scripts" / "hands" / "evaluation_ho3d.yaml"
    main(["hands", "--exp_cfg", str(cfg), "--device", "cpu", "--exp_opts",
          "save_reproj_images=false"])  # fmt: skip
    assert "differs from the hand in the checkpoint by" in capsys.readouterr().err


def test_a_missing_checkpoint_is_an_error(release, capsys):
    (release / "inference/FreiHAND_model/checkpoints/tempclr").unlink()
    cfg = REPOSITORY / "scripts" / "hands" / "evaluation_freihand.yaml"
    assert main(["hands", "--exp_cfg", str(cfg), "--device", "cpu"]) == 2
    assert "put the checkpoint beside it" in capsys.readouterr().err
    assert not (release / "inference/FreiHAND_model/pred.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give photographs"),
        (["--dataset", "ho3d"], "give photographs"),
        (["--exp_cfg", "a.yaml", "--dataset", "ho3d"], "--exp_cfg says all"),
        (["--exp_opts", "a=1", "--dataset", "ho3d", "--folder", "f", "--checkpoint", "c"],
         "--exp_opts changes an experiment file"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(words, said, capsys):
    assert main(["hands", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_true_keypoints_are_drawn_where_there_is_ground_truth(release):
    folder = release / "datasets" / "HO3D_v2"
    joints = np.zeros((3, 21, 3))
    joints[..., 2] = -0.5  # in OpenGL's axes: in front of the camera
    joints[:, :, 0] = np.linspace(-0.03, 0.03, 21)
    (folder / "evaluation_xyz.json").write_text(json.dumps(joints.tolist()))
    K = np.array([[600.0, 0, 260], [0, 600, 215], [0, 0, 1]])
    for path in folder.glob("evaluation/*/meta/*.pkl"):
        meta = {"camMat": K, "handBoundingBox": np.array([200.0, 150, 320, 280])}
        path.write_bytes(pickle.dumps(meta, protocol=2))
    hands = read_images("ho3d", folder)
    pixels = true_keypoints(hands, folder)
    np.testing.assert_allclose(pixels[0, 0], [260 - 600 * 0.06, 215], atol=1e-6)
    cfg = REPOSITORY / "scripts" / "hands" / "evaluation_ho3d.yaml"
    assert main(["hands", "--exp_cfg", str(cfg), "--device", "cpu"]) == 0
    picture = Image.open(release / "inference" / "HO3D_model" / "summary" / "batch_0.png")
    assert picture.size == (2 * 12 * 256, 2 * 256)  # one tile more
    (folder / "evaluation_xyz.json").write_text(json.dumps(joints[:2].tolist()))
    with pytest.raises(BadInput, match="3 images, 2 samples of ground truth and 3 cameras"):
        true_keypoints(hands, folder)


def test_freihands_cameras_are_in_a_file(release):
    folder = release / "datasets" / "freihand"
    hands = read_images("freihand", folder)
    assert true_keypoints(hands, folder) is None
    joints = np.tile([0.01, -0.02, 0.5], (5, 21, 1))
    K = np.tile([[400.0, 0, 112], [0, 400, 112], [0, 0, 1]], (5, 1, 1))
    (folder / "evaluation_xyz.json").write_text(json.dumps(joints.tolist()))
    (folder / "evaluation_K.json").write_text(json.dumps(K.tolist()))
    np.testing.assert_allclose(true_keypoints(hands, folder)[4], [[120, 96]] * 21)
    (folder / "evaluation_K.json").write_text(json.dumps(K[:, :2].tolist()))
    with pytest.raises(BadInput, match=r"finite camera matrices \(N, 3, 3\)"):
        true_keypoints(hands, folder)
