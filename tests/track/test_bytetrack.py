from collections.abc import Iterator

import numpy as np
import pytest

from realtime.config import TrackerConfig
from realtime.track.bytetrack import TrackStage
from realtime.types import Detections, Frame, Tracks

IMAGE = np.zeros((480, 640, 3), np.uint8)


def detections(
    time_s: float, boxes: list[tuple[float, float, float, float]], scores: list[float] | None = None, epoch: int = 0,
    camera: str = "cam0",
) -> Detections:  # fmt: skip
    frame = Frame(camera, epoch, round(time_s * 1000), IMAGE, time_s, 0, 0)
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(frame, xyxy, np.array(scores if scores is not None else [0.9] * len(boxes), np.float32))


def walker(k: int) -> tuple[float, float, float, float]:
    return (10.0 + 3 * k, 100.0, 60.0 + 3 * k, 250.0)


def follow(stage: TrackStage, items: list[Detections]) -> Iterator[Tracks]:
    for item in items:
        yield from stage.process([item])


def test_a_walker_keeps_id_1_and_its_detection_s_own_box() -> None:
    for k, tracks in enumerate(
        follow(TrackStage(TrackerConfig()), [detections(k / 30, [walker(k)]) for k in range(20)])
    ):
        assert tracks.track_ids.tolist() == [1]
        np.testing.assert_array_equal(tracks.xyxy[0], np.float32(walker(k)))
        assert tracks.measured.all()


def test_an_empty_frame_is_no_error() -> None:
    assert len(TrackStage(TrackerConfig()).process([detections(0.0, [])])[0]) == 0


def test_rows_come_in_the_detector_s_order_with_their_keypoints() -> None:
    stage = TrackStage(TrackerConfig())
    boxes = [(300.0, 10.0, 360.0, 200.0), (10.0, 10.0, 60.0, 200.0), (150.0, 10.0, 210.0, 200.0)]
    item = detections(0.0, boxes, [0.6, 0.9, 0.7])
    keypoints = np.arange(3, dtype=np.float32).reshape(3, 1, 1).repeat(17, 1).repeat(3, 2)
    item = Detections(item.frame, item.xyxy, item.scores, np.ascontiguousarray(keypoints))
    tracks = stage.process([item])[0]
    np.testing.assert_array_equal(tracks.xyxy, np.float32(boxes))
    assert tracks.keypoints is not None
    assert tracks.keypoints[:, 0, 0].tolist() == [0, 1, 2]


def test_a_weak_detection_continues_a_track_but_begins_none() -> None:
    stage = TrackStage(TrackerConfig(track_score=0.5, low_score=0.1))
    stage.process([detections(0.0, [walker(0)])])
    assert stage.process([detections(0.1, [walker(1)], [0.2])])[0].track_ids.tolist() == [1]
    assert len(TrackStage(TrackerConfig()).process([detections(0.0, [walker(0)], [0.2])])[0]) == 0


@pytest.mark.parametrize(
    ("fps", "gap_s", "kept"),
    [
        (30.0, 0.8, True),  # within the buffer of 1 s
        (30.0, 1.5, False),  # beyond it
        (5.0, 0.8, True),  # the same at another rate: the buffer is seconds, not frames
        (5.0, 1.5, False),
    ],
)
def test_a_lost_person_s_id_is_kept_for_seconds_not_frames(fps: float, gap_s: float, kept: bool) -> None:
    stage = TrackStage(TrackerConfig(buffer_s=1.0))
    box = (100.0, 100.0, 160.0, 300.0)
    frames = round(2 * fps)
    seen = [detections(k / fps, [box]) for k in range(frames)]
    gone = [detections((frames + k) / fps, []) for k in range(round(gap_s * fps))]
    back = [detections((frames + len(gone) + k) / fps, [box]) for k in range(3)]
    last = list(follow(stage, seen + gone + back))[-1]
    assert last.track_ids.tolist() == ([1] if kept else [2])


def test_ids_are_not_reused_in_a_new_epoch() -> None:
    stage = TrackStage(TrackerConfig())
    stage.process([detections(0.0, [walker(0), (300.0, 10.0, 360.0, 200.0)])])
    assert stage.process([detections(0.0, [walker(0)], epoch=1)])[0].track_ids.tolist() == [3]


def test_cameras_have_identities_of_their_own() -> None:
    stage = TrackStage(TrackerConfig())
    first, second = stage.process([detections(0.0, [walker(0)]), detections(0.0, [walker(9)], camera="cam1")])
    assert first.track_ids.tolist() == second.track_ids.tolist() == [1]


def test_a_fast_walker_at_irregular_times_keeps_one_id() -> None:
    """300 px/s, 60 px wide, intervals from 1/30 to 1/6 s: a fixed time step gives some twenty ids."""
    random, time_s = np.random.default_rng(0), 0.0
    stage, ids = TrackStage(TrackerConfig()), set()
    for _ in range(60):
        x = 50 + (300 * time_s) % 3000
        ids |= set(stage.process([detections(time_s, [(x, 100, x + 60, 280)])])[0].track_ids.tolist())
        time_s += random.uniform(1 / 30, 1 / 6)
    assert len(ids) <= 3


def test_memory_stays_bounded_while_people_come_and_go() -> None:
    stage = TrackStage(TrackerConfig(buffer_s=0.2))
    random = np.random.default_rng(0)
    for k in range(600):
        x, y = random.uniform(0, 580), random.uniform(0, 400)
        stage.process([detections(k / 30, [(x, y, x + 40, y + 70)])])
    tracker = stage._cameras["cam0"]
    assert len(tracker._tracker.removed_stracks) <= 200
    assert len(tracker._ids) < 50
    assert len(tracker._times_s) < 20
