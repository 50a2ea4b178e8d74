"""When the messages of a recording are due, in seconds from its beginning."""

import pytest

from realtime import wire
from realtime.recordings.timeline import Timeline, looks_live
from tests.recordings.recorded import of_camera
from tests.wire.examples import pose

START_NS = 1_700_000_000_000_000_000


def live(camera: str, captured_s: float, session: str = "s1") -> wire.PoseMessage:
    return pose(camera=camera, captured_ns=START_NS + round(captured_s * 1e9), media_s=captured_s + 5, session=session)


def file(camera: str, media_s: float | None, captured_s: float = 0.0, session: str = "s1") -> wire.PoseMessage:
    return pose(camera=camera, captured_ns=START_NS + round(captured_s * 1e9), media_s=media_s, session=session)


# The messages of a recording, in which cameras a and b are live and f and g are files, and when they are due.
TABLE = {
    "capture times of a camera": ([live("a", t) for t in (0, 0.1, 0.3)], [0, 0.1, 0.3]),
    "two cameras share a time line": ([live("a", 1), live("b", 1.04), live("a", 1.1)], [0, 0.04, 0.1]),
    "a camera whose frames are older": ([live("a", 1), live("b", 0.8), live("a", 1.1)], [0, -0.2, 0.1]),
    "a camera that was down": ([live("a", 0), live("a", 600)], [0, 600]),
    "a clock that was set back": ([live("a", t) for t in (100, 100.5, 40, 40.5, 41)], [0, 0.5, 0.5, 1, 1.5]),
    "that of one of two": ([live(*each) for each in (("a", 9), ("b", 9), ("a", 1), ("b", 10))], [0, 0, 0, 1]),
    "a clock that is adjusted": ([live("a", t) for t in (100, 100.5, 100.4)], [0, 0.5, 0.4]),
    "time stamps of a file": ([file("f", 7 + t, 9 * t) for t in (0, 0.1, 0.3)], [0, 0.1, 0.3]),
    "two files that begin together": ([file("f", 7), file("f", 7.1), file("g", 2), file("g", 2.1)], [0, 0.1, 0, 0.1]),
    "a file that was added": ([file("f", 0), file("f", 60), file("g", 0), file("g", 1)], [0, 60, 60, 61]),
    "a file that loops": ([file("f", t) for t in (0, 0.5, 0.6, 0, 0.5)], [0, 0.5, 0.6, 0.7, 1.2]),
    "a file without time stamps": ([file("f", None, t) for t in (3, 3.5)], [0, 0.5]),
    "a file and a camera": ([live("a", 5), file("f", 0, 5), live("a", 6), file("f", 0.5, 6)], [0, 0, 1, 0.5]),
    "a session of another day": ([live("a", 0), live("a", 0.1), live("a", 9e4, "s2")], [0, 0.1, 0.2]),
    "a session before that": ([live("a", 9), live("a", 9.5), live("a", 1, "s2")], [0, 0.5, 1.0]),
    "sessions of a file": ([file("f", 0), file("f", 0.5), file("f", 0, 0, "s2")], [0, 0.5, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "due_s"), TABLE.values(), ids=TABLE)
def test_messages_are_due_when_their_frames_were_taken(messages: list[wire.PoseMessage], due_s: list[float]) -> None:
    timeline = Timeline(lambda camera: camera in "ab")
    assert [timeline.at_ns(message) / 1e9 for message in messages] == pytest.approx(due_s)


def test_the_distances_of_capture_times_are_kept_to_the_nanosecond() -> None:
    timeline = Timeline(lambda camera: True)
    captured_ns = [START_NS + 33_333_333 * number + number % 7 for number in range(1000)]
    assert [timeline.at_ns(pose(captured_ns=each)) for each in captured_ns] == [each - START_NS for each in captured_ns]


def test_the_end_is_one_message_after_the_last() -> None:
    timeline = Timeline(lambda camera: True)
    for message in of_camera(5, fps=10.0):
        timeline.at_ns(message)
    assert timeline.end_ns == 500_000_000


# How fast time stamps pass, relative to capture times; None: there are none.
@pytest.mark.parametrize(("rate", "is_live"), [(1.0, True), (1.1, True), (3.0, False), (0.3, False), (None, True)])
def test_a_camera_is_live_unless_its_time_stamps_pass_faster_or_slower(rate: float | None, is_live: bool) -> None:
    messages = [live("a", t / 10) for t in range(20)]
    messages += [file("f", None if rate is None else rate * t / 10, t / 10) for t in range(20)]
    assert looks_live(messages) == {"a": True, "f": is_live}
