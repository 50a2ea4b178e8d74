import threading
from collections.abc import Callable

import pytest

from realtime.runtime import unconverted
from realtime.runtime.unconverted import converted
from realtime.types import Frame

Make = Callable[..., Frame]


class Late:
    """A frame that is converted by a function."""

    def __init__(self, camera: str, convert: Callable[[], Frame | None]) -> None:
        self.camera, self.captured_mono_ns, self.frame = camera, 0, convert


def test_a_batch_keeps_its_order_and_has_none_for_a_failure(make_frame: Make) -> None:
    frames = [make_frame(index, f"cam{index}") for index in range(4)]
    batch = [Late("cam0", lambda: frames[0]), frames[1], Late("cam2", lambda: None), Late("cam3", lambda: frames[3])]
    assert converted(batch) == [frames[0], frames[1], None, frames[3]]
    assert converted([]) == []


def test_several_frames_are_converted_at_the_same_time(make_frame: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconverted, "all_cores", lambda: 2)
    both = threading.Barrier(2, timeout=30)  # broken, and the test fails, if one conversion waits for the other

    def convert() -> Frame:
        both.wait()
        return make_frame(0)

    before = threading.active_count()
    assert len(converted([Late("a", convert), Late("b", convert)])) == 2
    assert threading.active_count() == before


@pytest.mark.parametrize("others", [0, 1])
def test_a_single_frame_is_converted_on_the_calling_thread(make_frame: Make, others: int) -> None:
    threads = []
    late = Late("a", lambda: threads.append(threading.current_thread()))
    converted([late, *[make_frame(0)] * others])
    assert threads == [threading.current_thread()]


def test_an_error_of_our_own_is_raised_once_the_batch_has_ended(make_frame: Make) -> None:
    def fail() -> Frame:
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        converted([Late("a", fail), Late("b", lambda: make_frame(0))])
    assert threading.active_count() == before


def test_a_batch_is_converted_where_no_more_threads_can_be_started(
    make_frame: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(unconverted, "all_cores", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    frames = [make_frame(index, f"cam{index}") for index in range(3)]
    assert converted([Late(frame.camera, lambda frame=frame: frame) for frame in frames]) == frames


def test_each_frame_is_sent_by_the_thread_that_converted_it(make_frame: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconverted, "all_cores", lambda: 2)
    both = threading.Barrier(2, timeout=30)
    converters: dict[str, threading.Thread] = {}
    sent: dict[str, threading.Thread] = {}

    def convert(name: str) -> Frame:
        both.wait()
        converters[name] = threading.current_thread()
        return make_frame(0, name)

    def send(frame: Frame) -> None:
        sent[frame.camera] = threading.current_thread()

    converted([Late(name, lambda name=name: convert(name)) for name in "ab"], send)
    assert sent == converters
    assert len(set(sent.values())) == 2


def test_frames_of_files_are_sent_at_the_same_time_and_failed_ones_are_not(
    make_frame: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unconverted, "all_cores", lambda: 2)
    both = threading.Barrier(2, timeout=30)
    sent: list[str] = []

    def send(frame: Frame) -> None:
        both.wait()
        sent.append(frame.camera)

    converted([make_frame(0, "a"), make_frame(0, "b"), Late("c", lambda: None)], send)
    assert sorted(sent) == ["a", "b"]


def test_an_error_of_sending_is_raised(make_frame: Make) -> None:
    def fail(frame: Frame) -> None:
        raise ZeroDivisionError

    for batch in ([make_frame(0, "a")], [make_frame(0, "a"), make_frame(0, "b")]):
        with pytest.raises(ZeroDivisionError):
            converted(batch, fail)
