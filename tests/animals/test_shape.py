"""The shape network: its published form, projection, losses, training, and its figures."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from chorus.animals.annotations import Labels, read_labels
from chorus.animals.free_quadruped import free_quadruped
from chorus.animals.keypoints import MIRROR
from chorus.animals.pasture.drawing import draw_scene
from chorus.animals.pasture.scenes import LABELLED, sample_scene
from chorus.animals.shape.evaluating import (
    Shape,
    find_shapes,
    label_records,
    score_shapes,
    silhouette,
)
from chorus.animals.shape.network import (
    Prediction,
    ShapeForm,
    ShapeNetwork,
    camera_starts,
    load_shape_network,
)
from chorus.animals.shape.projecting import (
    PosedTemplate,
    keypoint_loss,
    likeliest,
    limit_loss,
    mean_over_cameras,
    project,
    rigid,
)
from chorus.animals.shape.training import ShapeTraining, TrainingSet, mirrored, train_shape
from chorus.animals.template import UPRIGHT, in_published_axes
from chorus.animals.weights import write_weights
from chorus.errors import BadInput, StaleResults

SMALL = ShapeForm(vertices=10, image_size=64, features=16)


def horse():
    return in_published_axes(free_quadruped("horse", 40)).normalised()


def test_the_network_is_the_published_one():
    network = ShapeNetwork(ShapeForm())
    names = set(network.state_dict())
    assert len(names) == 245
    assert sum(each.numel() for each in network.parameters()) == pytest.approx(15.46e6, rel=1e-3)
    part = "cam_predictor.transform_predictor.part_transforms_pred.6"
    assert {
        "img_encoder.resnet_conv.resnet.fc.weight",
        "img_encoder.enc_conv1.1.running_mean",
        "img_encoder.enc_fc.1.0.bias",
        "cam_predictor.fc.0.0.weight",
        "cam_predictor.camera_predictor.fc_layer.1.0.weight",
        "cam_predictor.camera_predictor.quat_predictor.pred_layer.weight",
        "cam_predictor.camera_predictor.prob_predictor.bias",
        f"{part}.quat_predictor.axis",
        f"{part}.trans_predictor.pred_layer.bias",
        "part_membership.membership",
    } <= names
    several = set(ShapeNetwork(replace(SMALL, cameras=2)).state_dict())
    assert "cam_predictor.camera_predictor.1.prob_predictor.weight" in several
    assert "cam_predictor.transform_predictors.0.fc.0.0.weight" in several
    assert "cam_predictor.prob_predictor.weight" in several


def test_weights_come_back_whatever_the_axes_shape(tmp_path):
    network = ShapeNetwork(SMALL).eval()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    for name in state:
        if name.endswith(".axis"):
            state[name] = state[name].reshape(1, 3)
    write_weights(tmp_path / "w.pth", state)
    back = load_shape_network(tmp_path / "w.pth", SMALL)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(back(image).angles, network(image).angles)
    with pytest.raises(BadInput, match="6 parts"):
        load_shape_network(tmp_path / "w.pth", replace(SMALL, parts=6))


def test_a_prediction_is_a_rotation_near_rest():
    prediction = ShapeNetwork(SMALL).eval()(torch.randn(3, 3, 64, 64))
    rotation = prediction.rotation
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(3, 1), atol=1e-5)
    assert prediction.angles.abs().max() < 0.05 and prediction.axes.shape == (1, 7, 3)


def test_several_cameras_start_upright_around_the_animal():
    starts = camera_starts(8)
    up, ahead = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, -1, 0])
    assert torch.allclose(starts @ up, torch.tensor([0.0, -1, 0]).expand(8, 3), atol=1e-6)
    faced = starts @ ahead
    assert torch.allclose(faced[0], torch.tensor([0.0, 0, -1]), atol=1e-6)  # at the camera
    turned = torch.acos((faced[:-1] * faced[1:]).sum(-1).clamp(-1, 1))
    assert torch.allclose(turned, torch.full((7,), math.pi / 4), atol=1e-4)


@pytest.mark.parametrize("published", [False, True])
def test_the_angle_layer_learns_but_as_published(published):
    network = ShapeNetwork(replace(SMALL, cameras=2, published_angles=published))
    network(torch.randn(2, 3, 64, 64)).rotation[..., 0, 1].sum().backward()
    layer = network.cam_predictor.camera_predictor[0].quat_predictor.pred_layer
    assert (layer.weight.grad is None) == published


def exact(scene, drawn) -> Prediction:
    """What a perfect network would say of a scene whose animal has its species' shape."""
    animal, side = scene.animals[0], max(drawn.box[2:] - drawn.box[:2])
    middle = (drawn.box[:2] + drawn.box[2:]) / 2
    rotation = torch.from_numpy(drawn.camera.rotation @ UPRIGHT.T).float()
    shift = torch.from_numpy((drawn.camera.shift - middle) * 2 / side).float()
    return Prediction(
        torch.full((1, 1), 2 * drawn.camera.scale / side),
        shift[None, None],
        rotation[None, None],
        torch.from_numpy(animal.angles).float()[None, None],
        torch.tensor([[1.0, 0, 0]]).expand(1, 7, 3),
        torch.zeros(1, 1, 7, 3),
        torch.zeros(1, 1),
    )


