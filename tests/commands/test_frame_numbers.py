"""Which image is a clip's frame: numbers that count from 0 or from 1."""

from __future__ import annotations

import numpy as np
import pytest

from chorus.commands.importing.sources import PoseIndex, first_frame
from chorus.errors import BadInput
from chorus.perception.recorded_poses import PinholeCamera, RecordedPose


def pose(image, frame=None) -> RecordedPose:
    numbers = np.zeros((24, 3), np.float32), np.zeros(10, np.float32)
    return RecordedPose(image, *numbers, PinholeCamera(np.ones(3)), frame=frame)


def extracted(time: int) -> RecordedPose:
    """As PHALP records the frames that it takes out of a video."""
    return pose(f"outputs/_DEMO/clip/img/{time + 1:06d}.jpg", frame=time)


def found(poses, names, beside=()) -> dict[str, list]:
    index = PoseIndex(poses, names, beside)
    return {name: [each.frame for each in index.of(name)] for name in names}


def names(*numbers: int) -> list[str]:
    return [f"{number:06d}.jpg" for number in numbers]


def test_frames_numbered_from_0_have_the_poses_of_their_time():
    times = [0, 1, 2, 3]
    matched = found([extracted(time) for time in times], names(*times))
    assert matched == {name: [time] for name, time in zip(names(*times), times, strict=True)}


def test_a_trackers_own_frames_count_from_1():
    matched = found([extracted(time) for time in range(4)], names(1, 2, 3, 4))
    assert matched == {name: [time] for time, name in enumerate(names(1, 2, 3, 4))}


def test_frames_that_are_no_samples_show_the_numbering():
    poses = [extracted(time) for time in range(9)]
    assert found(poses, names(5), names(0, 1, 5)) == {"000005.jpg": [5]}
    assert found(poses, names(5), names(1, 5)) == {"000005.jpg": [4]}


def test_the_whole_name_is_what_counts_where_it_is_there():
    own = "outputs/_DEMO/clip/img/000005.jpg"
    assert found([extracted(4)], [own], names(1)) == {own: [4]}


@pytest.mark.parametrize("recorded", [pose(6), extracted(6)])
def test_a_numbering_that_does_not_show_is_refused(recorded):
    with pytest.raises(BadInput, match=r"smallest number is 6\. Keep the clip's first frame"):
        PoseIndex([recorded], names(6, 7))


def test_names_of_ones_own_are_no_numbering():
    assert found([pose("frames/000006.jpg")], names(6, 7))["000006.jpg"] == [None]


@pytest.mark.parametrize(("first", "expected"), [(0, 0), (1, 1)])
def test_numbered_poses(first, expected):
    assert first_frame(names(first, 7)) == expected
    index = PoseIndex([pose(6)], names(first, 6 + first))
    assert len(index.of(f"{6 + first:06d}.jpg")) == 1


def test_names_without_numbers_have_no_frames():
    assert PoseIndex([pose(6)], ["beach.jpg"]).homeless == ["6"]
