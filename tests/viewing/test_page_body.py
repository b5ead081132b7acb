"""The page's posing and contacts: skinning in the browser as in Python, and what is left out."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re

import numpy as np
import pytest
import torch
from page_reading import state_of, with_script
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation, Slerp
from viewing_samples import PROMPT, blob, displayed

from chorus.body.model import BodyModel, star_body, star_pose
from chorus.occupancy.grid import VoxelGrid
from chorus.occupancy.skinning_field import skinning_field
from chorus.records.keys import SampleKey
from chorus.viewing.contact_figure import ContactScale
from chorus.viewing.displayed import DisplayedBody
from chorus.viewing.distribution_page import write_page
from chorus.viewing.page_body import CONTACT_STEPS, PageBody, pack_contact, pack_motion
from chorus.viewing.retained_poses import RetainedPose
from references.stick_body import stick_body

BODY = stick_body()
TOLERANCE = 0.005
"""Metres, a twelfth of a voxel: weights are in 255 steps in the page."""


def a_pose(seed: int = 0, prompt: str = PROMPT, image: bool = True) -> RetainedPose:
    pose = np.random.default_rng(seed).normal(0, 0.4, (24, 3))
    pose[0] = 0
    key = SampleKey("m", "surfboard", prompt, ", side view", 10 + seed)
    return RetainedPose(key, pose, np.full((40, 60, 3), 99, np.uint8) if image else None)


def on_body(*poses: RetainedPose, contacts=None) -> PageBody:
    return PageBody(BODY, poses, contacts or [np.linspace(0, 0.6, len(BODY.v_template))])


def unpacked(packed: dict) -> np.ndarray:
    return np.frombuffer(gzip.decompress(base64.b64decode(packed["bytes"])), np.uint8)


def test_contacts_survive_packing():
    contact = np.linspace(0, 0.41, 24)
    packed = pack_contact(contact)
    assert packed["top"] == pytest.approx(0.5)
    back = unpacked(packed) * packed["top"] / packed["steps"]
    assert back == pytest.approx(contact, abs=0.51 * 0.5 / CONTACT_STEPS)
    assert not unpacked(pack_contact(np.zeros(5))).any()
    just_above = ContactScale(0.3015).top  # the scale is rounded to a tenth, also downwards
    assert just_above == pytest.approx(0.3)
    assert unpacked(pack_contact(np.array([0.3015]))).tolist() == [CONTACT_STEPS]


def test_motion_holds_weights_and_poses():
    packed = pack_motion(on_body(a_pose(), a_pose(1, image=False)))
    weights = unpacked(packed["weights"]).reshape(23, -1) / 255
    np.testing.assert_allclose(weights, BODY.weights.numpy()[:, 1:].T, atol=1 / 500)
    first, second = packed["poses"]
    assert first["name"] == "side view, image 10" and first["text"].startswith(f"{PROMPT}, side")
    assert first["image"].startswith("data:image/jpeg;base64,") and second["image"] == ""
    assert pack_motion(on_body()) == {"poses": []}


def halfway(pose: np.ndarray, share: float) -> torch.Tensor:
    """The pose a share of the way from the star pose, joint by joint the short way round."""
    ends = np.stack([star_pose().numpy(), pose])
    turns = [Slerp([0, 1], Rotation.from_rotvec(ends[:, joint]))(share) for joint in range(24)]
    return torch.tensor(np.array([turn.as_rotvec() for turn in turns]), dtype=torch.float32)


def field_at(body: BodyModel, places: np.ndarray) -> np.ndarray:
    """(P, 24) skinning weights of places, linear between voxel centres."""
    grid = VoxelGrid(48, 3.0)
    field = skinning_field(star_body(body).vertices, body.weights, grid).numpy()
    at = (places.T - grid.start) / grid.size - 0.5
    volumes = np.moveaxis(field.reshape(*grid.shape, 24), 3, 0)
    return np.stack([map_coordinates(v, at, order=1, mode="nearest") for v in volumes], axis=1)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_browser_skins_as_python_does(tmp_path, opened, share):
    pose = a_pose()
    path = write_page(
        tmp_path / "r.html", [displayed()], DisplayedBody.of(BODY), on_body=on_body(pose)
    )
    tell = """const out = document.createElement("pre");
      const list = (array) => [...array].map((x) => +x.toFixed(5));
      out.id = "told";
      out.textContent = JSON.stringify(window.drawn().map(
        (one) => ({ ofBody: one.ofBody, star: list(one.star), places: list(one.places) })));
      document.body.append(out);"""
    page = opened(with_script(path, tell), f"#pose=0&share={share}&core=1")
    assert state_of(page)["state"] == "ready"
    assert state_of(page)["pose"] == pose.text
    told = json.loads(re.search(r'<pre id="told">([^<]*)', page)[1])
    body, surface = (
        {k: np.array(one[k]).reshape(-1, 3) for k in ("star", "places")} for one in told
    )
    assert told[0]["ofBody"] and not told[1]["ofBody"]
    posed = BODY.pose(halfway(pose.pose, share))
    np.testing.assert_allclose(body["places"], posed.vertices.numpy(), atol=TOLERANCE)
    transforms = posed.transforms @ torch.linalg.inv(star_body(BODY).transforms)
    blend = np.einsum("pj,jab->pab", field_at(BODY, surface["star"]), transforms.numpy())
    expected = np.einsum("pab,pb->pa", blend[:, :3, :3], surface["star"]) + blend[:, :3, 3]
    np.testing.assert_allclose(surface["places"], expected, atol=TOLERANCE)
    assert np.abs(surface["places"] - expected).mean() < TOLERANCE / 5
    moved = np.linalg.norm(surface["places"] - surface["star"], axis=1).max()
    assert len(expected) > 500 and (moved > 0.02) == (share > 0)


def visible(page: str, name: str) -> bool:
    return "hidden" not in re.search(rf'<\w+ [^>]*id="{name}"[^>]*>', page)[0]


def test_browser_takes_poses_by_keyboard_and_keeps_them_in_the_address(tmp_path, opened):
    other = "A person carries a surfboard"
    path = write_page(
        tmp_path / "r.html",
        [displayed(), displayed(prompt=other)],
        DisplayedBody.of(BODY),
        on_body=on_body(a_pose(), a_pose(1), a_pose(2, other), contacts=[np.zeros(192)] * 2),
    )
    press = """const choices = document.querySelectorAll("#poses button");
      choices[2].focus();
      choices[2].click();
      const slider = document.getElementById("share");
      const root = document.documentElement;
      root.dataset.focused = document.activeElement.title;
      slider.value = "0.25";
      slider.dispatchEvent(new Event("input"));
      setTimeout(() => { root.dataset.address = location.hash; }, 1000);"""
    page = opened(with_script(path, press))
    state = state_of(page)
    assert state["state"] == "ready", state
    assert state["pose"] == state["focused"] == a_pose(1).text
    assert "pose=1" in state["address"] and "share=0.25" in state["address"]
    buttons = re.search(r'<div id="poses"[^>]*>(.*?)</div>', page, re.DOTALL)[1]
    assert buttons.count("<button") == 3, "the star pose and the prompt's own"
    assert visible(page, "moving") and not visible(page, "pose-note")


def test_browser_poses_a_total_by_the_first_of_every_prompt(tmp_path, opened):
    poses = [a_pose(0, "A"), a_pose(1, "A"), a_pose(2, "B")]
    total = displayed(prompt="total-aggregation")
    path = write_page(tmp_path / "r.html", [total], DisplayedBody.of(BODY), on_body=on_body(*poses))
    page = opened(path, "#pose=1")
    buttons = re.search(r'<div id="poses"[^>]*>(.*?)</div>', page, re.DOTALL)[1]
    assert re.findall(r'title="([^"]*)"', buttons) == [poses[0].text, poses[2].text]
    assert state_of(page)["pose"] == "", "a pose that is not offered is not taken"


def test_browser_says_that_there_are_no_poses(tmp_path, opened):
    path = write_page(tmp_path / "r.html", [displayed()], DisplayedBody.of(BODY), on_body=on_body())
    page = opened(path, "#pose=0&contact=1")
    assert state_of(page)["state"] == "ready" and state_of(page)["pose"] == ""
    assert re.search(r'id="pose-note"[^>]*>There are no poses to show: no retained sample', page)
    assert visible(page, "pose-note") and not visible(page, "moving")
    assert visible(page, "contacts")


def test_browser_leaves_a_field_of_another_body_where_it_is(tmp_path, opened):
    fault = "made on another body </p><img src=x>"
    path = write_page(
        tmp_path / "r.html",
        [displayed(probability=blob(peak=0.5))],
        DisplayedBody.of(BODY),
        on_body=on_body(a_pose(), contacts=[fault]),
    )
    page = opened(path, "#pose=0&contact=1")
    assert state_of(page)["state"] == "ready" and state_of(page)["pose"] == ""
    escaped = html.escape(fault, quote=False)
    assert page.count(f">{escaped}</p>") == 2, "where poses are chosen, and below the contacts"
    assert not visible(page, "moving") and not visible(page, "contact-bar")


def test_browser_without_a_body_offers_neither(tmp_path, opened):
    page = opened(write_page(tmp_path / "r.html", [displayed()], None, on_body=on_body(a_pose())))
    assert state_of(page)["state"] == "ready"
    assert not visible(page, "pose") and not visible(page, "contacts")