@pytest.fixture(scope="module")
def perfect():
    """A scene, its truth, the template, and the perfect prediction."""
    settings = replace(LABELLED, spread=0.0, occluded=0, truncated=0, second=0)
    scene = sample_scene("horse", 21, settings)
    drawn = draw_scene(scene)
    return scene, drawn, horse(), exact(scene, drawn)


class Told(torch.nn.Module):
    """A network that says what it is told."""

    def __init__(self, prediction: Prediction):
        super().__init__()
        self.form, self._prediction = ShapeForm(image_size=64), prediction

    def forward(self, images):
        return self._prediction


def test_the_truth_scores_as_the_truth(perfect, tmp_path):
    from PIL import Image

    _, drawn, template, prediction = perfect
    Image.fromarray(drawn.image).save(tmp_path / "a.png")
    left, top, right, bottom = drawn.box.tolist()
    joints = np.column_stack([drawn.keypoints, drawn.visible])
    record = {
        "img_id": "a",
        "img_path": "a.png",
        "img_bbox": [left, top, right - left, bottom - top],
        "joints": joints.tolist(),
        "seg": drawn.mask.astype(int).tolist(),
        "cam_rot": (drawn.camera.rotation @ UPRIGHT.T).tolist(),
        "valid_cam": 1,
    }
    (tmp_path / "x.json").write_text(json.dumps([record]))
    labels = read_labels(tmp_path / "x.json")
    posed = PosedTemplate.of(template, "root last", "cpu")
    shapes = list(find_shapes(Told(prediction), posed, tmp_path, labels.records, 4))
    scores = score_shapes(labels, shapes, template.faces)
    # what is missing is the perspective, which a weak camera has not
    assert scores.area > 90 and scores.camera < 0.2 and scores.overlap > 70
    assert label_records(shapes)[0]["joints"] == shapes[0].keypoints.tolist()
    with pytest.raises(BadInput, match="cam_rot"):
        damaged = Labels(({**record, "cam_rot": [1]},), labels.boxes, labels.joints)
        score_shapes(damaged, shapes, template.faces)
    gone = list(find_shapes(Told(prediction), posed, tmp_path, [{**record, "img_path": "b"}], 4))
    assert "cannot be read" in gone[0].problem
    with pytest.raises(BadInput, match="no image"):
        label_records(gone)
    with pytest.raises(BadInput, match="cannot be read"):
        score_shapes(labels, gone, template.faces)


def test_labels_without_masks_and_cameras_have_no_such_figures(perfect):
    _, drawn, template, _ = perfect
    record = {"img_id": "a", "img_bbox": [0, 0, 10, 10]}
    joints = np.column_stack([drawn.keypoints, np.ones(16)])[None]
    labels = Labels((record,), np.array([[0, 0, 10.0, 10]]), joints)
    shape = Shape(record, drawn.keypoints, np.zeros((3, 3)), np.eye(3))
    scores = score_shapes(labels, [shape], template.faces)
    assert scores.area == 100 and np.isnan(scores.camera) and np.isnan(scores.overlap)


def test_the_mirror_image_has_the_mirrored_keypoints(perfect):
    """Turning the camera into its mirror and exchanging the parts mirrors the keypoints."""
    _, _, template, prediction = perfect
    posed = PosedTemplate.of(template, "root last", "cpu")
    found = posed.projected_keypoints(prediction)
    flip = torch.diag(torch.tensor([-1.0, 1, 1]))
    other = prediction._replace(
        shift=prediction.shift * torch.tensor([-1.0, 1]),
        rotation=flip @ prediction.rotation @ flip,
        angles=prediction.angles[..., list(template.mirror_parts)],
    )
    crop = np.zeros((4, 4, 3), np.uint8)
    joints = np.column_stack([found[0, 0].numpy(), np.ones(16)])
    wanted = mirrored(crop, joints)[1]
    assert np.allclose(posed.projected_keypoints(other)[0, 0].numpy(), wanted[:, :2], atol=1e-5)
    assert np.array_equal(mirrored(*mirrored(crop, joints))[1], joints)
    assert wanted[0, 0] == -joints[MIRROR[0], 0]


