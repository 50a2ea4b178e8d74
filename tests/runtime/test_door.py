import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.types import Frame
from tests.runtime.blocked import until_blocked

Make = Callable[..., Frame]


def fresh(make_frame: Make, index: int, camera: str = "cam0") -> Frame:
    """A frame captured now."""
    frame = make_frame(index, camera)
    return Frame(camera, 0, index, frame.image, frame.time_s, time.monotonic_ns(), 0)


def test_a_live_camera_s_newest_frame_replaces_the_older_one_which_is_counted(make_frame: Make) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: drops.update([cause]))
    door.attach("cam0", newest_wins=True)
    for index in range(3):
        door.put(fresh(make_frame, index))
    assert [frame.index for frame in door.take()] == [2]
    assert drops == {"newer frame": 2}


def test_a_file_s_next_frame_blocks_until_the_door_has_room(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    door.put(make_frame(0))
    second = threading.Thread(target=door.put, args=(make_frame(1),), daemon=True)
    second.start()
    until_blocked(second)
    assert [frame.index for frame in door.take()] == [0]
    second.join(30)
    assert not second.is_alive()
    assert [frame.index for frame in door.take(timeout_s=0.0)] == [1]


def test_the_window_bounds_the_frames_in_flight(make_frame: Make) -> None:
    door = Door(["cam0"], 1, 9.0)
    door.put(make_frame(0))
    assert len(door.take()) == 1
    door.put(make_frame(1))
    assert door.take(timeout_s=0.0) == []
    door.leave("cam0")
    assert [frame.index for frame in door.take()] == [1]


def test_a_camera_is_empty_once_its_last_frame_has_left(make_frame: Make) -> None:
    door = Door(["a", "b"], 2, 9.0)
    door.put(make_frame(0, "a"))
    steps = [door.is_empty("a")]
    door.take()
    steps.append(door.is_empty("a"))
    door.put(make_frame(1, "a"))
    door.leave("a")
    steps.append(door.is_empty("a"))
    door.evict("a")  # drops the waiting frame
    steps.append(door.is_empty("a"))
    assert steps == [False, False, False, True]
    assert door.is_empty("b")


def test_take_returns_one_frame_per_camera(make_frame: Make) -> None:
    door = Door(["a", "b", "c"], 2, 9.0)
    for camera in ("a", "c"):
        door.put(make_frame(0, camera))
    assert sorted(frame.camera for frame in door.take()) == ["a", "c"]


def test_a_live_frame_that_is_too_old_is_dropped(make_frame: Make) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 0.5, on_drop=lambda camera, cause: drops.update([cause]))
    door.attach("cam0", newest_wins=True)
    door.put(make_frame(0))  # captured when this machine booted
    assert door.take() == []
    assert drops == {"too old": 1}


def test_a_file_s_frame_is_never_too_old(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 0.5)
    door.put(make_frame(0))
    assert len(door.take()) == 1


def test_a_held_door_opens_when_the_hold_is_released(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0, held=True)
    door.put(make_frame(0))
    assert door.take(timeout_s=0.0) == []
    door.release_hold()
    door.wait_until_open()
    assert len(door.take()) == 1


def test_the_last_frame_is_taken_before_closed_is_raised(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    door.put(make_frame(0))
    door.finish("cam0")
    assert len(door.take()) == 1
    with pytest.raises(Closed):
        door.take()


def test_stopping_drops_waiting_frames_and_raises_closed_for_every_caller(make_frame: Make) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: drops.update([cause]))
    door.put(make_frame(0))
    door.stop()
    with pytest.raises(Closed):
        door.take()
    with pytest.raises(Closed):
        door.put(make_frame(1))
    with pytest.raises(Closed):
        door.wait_until_open()
    assert drops == {"stopping": 2}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["put a", "put b", "take", "leave"]), max_size=60), st.integers(1, 3))
