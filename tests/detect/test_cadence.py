from collections.abc import Callable

import pytest

from realtime.detect.cadence import Cadence
from realtime.types import Frame

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
