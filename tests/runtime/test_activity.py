from collections import deque
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.config import ActivityConfig
from realtime.detect.cadence import Cadence
from realtime.runtime.activity import HOLD_S, SIGN_S, Activities
from realtime.types import Frame, Motion, Tracks
from tests.builders import make_frame, make_tracks

SITTING, OTHER = (40.0, 40.0, 60.0, 100.0), (120.0, 30.0, 140.0, 90.0)
NEAR, FAR = (55.0, 60.0, 65.0, 70.0), (130.0, 10.0, 150.0, 20.0)
IMAGE = np.zeros((120, 160, 3), np.uint8)


def areas(*xyxy: tuple[float, ...]) -> np.ndarray:
    return np.array(xyxy, np.float32).reshape(-1, 4)


class Seen(NamedTuple):
    """What happened to one frame."""

    time_s: float
    motion: Motion
    enters: bool
    looked: bool

    @property
    def activity(self) -> str:
        return self.motion.activity


class Room:
    """A camera whose frames go through the gate and the cadence, as those of a run do.

    Args:
        every: detector.every.
        lag: number of later frames that are seen before a run of the detector is told.
        config: keys of the section `activity`.
    """

    def __init__(self, every: int = 1, lag: int = 0, **config: float) -> None:
        self.config = ActivityConfig(**config)
        self.activities, self.cadence = Activities(self.config), Cadence(every)
        self.lag, self.time_s, self.epoch = lag, 0.0, 0
        self.told: list[Tracks] = []
        self.people: dict[int, tuple[float, ...]] = {}  # whom the detector would find
        self.is_settled = True
        self._waiting: deque[tuple[int, Tracks, bool]] = deque()
        self._count = 0

    def frame(self, *moved: tuple[float, ...], is_sure: bool = True, after_s: float = 0.04, lost: bool = False) -> Seen:
        """The next frame. `lost`: it is replaced at the door by a newer one."""
        self.time_s += after_s
        self._count += 1
        while self._waiting and self._waiting[0][0] < self._count - self.lag:
            self._tell()
        motion, enters = self.activities.see("cam0", self.epoch, self.time_s, areas(*moved), is_sure)
        frame = make_frame(self._count, "cam0", self.epoch, IMAGE, time_s=self.time_s)
        frame = Frame(**{name: getattr(frame, name) for name in frame.__slots__ if name != "motion"}, motion=motion)
        looked = enters and not lost and self.cadence.is_due(frame)
        if looked:
            tracks = make_tracks(frame, list(self.people.values()), list(self.people))
            self._waiting.append((self._count, tracks, self.is_settled))
        return Seen(self.time_s, motion, enters, looked)

    def frames(self, seconds: float, after_s: float = 0.04, *moved: tuple[float, ...]) -> list[Seen]:
        """Frames for some seconds."""
        return [self.frame(*moved, after_s=after_s) for _ in range(round(seconds / after_s))]

    def _tell(self) -> None:
        _, tracks, is_settled = self._waiting.popleft()
        self.activities.looked(tracks, is_settled)
        self.told.append(tracks)


def a_still_room(every: int = 1, lag: int = 0) -> Room:
    room = Room(every, lag)
    room.people = {1: SITTING}
    assert room.frames(3.0)[-1].activity == "still"
    return room


def an_empty_room(**keys: float) -> Room:
    room = Room(**keys)
    assert room.frames(12.0)[-1].activity == "empty"
    return room


def most_between(seen: list[Seen], **kind: bool) -> float:
    """The longest time between two frames that entered, or on which the detector ran."""
    times_s = [each.time_s for each in seen if all(getattr(each, name) == value for name, value in kind.items())]
    return max(np.diff(times_s))


@pytest.mark.parametrize("fps", [25, 10, 3, 1.5, 1, 0.5])
def test_a_still_camera_is_looked_at_at_least_once_a_second_or_on_every_frame(fps: float) -> None:
    room = a_still_room()
    room.frames(5, 1 / fps)
    seen = room.frames(60, 1 / fps)
    assert {each.activity for each in seen} == {"still"}
    assert all(each.enters for each in seen)
    assert most_between(seen, looked=True) <= max(1.0, 1 / fps) + 1e-6
    assert sum(each.looked for each in seen) <= (67 if fps != 1.5 else 90)  # of every second frame it would be too few


@pytest.mark.parametrize("fps", [25, 10, 1, 0.2])
def test_an_empty_camera_sends_once_a_second_and_is_looked_at_every_few_seconds(fps: float) -> None:
    room = Room()
    room.frames(60, 1 / fps)
    seen = room.frames(100, 1 / fps)
    assert {each.activity for each in seen} == {"empty"}
    assert most_between(seen, enters=True) <= max(SIGN_S, 1 / fps) + 1e-6
    assert most_between(seen, looked=True) <= 5.0 + 1e-6
    assert sum(each.enters for each in seen) <= 100 * 1.12
    assert sum(each.looked for each in seen) <= 100 / 4 + 1