def test_each_frame_is_taken_or_dropped_once_in_order_and_the_window_holds(steps: list[str], window: int) -> None:
    import numpy as np

    image = np.zeros((2, 2, 3), np.uint8)
    drops: Counter[str] = Counter()
    door = Door(["a", "b"], window, 1e9, on_drop=lambda camera, cause: drops.update([camera]))
    put: Counter[str] = Counter()
    taken: dict[str, list[int]] = {"a": [], "b": []}
    in_flight: Counter[str] = Counter()
    for camera in ("a", "b"):
        door.attach(camera, newest_wins=True)
    for step in steps:
        if step.startswith("put"):
            camera = step[-1]
            door.put(Frame(camera, 0, put[camera], image, float(put[camera]), 0, 0))
            put[camera] += 1
        elif step == "take":
            for frame in door.take(timeout_s=0.0):
                taken[frame.camera].append(frame.index)
                in_flight[frame.camera] += 1
        else:
            for camera in ("a", "b"):
                if in_flight[camera]:
                    in_flight[camera] -= 1
                    door.leave(camera)
        assert max(in_flight.values(), default=0) <= window
    door.stop()
    for camera in ("a", "b"):
        assert taken[camera] == sorted(set(taken[camera]))
        assert put[camera] == len(taken[camera]) + drops[camera]


def test_frames_of_an_evicted_camera_are_refused_until_it_is_attached_again(make_frame: Make) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: drops.update([cause]))
    door.put(make_frame(0))
    ended: list[str] = []

    def bring() -> None:
        with pytest.raises(Closed):
            door.put(make_frame(1))
        ended.append("closed")

    waiting = threading.Thread(target=bring, daemon=True)
    waiting.start()
    until_blocked(waiting)
    door.add("cam0")  # another thread takes over
    door.evict("cam0")
    waiting.join(30)
    assert ended == ["closed"]
    with pytest.raises(Closed):
        door.put(make_frame(2))
    assert drops == {"stopping": 3}
    door.finish("cam0")
    assert door.take(timeout_s=0.0) == []  # not the end: the new thread still puts frames
    door.attach("cam0", newest_wins=False)
    door.put(make_frame(3))
    assert [frame.index for frame in door.take()] == [3]
    door.finish("cam0")
    with pytest.raises(Closed):
        door.take()
    with pytest.raises(Closed):
        door.add("cam1")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["add a", "add b", "add c", "evict a", "evict b", "end", "put", "take"]), max_size=60))
def test_each_frame_is_counted_while_cameras_are_added_and_evicted(steps: list[str]) -> None:
    import numpy as np

    image = np.zeros((2, 2, 3), np.uint8)
    put: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    door = Door(["z"], 2, 1e9, on_drop=lambda camera, cause: dropped.update([camera]))
    bringers: Counter[str] = Counter(z=1)
    door.attach("z", newest_wins=True)
    barred: set[str] = set()
    for step in steps:
        word, _, camera = step.partition(" ")
        if word == "add":
            door.add(camera)
            door.attach(camera, newest_wins=True)
            bringers[camera] += 1
            barred.discard(camera)
        elif word == "evict" and bringers[camera]:
            door.evict(camera)
            barred.add(camera)
        elif word == "end":
            for name in [name for name in "abc" if bringers[name]]:
                door.finish(name)
                bringers[name] -= 1
        elif word == "put":
            for name in [name for name in "abcz" if bringers[name]]:
                frame = Frame(name, 0, put[name], image, float(put[name]), 0, 0)
                put[name] += 1
                if name in barred:
                    with pytest.raises(Closed):
                        door.put(frame)
                else:
                    door.put(frame)
        elif word == "take":
            for frame in door.take(timeout_s=0.0):  # never raises Closed: camera z stays
                taken[frame.camera] += 1
                door.leave(frame.camera)
    door.stop()
    for name in "abcz":
        assert put[name] == taken[name] + dropped[name]


