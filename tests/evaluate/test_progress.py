"""The progress bar of a measurement."""

import os
import sys

import pytest

from realtime.evaluate import progress as module
from realtime.evaluate.progress import progress
from tests.screen import Terminal


@pytest.mark.parametrize("items", [[1, 2, 3], iter([1, 2, 3])])
def test_the_items_are_unchanged_and_without_a_terminal_a_line_is_logged_now_and_then(
    items, capsys, caplog, monkeypatch
):
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_TELL_S", 0.0)
    assert list(progress(items, "cl\x1bip", total=3)) == [1, 2, 3]
    assert caplog.messages == [rf"cl\x1bip: {number} of 3 frames" for number in (1, 2, 3)]
    caplog.clear()
    monkeypatch.setattr(module, "_TELL_S", 1e9)
    assert list(progress([1, 2], "clip")) == [1, 2]
    assert caplog.messages == []
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.parametrize("items", [range(3), iter(range(3))])
def test_on_a_terminal_a_bar_advances_and_disappears(items, monkeypatch):
    monkeypatch.setattr(module, "_DRAW_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as terminal:
        monkeypatch.setattr(sys, "stderr", os.fdopen(os.dup(terminal.descriptor), "w"))
        seen = []
        for _ in progress(items, "[clip]\x1b", total=3, unit="runs"):
            terminal.wait_for(f"{len(seen)}/3")
            seen.append(terminal.screen.lines[-1])
        terminal.wait_for("")
        assert all(line.startswith(r"[clip]\x1b ━━") for line in seen)
        assert terminal.screen.lines == []