def test_looks_in_an_empty_room_may_be_more_frequent_than_once_a_second() -> None:
    seen = [each for each in an_empty_room(look_s=0.5).frames(10) if each.enters]
    assert most_between(seen, looked=True) <= 0.5 + 1e-6


@pytest.mark.parametrize("key_frame_s", [0.5, 1.0, 2.0, 10.0])
def test_an_empty_camera_stays_empty_while_only_its_key_frames_are_decoded(key_frame_s: float) -> None:
    seen = an_empty_room().frames(60, key_frame_s)
    assert {each.activity for each in seen} == {"empty"}
    assert most_between(seen, enters=True) <= max(1.0, key_frame_s) + 1e-6
    assert most_between(seen, looked=True) <= max(5.0, key_frame_s) + 1e-6


@pytest.mark.parametrize("every", [1, 3, 30])
def test_the_detector_runs_on_the_very_frame_that_wakes_the_camera(every: int) -> None:
    room = an_empty_room(every=every)
    woken = room.frame(FAR)
    assert woken.activity == "active"
    assert woken.enters
    assert woken.looked
    room = a_still_room(every)
    woken = room.frame(NEAR)
    assert woken.activity == "active"
    assert woken.looked


def test_if_the_frame_that_woke_the_camera_is_replaced_the_next_one_is_looked_at() -> None:
    room = an_empty_room(every=30)
    room.frame(FAR, lost=True)
    assert [room.frame(FAR).looked for _ in range(3)] == [True, False, False]


def test_motion_that_no_track_explains_is_looked_at_at_once_and_then_by_every() -> None:
    room = a_still_room(every=5)
    room.frames(1.0)
    seen = [room.frame(FAR) for _ in range(11)]
    assert {each.activity for each in seen} == {"still"}
    assert [each.looked for each in seen] == [True] + [False] * 4 + [True] + [False] * 4 + [True]


def test_unexplained_motion_is_looked_at_though_its_first_frame_was_replaced() -> None:
    room = a_still_room(every=30)
    room.frame(FAR, lost=True)
    assert room.frame().looked


@pytest.mark.parametrize("lag", [0, 3])
def test_a_newcomer_without_motion_is_looked_at_until_they_are_confirmed(lag: int) -> None:
    room = an_empty_room(lag=lag)
    room.is_settled = False  # the tracker waits for the second detection
    while not room.frame().looked:
        pass
    seen = [room.frame() for _ in range(lag + 3)]
    assert [each.looked for each in seen] == [False] * lag + [True] * 3
    room.is_settled, room.people = True, {1: SITTING}
    room.frames(0.5)
    assert room.frame().activity == "active"
    assert room.frames(2.0)[-1].activity == "still"


def test_a_false_alarm_of_the_detector_wakes_an_empty_room_only_for_a_moment() -> None:
    room = an_empty_room()
    room.is_settled = False
    while not room.frame().looked:
        pass
    room.is_settled = True
    assert room.frame().activity == "active"
    assert {each.activity for each in room.frames(5)[round(HOLD_S / 0.04) + 2 :]} == {"empty"}


def test_a_lost_person_is_looked_for_on_every_frame_while_the_tracker_remembers_them() -> None:
    room = a_still_room()
    room.people, room.is_settled = {2: OTHER}, False
    while not room.frame().looked:
        pass
    assert all(each.looked for each in room.frames(2.0))
    room.is_settled = True
    assert room.frames(2.0)[-1].activity == "still"


def test_someone_who_moves_where_no_motion_is_watched_keeps_the_camera_active() -> None:
    room = a_still_room()
    looked = 0
    for step in range(100):  # 25 pixels a second, behind a mask
        room.people = {1: (40.0 + step, 40.0, 60.0 + step, 100.0)}
        looked += room.frame().looked
    assert looked > 75  # at first it may take a second until a look notices


def test_boxes_that_tremble_do_not_wake_a_still_room() -> None:
    room = a_still_room()
    random = np.random.default_rng(3)
    activities = set()
    for _ in range(500):
        room.people = {1: tuple(np.array(SITTING) + random.uniform(-1.5, 1.5, 4))}
        activities.add(room.frame().activity)
    assert activities == {"still"}


def test_a_look_at_an_older_frame_does_not_undo_newer_motion() -> None:
    room = an_empty_room(lag=5)
    room.frame(FAR)
    assert {each.activity for each in room.frames(9.5)} == {"active"}
    assert room.frames(1.0)[-1].activity == "empty"


def test_people_of_an_earlier_epoch_explain_nothing() -> None:
    room = a_still_room()
    late = room.told[-1]
    room.epoch += 1
    assert room.frame(FAR).activity == "active"
    room.activities.looked(late, True)  # it was in flight when the camera was reopened
    room.people = {}
    assert {each.activity for each in room.frames(9.5)} == {"active"}