def test_a_live_frame_waits_until_not_before_and_the_newest_one_enters(make_frame: Make) -> None:
    door = Door(["live", "file"], 2, 9.0)
    door.attach("live", newest_wins=True)
    door.attach("file", newest_wins=False)
    until_s = time.monotonic() + 0.2
    door.not_before(until_s)
    door.put(fresh(make_frame, 0, "live"))
    door.put(fresh(make_frame, 0, "file"))
    assert [frame.camera for frame in door.take()] == ["file"]  # not_before applies to live cameras only
    assert door.take(timeout_s=0.0) == []
    door.put(fresh(make_frame, 1, "live"))
    assert [frame.index for frame in door.take(timeout_s=60)] == [1]  # only the clock wakes take
    assert time.monotonic() >= until_s


def test_a_blocked_take_wakes_when_not_before_moves_to_an_earlier_moment(make_frame: Make) -> None:
    door = Door(["live"], 2, 9.0)
    door.attach("live", newest_wins=True)
    door.not_before(time.monotonic() + 3600)
    door.put(fresh(make_frame, 0, "live"))
    taken: list[Frame] = []
    taker = threading.Thread(target=lambda: taken.extend(door.take()), daemon=True)
    taker.start()
    until_blocked(taker)
    door.not_before(0.0)
    taker.join(30)
    assert len(taken) == 1


def test_a_frame_that_would_miss_the_target_is_dropped(make_frame: Make) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: drops.update([cause]), target_s=2.0)
    door.attach("cam0", newest_wins=True)

    def aged(age_s: float) -> Frame:
        return replace(make_frame(0), captured_mono_ns=time.monotonic_ns() - round(age_s * 1e9))

    door.put(aged(1.0))  # the door has no estimate yet of how long a frame takes
    assert len(door.take()) == 1
    time.sleep(0.2)
    door.leave("cam0")
    door.put(aged(1.9))
    assert door.take() == []
    assert drops == {"too old": 1}
    door.put(aged(0.1))
    assert len(door.take()) == 1


def test_a_target_that_no_frame_can_meet_drops_no_frame(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0, target_s=0.02)
    door.attach("cam0", newest_wins=True)
    for _ in range(2):
        door.put(replace(make_frame(0), captured_mono_ns=time.monotonic_ns()))
        assert len(door.take()) == 1
        time.sleep(0.05)
        door.leave("cam0")


def test_cameras_are_served_in_rotation_with_one_at_a_time(make_frame: Make) -> None:
    door = Door(["a", "b", "c"], 2, 9.0, one_at_a_time=True)
    for camera in ("a", "b", "c"):
        door.put(make_frame(0, camera))
    taken = [door.take()[0].camera]
    door.put(make_frame(1, "a"))
    taken += [door.take()[0].camera for _ in range(3)]
    assert taken == ["a", "b", "c", "a"]


