import numpy as np
import pytest

from realtime import wire
from realtime.publish.message import to_message
from realtime.types import Frame, Poses


def poses(**changes):
    """Two people with three keypoints each, in a frame that the detector took 5 ms for."""
    image = np.zeros((48, 64, 3), np.uint8)
    frame = Frame("cam0", 1, 7, image, 0.5, captured_mono_ns=0, captured_unix_ns=9, timing_ms={"detect": 5.00049})
    fields = {
        "track_ids": np.array([3, 4]),
        "xyxy": np.array([[0, 0, 10, 20], [5, 5, 30, 40]], np.float32),
        "scores": np.array([0.5, 0.25], np.float32),
        "keypoints": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "keypoint_scores": np.full((2, 3), 0.75, np.float32),
        "measured": np.array([True, False]),
    }
    return Poses(frame, **fields | changes)


def test_a_message_holds_the_people_of_the_frame():
    sent = poses()
    message = to_message(sent, "s1", 2, "three")
    assert (message.session, message.seq, message.skeleton, message.camera) == ("s1", 2, "three", "cam0")
    assert (message.epoch, message.frame, message.size, message.captured_ns) == (1, 7, (64, 48), 9)
    assert (message.track_ids, message.scores, message.measured) == ([3, 4], [0.5, 0.25], [True, False])
    np.testing.assert_array_equal(message.boxes_array(), sent.xyxy)
    np.testing.assert_array_equal(message.keypoints_array()[..., :2], sent.keypoints)
    np.testing.assert_array_equal(message.keypoints_array()[..., 2], sent.keypoint_scores)
    assert message.raw_keypoints is wire.UNSET


def test_time_that_no_stage_used_is_published_as_wait(monkeypatch):
    monkeypatch.setattr("time.monotonic_ns", lambda: 12_000_000)
    assert to_message(poses(), "s1", 0, "three").timing_ms == {"detect": 5.0, "wait": pytest.approx(7.0)}


def test_raw_keypoints_that_are_not_finite_are_replaced_by_the_smoothed_ones():
    raw = np.full((2, 3, 2), 100, np.float32)
    raw[0, 1] = np.nan
    expected = raw.copy()
    expected[0, 1] = poses().keypoints[0, 1]
    np.testing.assert_array_equal(to_message(poses(raw=raw), "s1", 0, "three", with_raw=True).raw_array(), expected)


def test_the_classes_are_sent_if_the_detector_looks_for_more_than_people():
    assert to_message(poses(), "s1", 0, "three").labels is wire.UNSET
    assert to_message(poses(labels=np.array(["cat", "person"])), "s1", 0, "three").labels == ["cat", "person"]
