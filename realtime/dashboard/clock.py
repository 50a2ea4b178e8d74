# SPDX-License-Identifier: MIT
"""Times: one moment on both clocks, and the difference between the publisher's clock and ours.

Used by `fleet` for the age of frames. `captured_ns` is on the publisher's clock, and a page that compares it with
another machine's clock would show ages that are wrong by the difference.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

# The fastest message within this time (s) shows the difference of the clocks best. After a clock was set, a longer
# memory would keep a difference that is no longer true.
WINDOW_S = 60.0
# The window moves in steps of this length (s), so that it takes a dozen numbers instead of one for each message.
STEP_S = 5.0
# A message may take this long (ms) to arrive. A difference within 0..250 ms may be this delay alone, and clocks on one
# machine have none, so it counts as 0.
WAY_MS = 250.0


class Moment(NamedTuple):
    """One moment on both clocks.

    Attributes:
        mono_s: monotonic time (s), for durations.
        unix_ms: Unix time (ms), for people.
    """

    mono_s: float
    unix_ms: float

    @classmethod
    def now(cls) -> Moment:
        """Return the present moment."""
        return cls(time.monotonic(), time.time() * 1000)


class ClockDifference:
    """How far our clock is ahead of a publisher's, by the smallest (received - published) within a minute.

    >>> clock = ClockDifference()
    >>> clock.note(published_ms=1000.0, now=Moment(mono_s=0.0, unix_ms=61_030.0))
    >>> clock.ms
    60030.0
    >>> same = ClockDifference()
    >>> same.note(published_ms=1000.0, now=Moment(mono_s=0.0, unix_ms=1002.0))
    >>> same.ms
    0.0
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=int(WINDOW_S / STEP_S))
        self.ms = 0.0

    def note(self, published_ms: float, now: Moment) -> None:
        """Process one message.

        Args:
            published_ms: Unix time (ms) of its sending, by the publisher's clock.
            now: when it was received.
        """
        ahead_ms = now.unix_ms - published_ms
        if not self._steps or now.mono_s - self._steps[-1][0] >= STEP_S:
            self._steps.append((now.mono_s, ahead_ms))
        elif ahead_ms < self._steps[-1][1]:
            self._steps[-1] = (self._steps[-1][0], ahead_ms)
        least_ms = min(ms for _, ms in self._steps)
        self.ms = 0.0 if 0.0 <= least_ms <= WAY_MS else least_ms
