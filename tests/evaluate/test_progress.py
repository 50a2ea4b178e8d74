"""The progress bar of a measurement."""

import os
import sys

import pytest

from realtime.evaluate import progress as module
from realtime.evaluate.progress import progress
from tests.screen import Terminal


@pytest.mark.parametrize("items", [[1, 2, 3], iter([1, 2, 3])])
def test_the_items_are_unchanged_and_nothing_is_printed_without_a_terminal(items, capsys):
    assert list(progress(items, "clip", total=3)) == [1, 2, 3]
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