def test_the_likeliest_camera_brings_its_own_parts():
    torch.manual_seed(0)
    posed = PosedTemplate.of(horse(), "root last", "cpu")
    prediction = ShapeNetwork(replace(SMALL, cameras=3)).eval()(torch.randn(2, 3, 64, 64))
    axes = torch.nn.functional.normalize(torch.randn(3, 7, 3), dim=-1)
    prediction = prediction._replace(axes=axes, angles=torch.randn(2, 3, 7))
    everything = posed.projected_keypoints(prediction)
    best = prediction.log_probability.argmax(1)
    alone = posed.projected_keypoints(likeliest(prediction))
    assert torch.allclose(alone[:, 0], everything[torch.arange(2), best], atol=1e-6)


def test_losses_by_hand():
    found = torch.tensor([[[[0.0, 0], [1, 1]]]])
    wanted, weight = torch.tensor([[[3.0, 4], [1, 1]]]), torch.tensor([[1.0, 1]])
    assert float(keypoint_loss(found, wanted, weight)) == pytest.approx(25 / 2.0016)
    assert float(keypoint_loss(found, wanted, 0 * weight)) == 0
    limits = torch.tensor([[-0.5, 0.5], [0.0, 0.0]])
    assert float(limit_loss(torch.tensor([[[0.7, 3.0]]]), limits)) == pytest.approx(0.04)
    chances = torch.tensor([[0.25, 0.75]]).log()
    assert float(mean_over_cameras(torch.tensor([[4.0, 8.0]]), chances)) == pytest.approx(7)


def test_projection_by_hand():
    prediction = Prediction(
        torch.full((1, 1), 0.5), torch.tensor([[[0.1, 0.2]]]), torch.eye(3)[None, None],
        torch.ones(1, 1, 7), torch.eye(3)[:1].expand(1, 7, 3), torch.ones(1, 1, 7, 3),
        torch.zeros(1, 1),
    )  # fmt: skip
    points = torch.tensor([[[[1.0, 2, 3]]]])
    assert torch.allclose(project(points, prediction), torch.tensor([0.6, 1.2, 1.5]))
    still = rigid(prediction)
    assert still.angles.abs().max() == 0 and still.shifts.abs().max() == 0


def test_a_silhouette_by_hand():
    square = np.array([[2.0, 1, 5], [6, 1, 5], [6, 4, 7], [2, 4, 7]])
    mask = silhouette(square, np.array([[0, 1, 2], [0, 2, 3]]), 8, 9)
    assert mask.sum() == 12 and mask[1:4, 2:6].all()


TINY = ShapeTraining(
    num_iter=3, iter_save=9, batch_size=2, learning_rate=1e-3, img_size=64, nz_feat=16,
    warmup_deform_iter=1,
)  # fmt: skip


def test_training_learns_and_goes_on_where_it_stopped(perfect, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)  # states of 180 MB
    from PIL import Image

    _, drawn, template, _ = perfect
    Image.fromarray(drawn.image).save(tmp_path / "a.png")
    joints = np.column_stack([drawn.keypoints, drawn.visible]).tolist()
    box = [float(v) for v in (*drawn.box[:2], *(drawn.box[2:] - drawn.box[:2]))]
    record = {"img_id": "a", "img_path": "a.png", "img_bbox": box, "joints": joints}
    (tmp_path / "x.json").write_text(json.dumps([record, {**record, "img_id": "b"}]))
    sets = [TrainingSet(read_labels(tmp_path / "x.json"), tmp_path)]
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train_shape(sets, template, TINY, straight, "cpu", lambda _: None)
    train_shape(sets, template, replace(TINY, num_iter=2), broken, "cpu", lambda _: None)
    train_shape(sets, template, TINY, broken, "cpu", lambda _: None)
    assert (straight / "losses.csv").read_text() == (broken / "losses.csv").read_text()
    form = TINY.form(7, len(template.vertices))
    load_shape_network(straight / "final.pth", form)
    with pytest.raises(StaleResults, match="beta1"):
        train_shape(sets, template, replace(TINY, beta1=0.5), broken, "cpu", lambda _: None)
    both = replace(TINY, num_iter=1, flip_train=True, num_hypo_cams=2, order="parent last")
    assert train_shape(sets, template, both, tmp_path / "both", "cpu", lambda _: None) > 0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"num_iter": 0}, "--num_iter"),
        ({"batch_size": 1}, "2 or more"),
        ({"learning_rate": float("nan")}, "--learning_rate"),
        ({"jitter_frac": 0.6}, "--jitter_frac"),
        ({"kp_loss_wt": -1}, "below 0"),
        ({"img_size": 100}, "multiple of 64"),
        ({"num_hypo_cams": 0}, "1 or more"),
    ],
)
def test_settings_of_training_are_checked(values, says):
    with pytest.raises(BadInput, match=says):
        ShapeTraining(**values)
