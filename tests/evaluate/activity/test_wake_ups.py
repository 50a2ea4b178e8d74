import numpy as np
import pytest

from realtime.evaluate.activity.wake_ups import WakeUps
from realtime.types import Activity, Motion

BOXES = np.float32([[0, 0, 5, 5], [10, 20, 60, 90]])


def followed(*steps: tuple[Activity, int, int, bool], epochs: list[int] | None = None) -> WakeUps:
    """Follow pictures a second apart: their state, number of areas that move, number of people, and whether the
    detector found a person."""
    wake_ups = WakeUps()
    for second, (activity, moving, people, has_found) in enumerate(steps):
        motion = Motion(activity, BOXES[2 - moving :], 0.0)
        wake_ups.add(float(second), epochs[second] if epochs else 0, motion, people, has_found)
    return wake_ups


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ([("empty", 0, 0, False), ("active", 2, 0, False)], "motion"),
        ([("empty", 0, 0, True), ("active", 0, 0, False)], "look"),
        ([("empty", 0, 0, False), ("active", 0, 0, False)], "light"),
    ],
)
def test_the_cause_of_a_wake_up_is_named(steps: list[tuple[Activity, int, int, bool]], cause: str) -> None:
    assert [each.cause for each in followed(*steps).all] == [cause]


def test_the_largest_area_is_where_it_woke_up() -> None:
    assert followed(("empty", 0, 0, False), ("active", 2, 0, False)).all[0].xyxy == (10, 20, 60, 90)


def test_a_wake_up_without_people_is_a_false_alarm_only_once_the_camera_is_empty_again() -> None:
    steps: list[tuple[Activity, int, int, bool]] = [("empty", 0, 0, False), ("active", 1, 0, False)]
    assert followed(*steps).false_alarms == 0  # the recording ends before it is known
    assert followed(*steps, ("empty", 0, 0, False)).false_alarms == 1
    assert followed(*steps, ("active", 1, 1, True), ("empty", 0, 0, False)).false_alarms == 0


def test_people_who_come_after_the_next_wake_up_do_not_excuse_the_earlier_one() -> None:
    awake, asleep = ("active", 1, 0, False), ("empty", 0, 0, False)
    wake_ups = followed(asleep, awake, asleep, awake, ("active", 1, 1, True))
    assert [each.people_after_s for each in wake_ups.all] == [None, 1.0]
    assert wake_ups.false_alarms == 1


def test_a_new_epoch_is_no_wake_up_and_the_start_of_a_recording_is_none() -> None:
    wake_ups = followed(("active", 1, 1, True), ("empty", 0, 0, False), ("active", 1, 1, True), epochs=[0, 0, 1])
    assert wake_ups.all == []
    assert wake_ups.seconds == {"active": 1.0, "empty": 1.0}
