"""FreiHAND's and HO-3D's folders: which images, in which order, where the hand is."""

from __future__ import annotations

import numpy as np
import pytest
from hand_sets import freihand, ho3d, texture, write_meta

from chorus.errors import BadInput
from chorus.hands.datasets import read_images, read_pixels


def test_freihands_images_are_cropped_whole_in_the_order_of_their_numbers(tmp_path):
    hands = read_images("freihand", freihand(tmp_path))
    assert [image.name for image in hands.images] == [f"{n:08d}" for n in range(5)]
    assert hands.joint_order == "freihand" and not hands.opengl
    centre, side = hands.images[0].square(read_pixels(hands.images[0]))
    assert centre.tolist() == [112, 112] and side == 224
    points = np.ones((2, 3))
    assert (hands.in_own_axes(points) == points).all()


@pytest.mark.parametrize(("end", "version"), [("png", "v2"), ("jpg", "v3")])
def test_ho3ds_samples_are_the_lines_of_its_list(tmp_path, end, version):
    hands = read_images("ho3d", ho3d(tmp_path, end))
    assert hands.name == f"HO-3D {version}"
    assert [image.name for image in hands.images] == ["SM1/0003", "SM1/0001", "AP10/0000"]
    centre, side = hands.images[1].square(texture(0))
    assert centre.tolist() == [265, 215] and side == 260  # twice the longest edge, 130
    points = np.array([[1.0, 2.0, 3.0]])
    assert hands.in_own_axes(points).tolist() == [[1, -2, -3]]
    assert points.tolist() == [[1, 2, 3]]  # a copy: overlays must not turn upside down


def test_a_sample_without_a_box_is_remarked_and_cropped_whole(tmp_path):
    ho3d(tmp_path)
    write_meta(tmp_path / "evaluation/SM1/meta/0001.pkl", None)
    hands = read_images("ho3d", tmp_path)
    assert hands.images[1].box is None and len(hands.remarks) == 1
    assert hands.remarks[0].startswith("SM1/0001: its meta file has no box")


def test_a_gap_in_freihand_is_named(tmp_path):
    freihand(tmp_path)
    (tmp_path / "evaluation/rgb/00000002.jpg").unlink()
    with pytest.raises(BadInput, match=r"00000002.jpg is not there \(found 00000003.jpg"):
        read_images("freihand", tmp_path)


def test_folders_that_are_none_are_named(tmp_path):
    with pytest.raises(BadInput, match="is no folder"):
        read_images("freihand", tmp_path / "nowhere")
    with pytest.raises(BadInput, match="holds no images"):
        read_images("freihand", tmp_path)
    with pytest.raises(BadInput, match=r"evaluation.txt is not there"):
        read_images("ho3d", tmp_path)


def test_a_list_of_the_other_version_is_named(tmp_path):
    ho3d(tmp_path, "jpg", lines=("SM1/0003", "SM1/0007"))
    with pytest.raises(BadInput, match=r"0007.jpg is not there.*list is of the other version"):
        read_images("ho3d", tmp_path)
    (tmp_path / "evaluation.txt").write_text("../../etc/passwd\n")
    with pytest.raises(BadInput, match="expected SEQUENCE/NUMBER"):
        read_images("ho3d", tmp_path)
    (tmp_path / "evaluation.txt").write_text("")
    with pytest.raises(BadInput, match="is empty"):
        read_images("ho3d", tmp_path)


@pytest.mark.parametrize("box", [np.zeros(3), np.full(4, np.nan), "box"])
def test_a_damaged_box_is_named(tmp_path, box):
    ho3d(tmp_path)
    write_meta(tmp_path / "evaluation/SM1/meta/0003.pkl", box)
    with pytest.raises(BadInput, match=r"handBoundingBox of .*0003.pkl"):
        read_images("ho3d", tmp_path)


def test_an_image_that_is_none_is_named(tmp_path):
    hands = read_images("freihand", freihand(tmp_path))
    hands.images[0].path.write_bytes(b"\xff\xd8 nonsense")
    with pytest.raises(BadInput, match=r"00000000.jpg cannot be read"):
        read_pixels(hands.images[0])
