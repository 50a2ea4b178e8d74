"""The progress of a run: bars on a terminal; elsewhere, a log line every 10 s for each file.

Not part of the data path: a thread reads the status of the cameras. While there are bars, it also writes the log lines,
so a terminal that is slow or stopped (Ctrl-S) delays no other thread. `bars` draws.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from realtime.observe.bars import Bars, Row, open_bars
from realtime.observe.log import divert
from realtime.observe.status import CameraStatus
from realtime.printable import in_words

log = logging.getLogger(__name__)

Cameras = Callable[[], Mapping[str, CameraStatus]]

# How often bars are drawn, how often log lines are written above them, and the time between log lines about a file (s).
_DRAW_S, _LOOK_S, _TELL_S = 0.5, 0.1, 10.0
# Rates are those of this time (s). In less than the second, which a slow start would distort, no time left is computed.
_RECENT_S, _LEAST_S = 10.0, 2.0
# How long the end of a run waits for the terminal (s).
_JOIN_S = 0.3


class Figures(NamedTuple):
    """The progress of a camera in words; an empty text where something is unknown.

    >>> Figures("1200 of 7950 frames", "15 %", "48.1 fps", "6 people", "2 min 20 s left").line()
    '1200 of 7950 frames (15 %), 48.1 fps, 6 people, 2 min 20 s left'
    """

    frames: str
    percent: str
    fps: str
    people: str
    left: str

    def line(self) -> str:
        """The text of a log line."""
        percent = f" ({self.percent})" if self.percent else ""
        return ", ".join(filter(None, [self.frames + percent, self.fps, self.people, self.left]))


class Pace:
    """How far a camera is, and how fast it proceeds.

    Args:
        status: its state and counters.
        now_s: the current time (monotonic s).

    Attributes:
        told_s: when it was last reported in the log, or first seen.
    """

    def __init__(self, status: CameraStatus, now_s: float) -> None:
        self._status, self.told_s = status, now_s
        self._seen: deque[tuple[float, int, int]] = deque()  # when; frames published; frames published or dropped

    def figures(self, now_s: float) -> Figures:
        """Return the figures at this time (monotonic s). Call it regularly: rates are those between calls."""
        status, state, seen = self._status, self._status.state[0], self._seen
        done, length = status.done(), status.length
        if seen and done < seen[-1][2]:  # a reload has started another source
            seen.clear()
        seen.append((now_s, status.published, done))
        while now_s - seen[0][0] > _RECENT_S:
            seen.popleft()
        took_s, published, finished = (new - old for new, old in zip(seen[-1], seen[0], strict=True))
        rate = status.fps() if state == "ended" else published / took_s if took_s else None
        fps = "" if rate is None else f"{rate:.1f} fps"
        people = "" if status.people is None else f"{status.people} {'person' if status.people == 1 else 'people'}"
        if not status.ends:
            age_s = status.age_s()
            age = "" if age_s is None else f"age {in_words(age_s)}"
            return Figures(age, "", fps, people, "") if state == "live" else Figures(age, "", "", "", "")
        # A file may hold more frames than it declares, or fewer.
        if length is None or done > length or state in ("ended", "failed"):
            return Figures(f"{done} frames", "", fps, people, "")
        is_known = took_s >= _LEAST_S and finished
        left = f"{in_words(max(1.0, (length - done) * took_s / finished))} left" if is_known else ""
        return Figures(f"{done} of {length} frames", f"{100 * done // length} %", fps, people, left)


@contextlib.contextmanager
def progress(cameras: Cameras, *, with_bars: bool) -> Iterator[None]:
    """Show the progress of a run inside a `with` block, unless the log has no lines of the level `info`.

    Args:
        cameras: returns the status of each camera by name; cameras may be added during the run.
        with_bars: show bars, if standard error is a terminal; False: write log lines.
    """
    if not log.isEnabledFor(logging.INFO):
        yield
        return
    bars = open_bars() if with_bars else None
    over = threading.Event()
    shown = _Progress(cameras, bars)
    thread = threading.Thread(target=shown.run, args=(over,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_JOIN_S)
        if bars and thread.is_alive():  # a terminal that is stopped: the last lines wait for it, as any program's do
            shown.release()
            bars.leave()


class _Progress:
    """The thread that shows the progress.

    Args:
        cameras: returns the status of each camera by name.
        bars: the bars; None: there is no terminal for them.
    """

    def __init__(self, cameras: Cameras, bars: Bars | None) -> None:
        self._cameras, self._bars = cameras, bars
        self._paces: dict[CameraStatus, Pace] = {}
        self._release: Callable[[], None] = lambda: None

    def release(self) -> None:
        """Send log lines to standard error again. For any thread, also twice."""
        self._release()

    def run(self, over: threading.Event) -> None:
        """Show the progress until `over` is set, then remove the bars."""
        with contextlib.ExitStack() as at_end:
            release = divert(self._bars) if self._bars else None
            bars = self._bars = self._bars if release else None
            if bars and release:
                self._release = release
                at_end.callback(bars.draw, [])  # last: the lines that came meanwhile
                at_end.callback(release)
                at_end.callback(bars.draw, [])
            next_s, rows = time.monotonic() + _DRAW_S, list[Row]()
            while not over.wait(_LOOK_S):
                if (now_s := time.monotonic()) >= next_s:
                    rows, next_s = self._look(now_s), now_s + _DRAW_S
                elif bars is None or not bars.has_lines:
                    continue
                if bars:
                    bars.draw(rows)

    def _look(self, now_s: float) -> list[Row]:
        """Return the rows to draw; without bars, write the log lines that are due."""
        shown = self._bars is not None and self._bars.may_draw()
        cameras = [status for status in self._cameras().values() if not status.is_removed]
        self._paces = {status: self._paces.get(status) or Pace(status, now_s) for status in cameras}
        rows = []
        for status, pace in self._paces.items():
            figures = pace.figures(now_s)
            if shown:
                rows.append(_row(status, figures))
            elif now_s - pace.told_s >= _TELL_S and status.ends and status.state[0] == "live":
                pace.told_s = now_s
                log.info("%s: %s", status.camera, figures.line(), extra={"camera": status.camera})
        return rows


def _row(status: CameraStatus, figures: Figures) -> Row:
    """The row of a camera: a bar for a file, if its length is known, or else the state."""
    state, reason = status.state
    is_good = state in ("starting", "live")
    done = None
    if status.ends and figures.percent and is_good:
        done = status.done() / (status.length or 1)
    elif status.ends and (state, reason) == ("ended", None):
        done = 1.0
    about = f"{state}: {reason}" if reason else state
    if state == "live":
        about = "length unknown" if status.ends else ", ".join(filter(None, [about, status.activity]))
    frames = figures.frames.removesuffix(" frames").replace(" of ", "/") if figures.percent else figures.frames
    return Row(status.camera, done, about, state, (figures.percent, frames, figures.fps, figures.people, figures.left))
