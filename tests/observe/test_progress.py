"""How far a run is: the figures of a camera, the lines in the log, and the thread that shows both."""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

import pytest

from realtime.observe import progress as module
from realtime.observe.log import set_up_logging
from realtime.observe.progress import Pace, progress
from realtime.observe.status import CameraStatus
from tests.clock import Clock
from tests.doubles import wait_until
from tests.screen import Terminal


def file(length: int | None = 100, name: str = "clip") -> CameraStatus:
    status = CameraStatus(name)
    status.begin(ends=True, length=length)
    status.set_state("live")
    return status


def publish(status: CameraStatus, frames: int, people: int = 6) -> None:
    for _ in range(frames):
        status.count_captured()
        status.people = people
        status.count_published(80.0)


def drop(status: CameraStatus, frames: int) -> None:
    for _ in range(frames):
        status.count_captured()
        status.count_dropped("newer frame")


def looks(status: CameraStatus, *works: Callable[[], None], every_s: float = 4.0) -> str:
    """Look at a camera first, and again after each of these pieces of work. Return the last line."""
    pace = Pace(status, now_s=100.0)
    figures = pace.figures(100.0)
    for number, work in enumerate(works, 1):
        work()
        figures = pace.figures(100.0 + every_s * number)
    return figures.line()


def test_the_line_of_a_file():
    clip = file()
    assert looks(clip) == "0 of 100 frames (0 %)"
    assert looks(clip, lambda: publish(clip, 20)) == "20 of 100 frames (20 %), 5.0 fps, 6 people, 16 s left"


def test_dropped_frames_count_as_done_but_not_as_published():
    clip = file()
    work = [lambda: publish(clip, 20), lambda: drop(clip, 20)]
    assert looks(clip, *work) == "40 of 100 frames (40 %), 2.5 fps, 6 people, 12 s left"


def test_rates_are_those_of_the_last_seconds():
    clip = file(10_000)
    work = [lambda: publish(clip, 400), *[lambda: publish(clip, 4)] * 3]
    assert looks(clip, *work, every_s=5.0) == "412 of 10000 frames (4 %), 0.8 fps, 6 people, 3 h 19 min left"


def test_a_file_that_stands_still_has_no_time_left():
    clip = file()
    work = [lambda: publish(clip, 50), *[lambda: None] * 3]
    assert looks(clip, *work, every_s=5.0) == "50 of 100 frames (50 %), 0.0 fps, 6 people"


def test_no_time_left_is_computed_from_the_first_moments():
    clip = file()
    assert looks(clip, lambda: publish(clip, 1, people=1), every_s=0.5) == "1 of 100 frames (1 %), 2.0 fps, 1 person"


@pytest.mark.parametrize(
    ("length", "published", "expected"),
    [
        (None, 20, "20 frames, 5.0 fps, 0 people"),  # a pipe
        (100, 100, "100 of 100 frames (100 %), 25.0 fps, 0 people, 1 s left"),
        (100, 104, "104 frames, 26.0 fps, 0 people"),  # the file holds more than it declares
    ],
)
def test_a_length_that_is_unknown_or_wrong_gives_no_percentage(length, published, expected):
    clip = file(length)
    assert looks(clip, lambda: publish(clip, published, people=0)) == expected


def test_a_file_that_a_reload_starts_again_starts_at_0():
    clip = file()

    def restart() -> None:
        clip.begin(ends=True, length=50)

    work = [lambda: publish(clip, 60), restart, lambda: publish(clip, 20)]
    assert looks(clip, *work) == "20 of 50 frames (40 %), 5.0 fps, 6 people, 6 s left"


def test_a_live_camera_shows_the_age_of_its_newest_frame_and_no_rate_while_it_is_lost(monkeypatch):
    door = CameraStatus("door")
    door.begin(ends=False, length=None)
    assert looks(door) == ""
    door.set_state("live")
    monkeypatch.setattr(door, "age_s", lambda: 0.08)
    assert looks(door, lambda: publish(door, 20)) == "age 80 ms, 5.0 fps, 6 people"
    door.set_state("reconnecting", "timed out")
    monkeypatch.setattr(door, "age_s", lambda: 75.0)
    assert looks(door, lambda: None) == "age 1 min 15 s"


def row(status: CameraStatus) -> tuple[float | None, str]:
    made = module._row(status, Pace(status, 100.0).figures(100.0))
    return made.done, made.about


def test_a_file_of_known_length_has_a_bar_and_all_others_a_text():
    clip, pipe, door = file(), file(None), CameraStatus("door")
    assert row(door) == (None, "starting")
    publish(clip, 50)
    assert row(clip)[0] == 0.5
    assert row(pipe) == (None, "length unknown")
    clip.set_state("ended")
    assert row(clip)[0] == 1.0  # whatever it declared
    pipe.set_state("failed", "the file is truncated")
    assert row(pipe) == (None, "failed: the file is truncated")
    door.set_state("live")
    door.activity = "still"
    assert row(door) == (None, "live, still")


