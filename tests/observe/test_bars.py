"""Bars below the log lines, as a person sees them."""

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from realtime.observe import bars as module
from realtime.observe.bars import Bars, Row, open_bars
from tests.clock import Clock
from tests.screen import Screen, Terminal


class Rig:
    """Bars on a terminal of this size."""

    def __init__(self, columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> None:
        self._file = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
        console = Console(file=self._file, force_terminal=True, highlight=False, _environ={"TERM": "xterm-256color"})
        self.terminal, self.screen = Terminal(columns, lines), Screen(columns)
        self.bars = Bars(console, self.terminal.descriptor)

    def draw(self, *rows: Row) -> list[str]:
        self.bars.draw(rows)
        written = self._file.buffer.getvalue().decode(self._file.encoding)
        self._file.seek(0)
        self._file.truncate()
        self.screen.feed(written.replace("\n", "\r\n"))  # as the system does
        return self.screen.lines


def file(name: str = "clip", done: float = 0.25, **keys: object) -> Row:
    fields = {"about": "", "state": "live", "figures": ("25 %", "25/100", "48.1 fps", "6 people", "2 min 20 s left")}
    return Row(**{"name": name, "done": done} | fields | keys)


def camera(name: str = "door", state: str = "live", about: str = "", **keys: object) -> Row:
    fields = {"done": None, "about": about or state, "figures": ("", "age 80 ms", "25.0 fps", "1 person", "")}
    return Row(**{"name": name, "state": state} | fields | keys)


def test_each_camera_has_a_line_and_all_figures_are_aligned():
    assert Rig().draw(file(), camera("entrance", "reconnecting", "reconnecting: timed out")) == [
        "clip      ━━━━╺━━━━━━━━━━━  25 %     25/100  48.1 fps  6 people  2 min 20 s left",
        "entrance  reconnecting: timed out  age 80 ms  25.0 fps  1 person",
    ]


def test_a_narrow_terminal_shows_no_bar_and_the_start_of_each_line():
    assert Rig(columns=40).draw(file(), camera()) == [
        "clip  25 %  25/100  48.1 fps  6 people …",
        "door  live  age 80 ms  25.0 fps  1 pers…",
    ]


def test_a_terminal_without_unicode_gets_none():
    line, other = Rig(columns=70, encoding="ascii").draw(file(), camera(about="x" * 70))
    assert line.isascii()
    assert line.startswith("clip  -- -------  25 %")
    assert len(other) == 70


def test_log_lines_stand_above_the_bars_as_they_are():
    rig = Rig(columns=60)
    rig.draw(file(), camera())
    long = "12:00:00 info [bold]http://h/a b[/] 'text' 1.5 :smile: " + "x" * 80
    rig.bars.write(f"{long}\n")
    rig.bars.write("12:00:01 error failed\n  Traceback\n")
    first, second, third, *rest = rig.draw(camera())
    assert first + second + third == long
    assert rest == ["12:00:01 error failed", "  Traceback", "door  live  age 80 ms  25.0 fps  1 person"]


def test_without_rows_the_log_is_left():
    rig = Rig()
    rig.draw(file())
    rig.bars.write("12:00:00 info bye\n")
    assert rig.draw() == ["12:00:00 info bye"]
    assert rig.screen.is_at_empty_line
    assert not rig.screen.is_coloured


def test_the_cursor_waits_below_the_bars():
    rig = Rig()
    rig.draw(file(), camera())
    assert rig.screen.is_at_empty_line
    rig.screen.feed("^C")  # the terminal's echo
    assert len(rig.draw(file(), camera())) == 2


def test_of_many_cameras_those_with_trouble_are_shown_first():
    rig = Rig(lines=6)
    rows = [camera("a"), camera("b", "ended"), camera("c"), camera("d"), camera("e", "reconnecting"), file("f")]
    lines = rig.draw(*rows)
    assert [line.split()[0] for line in lines[:3]] == ["e", "a", "c"]
    assert lines[3] == "and 3 more: 2 live, 1 ended"
    rig.terminal.resize(80, 2)
    assert rig.draw(*rows) == []
    rig.terminal.resize(80, 24)
    assert len(rig.draw(*rows)) == 6


def test_no_text_moves_the_cursor():
    assert Rig().draw(camera("a\x1b[2J", about="live\r\nx"))[0].startswith(r"a\x1b[2J  live\r\nx")


def test_lines_beyond_the_limit_are_counted_while_the_terminal_is_stopped(monkeypatch):
    monkeypatch.setattr(module, "_MOST_LINES", 2)
    rig = Rig()
    for number in range(5):
        rig.bars.write(f"{number}\n")
    assert rig.draw() == ["0", "1", "lines of the log lost while the terminal was stopped: 3"]


def test_in_the_background_lines_are_written_and_nothing_is_drawn_or_erased(monkeypatch):
    rig = Rig()
    rig.draw(file())
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    rig.screen.feed("$ the shell\r\n")
    rig.bars.write("12:00:00 info line\n")
    assert [line[:8] for line in rig.draw(file())] == ["clip  ━━", "$ the sh", "12:00:00"]
    monkeypatch.undo()
    assert len(rig.draw(file())) == 4


def test_after_a_stop_of_the_process_the_bars_start_below_the_text_of_the_shell(monkeypatch):
    monkeypatch.setattr(module, "time", clock := Clock())
    rig = Rig()
    rig.draw(file())
    clock.now_s += 0.5
    assert len(rig.draw(file())) == 1
    rig.screen.feed("$ fg\r\n")
    clock.now_s += 5.0
    assert [line[:4] for line in rig.draw(file())] == ["clip", "$ fg", "clip"]


def test_bars_that_are_left_stay_above_further_text():
    rig = Rig()
    rig.draw(file())
    rig.bars.leave()
    rig.screen.feed("error: the disk is full\r\n")
    rig.bars.write("12:00:00 info late\n")
    assert [line[:6] for line in rig.draw(file())] == ["clip  ", "error:", "12:00:"]


@pytest.mark.parametrize(
    ("is_terminal", "variables", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "dumb"}, False),  # it can't move its cursor
        (True, {"TERM": "xterm", "TTY_INTERACTIVE": "0"}, False),  # rich's own variable
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (False, {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_only_a_terminal_that_can_move_its_cursor_has_bars(is_terminal, variables, expected, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Terminal() as terminal, Path(os.devnull).open("w") as other:
        stream = os.fdopen(os.dup(terminal.descriptor), "w") if is_terminal else other
        monkeypatch.setattr(sys, "stderr", stream)
        assert (open_bars() is not None) == expected
