import time

import pytest

from realtime.runtime import pace
from realtime.runtime.pace import SURE, Pace

STAGES = ("detect", "track", "pose")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def taught(told: list[float], **usual_s: float) -> Pace:
    """A pace that has seen many calls of these lengths."""
    made = Pace(STAGES, told.append)
    for _ in range(50):
        for stage, seconds in usual_s.items():
            made.began(stage)
            made.ended(stage, seconds)
    return made


def test_a_frame_enters_so_that_it_meets_the_slow_stage_as_that_gets_free(clock: Clock) -> None:
    told: list[float] = []
    made = taught(told, detect=0.03, track=0.01, pose=0.2)
    made.began("pose")
    assert told[-1] == pytest.approx(100 + SURE * 0.2 - 0.04)


def test_it_enters_at_once_when_the_slow_stage_ends_early(clock: Clock) -> None:
    told: list[float] = []
    made = taught(told, detect=0.03, pose=0.2)
    made.began("pose")
    clock.now_s += 0.05
    made.ended("pose", 0.05)
    assert told[-1] <= clock.now_s


def test_a_stage_that_is_quicker_than_the_way_to_it_holds_nobody_up(clock: Clock) -> None:
    told: list[float] = []
    made = taught(told, detect=0.03, track=0.01, pose=0.02)
    made.began("pose")
    assert told[-1] <= clock.now_s


def test_of_two_busy_stages_the_later_one_counts(clock: Clock) -> None:
    told: list[float] = []
    made = taught(told, detect=0.03, track=0.01, pose=0.2)
    made.began("pose")
    made.began("track")
    assert told[-1] == pytest.approx(100 + SURE * 0.2 - 0.04)


def test_nothing_is_held_back_before_anything_is_known() -> None:
    told: list[float] = []
    Pace(STAGES, told.append).began("pose")
    assert told[-1] <= time.monotonic()
