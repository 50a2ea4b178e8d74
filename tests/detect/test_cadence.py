from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from realtime.detect.cadence import Cadence
from realtime.types import Frame, Motion

MakeFrame = Callable[..., Frame]


def looks(cadence: Cadence, make_frame: MakeFrame, indices: range, **where: object) -> list[int]:
    return [index for index in indices if cadence.is_due(make_frame(index, **where))]


@pytest.mark.parametrize(("every", "looked"), [(1, [0, 1, 2, 3, 4, 5, 6]), (2, [0, 2, 4, 6]), (3, [0, 3, 6]), (9, [0])])
def test_every_nth_frame_is_due_starting_with_the_first(every: int, looked: list[int], make_frame: MakeFrame) -> None:
    assert looks(Cadence(every), make_frame, range(7)) == looked


def test_each_camera_is_counted_separately(make_frame: MakeFrame) -> None:
    cadence = Cadence(3)
    assert looks(cadence, make_frame, range(2)) == [0]
    assert looks(cadence, make_frame, range(4), camera="cam1") == [0, 3]
    assert looks(cadence, make_frame, range(2, 4)) == [3]


def test_the_first_frame_of_a_new_epoch_is_due(make_frame: MakeFrame) -> None:
    cadence = Cadence(5)
    assert looks(cadence, make_frame, range(2)) == [0]
    assert looks(cadence, make_frame, range(2, 9), epoch=1) == [2, 7]


def test_the_first_frame_of_a_forgotten_camera_is_due(make_frame: MakeFrame) -> None:
    cadence = Cadence(5)
    for camera in ("cam0", "cam1"):
        assert looks(cadence, make_frame, range(2), camera=camera) == [0]
    cadence.forget("cam0")
    assert looks(cadence, make_frame, range(2, 9)) == [2, 7]
    assert looks(cadence, make_frame, range(2, 9), camera="cam1") == [5]


def test_every_can_be_changed_between_frames(make_frame: MakeFrame) -> None:
    cadence = Cadence(5)
    assert looks(cadence, make_frame, range(3)) == [0]
    cadence.every = 2  # two frames have passed since the last detection, so the next one is due
    assert looks(cadence, make_frame, range(3, 8)) == [3, 5, 7]
    cadence.every = 4
    assert looks(cadence, make_frame, range(8, 16)) == [11, 15]


def gated(frame: Frame, activity: str, before: int, has_unexplained: bool = False) -> Frame:
    """A frame to be looked at if the last look was before frame number `before`."""
    motion = Motion(activity, np.zeros((0, 4), np.float32), before / 30, has_unexplained=has_unexplained)  # type: ignore[arg-type]
    return replace(frame, motion=motion)


def test_a_still_or_empty_camera_is_looked_at_only_if_the_last_look_is_too_old(make_frame: MakeFrame) -> None:
    cadence = Cadence(2)
    assert [k for k in range(40) if cadence.is_due(gated(make_frame(k), "still", k - 15))] == [0, 16, 32]


def test_the_frame_that_wakes_a_camera_is_looked_at_and_counts_as_the_first_of_every_n(make_frame: MakeFrame) -> None:
    cadence = Cadence(3)
    assert cadence.is_due(gated(make_frame(0), "empty", -9))
    assert not cadence.is_due(gated(make_frame(1), "empty", -9))
    assert [k for k in range(2, 10) if cadence.is_due(gated(make_frame(k), "active", 2))] == [2, 5, 8]


def test_unexplained_motion_in_front_of_a_still_camera_is_looked_at_on_every_nth_frame(make_frame: MakeFrame) -> None:
    cadence = Cadence(3)
    assert cadence.is_due(gated(make_frame(0), "still", -30))
    assert [k for k in range(1, 9) if cadence.is_due(gated(make_frame(k), "still", 1, has_unexplained=True))] == [
        1,
        4,
        7,
    ]