def test_a_frame_waits_until_let_in_allows_it_to_enter(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    door.let_in(False)
    door.put(make_frame(0))
    assert door.take(timeout_s=0.0) == []
    door.let_in(True)
    assert len(door.take()) == 1


def test_a_file_s_frame_counts_as_captured_when_it_enters(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    before_ns = time.monotonic_ns()
    door.put(make_frame(0))
    assert door.take()[0].captured_mono_ns >= before_ns


def test_take_does_not_miss_a_not_before_moment_that_passes_during_its_check(make_frame: Make, monkeypatch) -> None:
    door = Door(["cam0"], 2, 1e9)
    door.attach("cam0", newest_wins=True)
    door.put(make_frame(0))
    door.not_before(10.0)
    readings = itertools.chain([9.99], itertools.repeat(10.01))
    monkeypatch.setattr("realtime.runtime.door.time.monotonic", lambda: next(readings))
    taken: list[Frame] = []
    taker = threading.Thread(target=lambda: taken.extend(door.take()), daemon=True)
    taker.start()
    taker.join(30)
    assert len(taken) == 1


class Late:
    """A frame of a live camera that is converted when it enters.

    Args:
        frame: the result; None if the conversion fails.
        meanwhile: called during the conversion.
    """

    def __init__(self, frame: Frame, fails: bool = False, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.camera, self.captured_mono_ns = frame.camera, frame.captured_mono_ns
        self._frame, self._fails, self._meanwhile = frame, fails, meanwhile

    def frame(self) -> Frame | None:
        self._meanwhile()
        return None if self._fails else self._frame


def test_a_frame_that_can_not_be_converted_frees_its_place_and_no_other(make_frame: Make) -> None:
    door = Door(["bad", "good"], 2, 9.0)
    for camera in ("bad", "good"):
        door.attach(camera, newest_wins=True)
    door.put(Late(fresh(make_frame, 0, "bad")))
    assert len(door.take()) == 1
    door.put(Late(fresh(make_frame, 1, "bad"), fails=True))
    door.put(Late(fresh(make_frame, 1, "good")))
    assert [frame.camera for frame in door.take()] == ["good"]
    assert not door.is_empty("bad")  # its first frame is on its way
    door.leave("bad")
    assert door.is_empty("bad")
    door.put(Late(fresh(make_frame, 2, "bad"), fails=True))
    assert door.take() == []  # not the end
    assert door.is_empty("bad")


def test_an_older_frame_may_leave_while_a_conversion_fails(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    door.attach("cam0", newest_wins=True)
    door.put(fresh(make_frame, 0))
    door.take()
    door.put(Late(fresh(make_frame, 1), fails=True, meanwhile=lambda: door.leave("cam0")))
    assert door.take() == []
    assert door.is_empty("cam0")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("end", [lambda door: door.evict("cam0"), Door.stop, lambda door: door.finish("cam0")])
def test_a_camera_may_be_removed_or_the_run_stopped_during_a_conversion(
    make_frame: Make, end: Callable[[Door], None], fails: bool
) -> None:
    drops: Counter[str] = Counter()
    door = Door(["cam0"], 2, 9.0, on_drop=lambda camera, cause: drops.update([cause]))
    door.attach("cam0", newest_wins=True)
    was_empty: list[bool] = []

    def meanwhile() -> None:
        door.put(Late(fresh(make_frame, 1)))  # waits: the door's lock is free
        was_empty.append(door.is_empty("cam0"))
        end(door)
        was_empty.append(door.is_empty("cam0"))

    door.put(Late(fresh(make_frame, 0), fails, meanwhile))
    assert len(door.take()) == 1 - fails
    assert was_empty == [False, False]
    assert drops.total() in (0, 1)  # the frame that waited; one that is being converted is not dropped here


def test_frames_that_are_replaced_are_never_converted(make_frame: Make) -> None:
    door = Door(["cam0"], 2, 9.0)
    door.attach("cam0", newest_wins=True)
    converted: list[int] = []
    for index in range(5):
        door.put(Late(fresh(make_frame, index), meanwhile=lambda index=index: converted.append(index)))
    door.take()
    assert converted == [4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["put a", "put b", "bad a", "bad b", "take", "leave"]), max_size=60), st.integers(1, 3))
def test_frames_in_flight_are_counted_right_while_conversions_fail(steps: list[str], window: int) -> None:
    import numpy as np

    image = np.zeros((2, 2, 3), np.uint8)
    door = Door(["a", "b"], window, 1e9)
    in_flight: Counter[str] = Counter()
    for camera in ("a", "b"):
        door.attach(camera, newest_wins=True)
    for index, step in enumerate(steps):
        kind, _, camera = step.partition(" ")
        if kind in ("put", "bad"):
            door.put(Late(Frame(camera, 0, index, image, float(index), 0, 0), fails=kind == "bad"))
        elif kind == "take":
            in_flight.update(frame.camera for frame in door.take(timeout_s=0.0))
        else:
            for camera in [camera for camera in "ab" if in_flight[camera]]:
                in_flight[camera] -= 1
                door.leave(camera)
        assert max(in_flight.values(), default=0) <= window
    for camera in ("a", "b"):
        door.evict(camera)
        for _ in range(in_flight[camera]):
            assert not door.is_empty(camera)
            door.leave(camera)
        assert door.is_empty(camera)
