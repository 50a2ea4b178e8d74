# SPDX-License-Identifier: MIT
"""The event log of the page: changes that a person wants to read about, in plain words, bounded.

`fleet` writes it, `viewers` sends it to the pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from realtime.dashboard.clock import Moment

Kind = Literal["state", "gone", "back", "lowered", "reconnected", "removed", "added"]
# Events that are kept: several hours of a site with trouble.
MOST_EVENTS = 500
# At most this many events within WITHIN_S seconds are written; a restart of a pipeline with 50 cameras stays below.
# A publisher that changes its state a thousand times per second would push out all others and flood the pages.
MOST_AT_ONCE = 200
WITHIN_S = 10.0


class Event(Struct, frozen=True, kw_only=True):
    """One line of the event log.

    Attributes:
        time_ms: Unix time (ms) of the event.
        camera: name of the camera as the page shows it; None if it concerns a whole pipeline.
        pipeline: endpoint of the pipeline, as configured.
        kind: for icons and filters.
        text: plain words, without the names.
    """

    time_ms: float
    camera: str | None
    pipeline: str
    kind: Kind
    text: str


class EventLog:
    """The last MOST_EVENTS events.

    >>> log = EventLog()
    >>> now = Moment(mono_s=10.0, unix_ms=1_800_000_000_000.0)
    >>> log.add("gone", "silent since 12:03:20", now, pipeline="tcp://127.0.0.1:5555")
    >>> log.events[-1].text
    'silent since 12:03:20'

    Attributes:
        events: oldest first.
        listeners: called with each new event.
    """

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self.listeners: list[Callable[[Event], None]] = []
        self._times_s: deque[float] = deque(maxlen=MOST_AT_ONCE)

    def add(self, kind: Kind, text: str, now: Moment, *, pipeline: str, camera: str | None = None) -> None:
        """Write an event, unless too many came just before."""
        if len(self._times_s) == MOST_AT_ONCE and now.mono_s - self._times_s[0] < WITHIN_S:
            return
        self._times_s.append(now.mono_s)
        event = Event(time_ms=now.unix_ms, camera=camera, pipeline=pipeline, kind=kind, text=text)
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
