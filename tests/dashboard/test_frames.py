"""Binary messages of web/1."""

import json
import struct

import numpy as np
import pytest

from realtime.dashboard.frames import Frame, people_of
from tests.dashboard.sample import JPEG, at, camera, frame, odd_pose, picture
from tests.wire import examples, publisher


def parsed(message):
    (length,) = struct.unpack("<I", message[:4])
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def test_a_message_holds_the_pose_and_the_picture_of_the_same_frame():
    pose = publisher.pose(seq=7, captured_ns=int(at(1).unix_ms * 1e6))
    head, jpeg = parsed(Frame(camera(), pose, picture(seq=7), "320", False).message(at(1.5)))
    assert jpeg == JPEG
    assert (head["camera"], head["seq"]) == ("cam0", 7)
    assert head["age_ms"] == pytest.approx(500)
    assert (head["size"], head["jpeg_size"], head["idle"]) == ([640, 480], [320, 240], False)
    assert {person["id"] for person in head["people"]} == {1, 2}
    assert len(head["people"][0]["points"]) == 51


def test_a_skeleton_has_no_picture():
    head, jpeg = parsed(frame(width=None).message(at(1)))
    assert (head["jpeg_size"], jpeg) == (None, b"")


def test_numbers_have_no_more_decimals_than_needed():
    (person,) = people_of(odd_pose())
    assert person["box"] == [0.3, 0.7, 100.0, 200.0]
    assert person["points"][:3] == [10.3, 10.3, 0.12]


def test_a_frame_without_people_or_keypoints_can_be_sent():
    for people in (0, 2):
        pose = publisher.pose(n=people, keypoints=np.zeros((people, 0, 2)), keypoint_scores=np.zeros((people, 0)))
        head, _ = parsed(Frame(camera(), pose, None, None, False).message(at(1)))
        assert [person["points"] for person in head["people"]] == [[]] * people


def test_the_age_is_that_of_the_moment_of_sending():
    waiting = frame()
    first, second = (parsed(waiting.message(at(mono_s)))[0]["age_ms"] for mono_s in (1e6, 1e6 + 2))
    assert second - first == pytest.approx(2000, abs=1)


def test_people_have_a_label_if_the_message_has_labels() -> None:
    assert [person["label"] for person in people_of(examples.pose(labels=["cat", "person"]))] == ["cat", "person"]
    assert "label" not in people_of(examples.pose())[0]
