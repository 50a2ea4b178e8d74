import pytest

from realtime.runtime import pace
from realtime.runtime.pace import SURE, Pace
from tests.clock import Clock
from tests.doubles import FakeDoor

STAGES = ("detect", "track", "pose")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def taught(door: FakeDoor, **usual_s: float) -> Pace:
    """A pace that has recorded many calls of these durations."""
    made = Pace(STAGES, door)
    for _ in range(50):
        for stage, seconds in usual_s.items():
            made.began(stage)
            made.ended(stage, seconds)
    return made


def test_a_frame_enters_in_time_to_reach_the_slow_stage_when_it_becomes_free(clock: Clock) -> None:
    door = FakeDoor()
    made = taught(door, detect=0.03, track=0.01, pose=0.2)
    made.began("pose")
    assert door.entry_s[-1] == pytest.approx(100 + SURE * 0.2 - 0.04)


def test_a_frame_enters_immediately_when_the_slow_stage_ends_early(clock: Clock) -> None:
    door = FakeDoor()
    made = taught(door, detect=0.03, pose=0.2)
    made.began("pose")
    clock.now_s += 0.05
    made.ended("pose", 0.05)
    assert door.entry_s[-1] <= clock.now_s


def test_a_stage_that_is_faster_than_the_stages_before_it_delays_no_frame(clock: Clock) -> None:
    door = FakeDoor()
    made = taught(door, detect=0.03, track=0.01, pose=0.02)
    made.began("pose")
    assert door.entry_s[-1] <= clock.now_s


def test_the_stage_that_demands_the_latest_entry_decides(clock: Clock) -> None:
    door = FakeDoor()
    made = taught(door, detect=0.03, track=0.01, pose=0.2)
    made.began("pose")
    made.began("track")
    assert door.entry_s[-1] == pytest.approx(100 + SURE * 0.2 - 0.04)


def test_no_frame_is_delayed_before_any_call_was_timed(clock: Clock) -> None:
    door = FakeDoor()
    Pace(STAGES, door).began("pose")
    assert door.entry_s[-1] <= clock.now_s
