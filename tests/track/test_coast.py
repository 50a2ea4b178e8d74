from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.track.coast import LOOKS, MOST_S, Coast
from realtime.types import Activity, Frame, Motion, Tracks
from tests.builders import make_frame, make_tracks

IMAGE = np.zeros((480, 640, 3), np.uint8)
# Boxes are float32, so the speeds fitted to them are rounded too.
TOLERANCE_PX = 0.01


def frame_at(time_s: float) -> Frame:
    return make_frame(image=IMAGE, time_s=time_s)


def seen(time_s: float, xyxy: np.ndarray, ids: list[int], keypoints: np.ndarray | None = None) -> Tracks:
    return make_tracks(frame_at(time_s), xyxy, ids, scores=np.linspace(0.5, 0.9, len(ids)), keypoints=keypoints)


def in_state(tracks: Tracks, activity: Activity) -> Tracks:
    motion = Motion(activity, np.zeros((0, 4), np.float32), 0.0)
    return replace(tracks, frame=replace(tracks.frame, motion=motion))


def walking(time_s: float) -> np.ndarray:
    """Two people: one walks to the right and towards the camera, one walks up and to the left."""
    return np.array([(100, 100, 160, 280), (400, 200, 450, 350)]) + time_s * np.array(
        [(40, -5, 55, 10), (-60, -20, -60, -20)]
    )


intervals_s = st.lists(st.floats(0.01, 0.4), min_size=3, max_size=12)


@settings(deadline=None, max_examples=60)
@given(intervals_s=intervals_s, looks=st.lists(st.booleans(), min_size=12, max_size=12))
def test_constant_velocity_is_extrapolated_exactly_at_irregular_intervals(
    intervals_s: list[float], looks: list[bool]
) -> None:
    coast, looked_s = Coast(), list[float]()
    for number, time_s in enumerate(np.cumsum(intervals_s).tolist()):
        if number < 2 or looks[number]:  # a speed needs two detection runs
            coast.saw(seen(time_s, walking(time_s), [3, 8]))
            looked_s.append(time_s)
        elif time_s - looked_s[-1] <= MOST_S:
            tracks = coast.at(frame_at(time_s))
            assert tracks.track_ids.tolist() == [3, 8]
            np.testing.assert_allclose(tracks.xyxy, walking(time_s), atol=TOLERANCE_PX)
            assert not tracks.measured.any()


def test_a_person_seen_once_stays_in_place() -> None:
    coast = Coast()
    coast.saw(seen(0.0, walking(0.0)[:1], [1]))
    np.testing.assert_array_equal(coast.at(frame_at(0.3)).xyxy, np.float32(walking(0.0)[:1]))


def test_a_person_found_again_starts_without_a_speed() -> None:
    coast = Coast()
    for time_s, people in ((0.0, [1, 2]), (0.1, [1, 2]), (0.2, [2]), (0.3, [1, 2])):
        coast.saw(seen(time_s, walking(time_s)[np.array(people) - 1], people))
    xyxy = coast.at(frame_at(0.4)).xyxy
    np.testing.assert_allclose(xyxy[0], walking(0.3)[0], atol=TOLERANCE_PX)
    np.testing.assert_allclose(xyxy[1], walking(0.4)[1], atol=TOLERANCE_PX)


def test_the_speed_is_fitted_to_the_last_detection_runs_only() -> None:
    coast = Coast()
    boxes = [np.array([(100.0, 100, 150, 250)])] * 5
    boxes += [boxes[0] + 3 * k for k in range(1, LOOKS + 1)]  # first it stands, then it moves
    for k, box in enumerate(boxes):
        coast.saw(seen(k / 10, box, [1]))
    np.testing.assert_allclose(coast.at(frame_at(len(boxes) / 10)).xyxy, boxes[-1] + 3, atol=TOLERANCE_PX)


def test_the_box_of_a_person_who_walks_out_of_the_frame_narrows_and_then_disappears() -> None:
    coast = Coast()
    for k in range(4):
        coast.saw(seen(k / 10, np.clip([(540.0 + 25 * k, 100, 600 + 25 * k, 280)], 0, 640), [1]))
    widths = [coast.at(frame_at(0.3 + k / 40)).xyxy @ (-1, 0, 1, 0) for k in range(1, 6)]
    assert [each.tolist() for each in widths] == [[pytest.approx(25 - 6.25 * k)] for k in range(1, 4)] + [[], []]


def test_boxes_stay_where_extrapolation_ends_if_the_detector_does_not_run_for_long() -> None:
    coast = Coast()
    coast.saw(seen(0.0, walking(0.0), [1, 2]))
    coast.saw(seen(0.1, walking(0.1), [1, 2]))
    last = coast.at(frame_at(0.1 + MOST_S))
    assert last.track_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(coast.at(frame_at(100.0)).xyxy, last.xyxy)


def test_boxes_of_a_still_camera_stay_where_they_were_detected() -> None:
    coast, still = Coast(), Motion("still", np.zeros((0, 4), np.float32), 0.0)
    coast.saw(seen(0.0, walking(0.0), [1, 2]))
    coast.saw(seen(0.1, walking(0.1), [1, 2]))
    tracks = coast.at(replace(frame_at(0.6), motion=still))
    np.testing.assert_array_equal(tracks.xyxy, np.float32(walking(0.1)))


def test_a_person_who_starts_to_walk_has_the_speed_of_the_runs_since_the_camera_is_active() -> None:
    coast = Coast()
    stands, steps = walking(0.0), walking(0.1)
    for time_s, activity, boxes in ((-2, "still", stands), (-1, "still", stands), (0.0, "active", stands)):
        coast.saw(in_state(seen(time_s, boxes, [1, 2]), activity))
    coast.saw(in_state(seen(0.1, steps, [1, 2]), "active"))
    np.testing.assert_allclose(coast.at(frame_at(0.2)).xyxy, walking(0.2), atol=TOLERANCE_PX)


def test_people_missing_from_the_last_detection_are_not_extrapolated() -> None:
    coast = Coast()
    coast.saw(seen(0.0, walking(0.0), [1, 2]))
    coast.saw(seen(0.1, walking(0.1)[1:], [2]))
    tracks = coast.at(frame_at(0.2))
    assert tracks.track_ids.tolist() == [2]
    assert tracks.scores.tolist() == [0.5]
    coast.saw(seen(0.3, np.zeros((0, 4)), []))
    assert len(coast.at(frame_at(0.4))) == 0


def test_the_detector_s_keypoints_move_with_the_box() -> None:
    coast = Coast()
    for time_s in (0.0, 0.1):
        box = walking(time_s)
        corners_and_middle = np.stack([box[:, :2], box[:, 2:], (box[:, :2] + box[:, 2:]) / 2], axis=1)
        keypoints = np.concatenate([corners_and_middle, np.full((2, 3, 1), 0.7)], axis=2).astype(np.float32)
        coast.saw(seen(time_s, box, [1, 2], keypoints))
    found = coast.at(frame_at(0.4)).keypoints
    assert found is not None
    box = walking(0.4)
    np.testing.assert_allclose(found[:, 0, :2], box[:, :2], atol=TOLERANCE_PX)
    np.testing.assert_allclose(found[:, 2, :2], (box[:, :2] + box[:, 2:]) / 2, atol=TOLERANCE_PX)
    assert found[..., 2] == pytest.approx(0.7)