def test_a_look_that_was_in_flight_when_the_camera_was_reopened_is_ignored() -> None:
    activities = Activities(ActivityConfig())
    activities.see("cam0", 1, 0.0, areas(), is_sure=True)
    activities.looked(make_tracks(make_frame(epoch=0), [SITTING]), True)
    assert activities.see("cam0", 1, 1.5, areas(), is_sure=True).motion.activity == "active"  # not still: no people


def test_a_late_look_that_finds_someone_new_does_not_end_newer_motion() -> None:
    activities = Activities(ActivityConfig())
    for time_s in (8.0, 9.0):
        activities.see("cam0", 0, time_s, areas(), is_sure=True)
    activities.see("cam0", 0, 10.0, areas(NEAR), is_sure=True)
    activities.looked(make_tracks(make_frame(time_s=9.0), [SITTING]), True)
    assert activities.see("cam0", 0, 10.1, areas(), is_sure=True).motion.activity == "active"


def test_a_forgotten_camera_starts_again() -> None:
    room = an_empty_room()
    room.activities.forget("cam0")
    assert room.frame().activity == "active"
    room.activities.forget("cam1")


def test_a_look_at_an_unknown_camera_is_ignored() -> None:
    Activities(ActivityConfig()).looked(make_tracks(make_frame(), [SITTING]), False)


def test_cameras_do_not_influence_one_another() -> None:
    room = an_empty_room()
    room.activities.see("cam1", 0, room.time_s, areas(FAR), is_sure=False)
    room.activities.looked(make_tracks(make_frame(camera="cam1", time_s=room.time_s), [SITTING]), False)
    assert room.frame().activity == "empty"


def test_after_a_gap_in_the_stream_the_camera_is_active() -> None:
    room = a_still_room()
    seen = room.frame(after_s=10.0)
    assert seen.activity == "active"
    assert seen.looked
    room = Room()
    room.frames(5.0)
    assert room.frame(after_s=10.0).activity == "active"
    assert room.frame(after_s=9.0).activity == "active"


def test_frames_on_which_the_gate_is_not_sure_count_as_motion() -> None:
    room = an_empty_room()
    assert room.frame(is_sure=False).activity == "active"


MOTIONS = {"none": (), "near": (NEAR,), "far": (FAR,), "both": (NEAR, FAR), "unsure": ()}
steps = st.tuples(
    st.one_of(st.floats(0.01, 0.2), st.floats(0.2, 3.0), st.just(10.0)),
    st.sampled_from(sorted(MOTIONS)),
    st.sampled_from([{}, {}, {1: SITTING}, {2: OTHER}, {1: SITTING, 2: OTHER}]),
    st.sampled_from([True, True, True, False]),
)


@settings(deadline=None, max_examples=150)
@given(
    data=st.lists(st.tuples(steps, st.integers(1, 40)), max_size=25),
    lag=st.integers(0, 5),
    empty_s=st.floats(0.5, 10.0),
    look_s=st.floats(0.1, 8.0),
)
def test_any_sequence_of_motion_looks_and_gaps_keeps_the_promises(
    data: list[tuple[tuple[float, str, dict, bool], int]], lag: int, empty_s: float, look_s: float
) -> None:
    room = Room(lag=lag, empty_s=empty_s, look_s=look_s)
    motion_s = people_s = 0.0
    looked_s = entered_s = -np.inf
    for (after_s, name, people, is_settled), repeats in data:
        room.people, room.is_settled = people, is_settled
        for _ in range(repeats):
            seen = room.frame(*MOTIONS[name], after_s=after_s, is_sure=name != "unsure")
            known = room.told[-1] if room.told else None
            people_s = known.frame.time_s if known is not None and len(known) else people_s
            motion_s = seen.time_s if name != "none" else motion_s
            is_near = known is not None and 1 in known.track_ids and "near" in (name, "near" if name == "both" else "")
            if name == "unsure" or is_near or (name != "none" and (known is None or not len(known))):
                assert seen.activity == "active"
            match seen.activity:
                case "active":
                    assert seen.looked
                case "still":
                    assert seen.looked or seen.time_s - looked_s <= 0.9 + 2e-3
                    assert seen.looked or not seen.motion.has_unexplained
                case "empty":
                    assert seen.time_s - max(motion_s, people_s) >= empty_s - 1e-6
                    assert seen.looked or seen.time_s - looked_s <= look_s + 2e-3
                    assert seen.enters or seen.time_s - entered_s <= min(0.9, look_s) + 2e-3
            assert seen.enters or seen.activity == "empty"
            looked_s = seen.time_s if seen.looked else looked_s
            entered_s = seen.time_s if seen.enters else entered_s
    room.is_settled, room.people = True, {7: SITTING}
    assert room.frames(HOLD_S + look_s + 3.0)[-1].activity == "still"
    room.people = {}
    assert room.frames(HOLD_S + empty_s + 3.0)[-1].activity == "empty"
    assert room.frame(FAR).activity == "active"
