import numpy as np
import pytest

from realtime.evaluate.activity.missed import Comparison
from tests.builders import make_frame, make_tracks

NONE = np.zeros((0, 4), np.float32)
ONE, OTHER = (10, 20, 60, 110), (80, 20, 130, 110)


def test_a_person_whom_the_gate_never_publishes_is_missed() -> None:
    comparison = Comparison()
    for second in (1.0, 2.0):
        comparison.add(second, make_tracks(make_frame(), [ONE, OTHER]), np.float32([OTHER]))
    assert [(person.track_id, person.last_s - person.first_s) for person in comparison.missed] == [(1, 1.0)]
    assert comparison.delays_s == [0.0]


@pytest.mark.parametrize(("shift", "is_same"), [(0, True), (20, True), (60, False)])
def test_boxes_that_overlap_are_the_same_person(shift: int, is_same: bool) -> None:
    comparison = Comparison()
    comparison.add(0.0, make_tracks(make_frame(), [ONE]), np.float32([ONE]) + np.float32([shift, 0, shift, 0]))
    assert (not comparison.missed) == is_same


def test_a_single_box_does_not_stand_for_two_people() -> None:
    comparison = Comparison()
    near = (15, 20, 65, 110)
    comparison.add(0.0, make_tracks(make_frame(), [near, ONE]), np.float32([ONE]))
    assert [person.track_id for person in comparison.missed] == [1]
    comparison.add(0.5, make_tracks(make_frame(), [near, ONE]), np.float32([ONE, near]))
    assert sorted(comparison.delays_s) == [0.0, 0.5]


def test_frames_without_people_are_no_mistake() -> None:
    comparison = Comparison()
    comparison.add(0.0, make_tracks(make_frame(), []), np.float32([ONE]))
    comparison.add(0.1, make_tracks(make_frame(), [ONE]), NONE)
    assert len(comparison.missed) == 1