@pytest.fixture
def at_once(monkeypatch):
    """Show the progress as often as possible."""
    monkeypatch.setattr(module, "_LOOK_S", 0.001)
    monkeypatch.setattr(module, "_DRAW_S", 0.0)
    monkeypatch.setattr(module, "_TELL_S", 0.0)
    monkeypatch.setattr(module, "_JOIN_S", 30.0)


def of_progress() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_without_a_terminal_files_have_lines_in_the_log(form, at_once, capsys):
    set_up_logging("info", form)
    door, over, gone = CameraStatus("door"), file(name="over"), file(name="gone")
    door.begin(ends=False, length=None)
    door.set_state("live")
    over.set_state("ended")
    gone.remove()
    cameras = {status.camera: status for status in (file(), door, over, gone)}
    lines = []
    with progress(lambda: cameras, with_bars=form == "text"):
        wait_until(lambda: lines.extend(capsys.readouterr().err.splitlines()) or lines)
    assert not of_progress()
    if form == "text":
        assert all(line[8:] == " info clip: 0 of 100 frames (0 %)" for line in lines if "fps" not in line)
    else:
        assert {json.loads(line)["camera"] for line in lines} == {"clip"}


def test_a_file_is_first_reported_after_some_seconds(monkeypatch, caplog):
    monkeypatch.setattr(module, "time", clock := Clock())
    shown = module._Progress(lambda: {"clip": clip}, None)
    clip, told = file(1000), []
    logging.getLogger("realtime").setLevel("INFO")
    for second in range(25):
        shown._look(clock.now_s + second)
        told.append(len(caplog.records))
    assert [told.index(1), told.index(2)] == [10, 20]
    assert caplog.records[0].camera == "clip"


@pytest.mark.parametrize("level", ["warning", "error"])
def test_nothing_is_shown_if_the_log_has_no_lines_of_this_level(level, at_once, capsys):
    set_up_logging(level, "text")
    with progress(lambda: {"clip": file()}, with_bars=True):
        assert not of_progress()
    assert capsys.readouterr().err == ""


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes standard error a terminal. pytest sets it again before the test begins."""
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as terminal:

        def open_stream() -> TextIO:
            return os.fdopen(os.dup(terminal.descriptor), "w", buffering=1)

        def begin(form: str) -> Terminal:
            monkeypatch.setattr(sys, "stderr", open_stream())
            monkeypatch.setattr("realtime.observe.bars.another_stderr", open_stream)
            set_up_logging("info", form)
            return terminal

        yield begin


def test_on_a_terminal_log_lines_stand_above_the_bars_and_the_bars_are_gone_at_the_end(at_once, terminal):
    terminal = terminal("text")
    log = logging.getLogger("realtime.test")
    with progress(lambda: {"clip": file()}, with_bars=True):
        wait_until(lambda: any(line.startswith("clip") for line in terminal.screen.lines))
        log.info("during %s", "[the] run")
        wait_until(lambda: "during" in terminal.screen.lines[0])
        log.info("at its end")
    log.info("after")
    wait_until(lambda: len(terminal.screen.lines) == 3 and terminal.screen.is_at_empty_line)
    assert [line[14:] for line in terminal.screen.lines] == ["during [the] run", "at its end", "after"]
    assert not of_progress()


def test_a_terminal_has_no_bars_if_they_are_not_wanted(at_once, terminal):
    terminal = terminal("json")
    with progress(lambda: {"clip": file()}, with_bars=False):
        wait_until(lambda: terminal.screen.lines)
    assert json.loads(
        terminal.screen.lines[0] + (terminal.screen.lines[1] if len(terminal.screen.lines[0]) == 80 else "")
    )


def test_a_terminal_that_is_stopped_delays_neither_a_log_line_nor_the_end(at_once, terminal, monkeypatch):
    terminal = terminal("text")
    monkeypatch.setattr(module, "_JOIN_S", 0.0)
    stopped, drawing = threading.Event(), threading.Event()
    console_out = module.Bars.draw

    def draw(bars, rows):
        drawing.set()
        assert stopped.wait(30)
        console_out(bars, rows)

    monkeypatch.setattr(module.Bars, "draw", draw)
    with progress(lambda: {"clip": file()}, with_bars=True):
        assert drawing.wait(30)
        logging.getLogger("realtime.test").info("not delayed")
    [thread] = of_progress()
    logging.getLogger("realtime.test").info("the summary")
    print("error: the last words", file=sys.stderr)
    stopped.set()
    thread.join(30)
    wait_until(lambda: len(terminal.screen.lines) == 3)
    assert [line.partition(" info ")[2] or line for line in terminal.screen.lines] == [
        "the summary",
        "error: the last words",
        "not delayed",
    ]
