# SPDX-License-Identifier: MIT
"""The connections of the web server, bounded: strangers who connect and send nothing can't keep viewers out.

`serve` tells it what happens on each connection. Time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

# A connection has this long (s) to send the whole header of a request, from its first byte or from the connection on,
# and this long to take the rest after it was closed.
LONGEST_HEADER_S = 10.0
LONGEST_CLOSE_S = 10.0
# `silent` connections have no request, `busy` ones have a request that is answered, `pages` are WebSockets.
Phase = Literal["silent", "busy", "page"]


class Transport(Protocol):
    """The part of asyncio's transports that is used here."""

    def abort(self) -> None:
        """Close at once."""

    def is_closing(self) -> bool:
        """Whether it is closed, perhaps with data that waits to be sent."""


@dataclass(slots=True)
class _Guest:
    phase: Phase
    since_s: float
    closing_s: float | None = None


class Crowd:
    """All connections.

    >>> class Pipe:
    ...     def abort(self):
    ...         print("closed")
    >>> crowd = Crowd(most=1)
    >>> first, second = Pipe(), Pipe()
    >>> crowd.came(first, now_s=0.0)
    >>> crowd.came(second, now_s=1.0)
    closed

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._guests: dict[Transport, _Guest] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._guests)

    def came(self, transport: Transport, now_s: float) -> None:
        """Count a new connection, and close another one if there are too many: the oldest without a request first."""
        self._guests[transport] = _Guest("silent", now_s)
        if len(self._guests) > self._most:
            chosen = self._least_useful(transport)
            self.left(chosen)
            chosen.abort()

    def _least_useful(self, newest: Transport) -> Transport:
        for phase in ("silent", "busy"):
            for transport, guest in self._guests.items():
                if guest.phase == phase and transport is not newest:
                    return transport
        return newest

    def turned(self, transport: Transport, phase: Phase, now_s: float) -> None:
        """Note what a connection does now. Doing the same as before changes nothing."""
        guest = self._guests.get(transport)
        if guest is not None and guest.phase != phase:
            guest.phase, guest.since_s = phase, now_s

    def left(self, transport: Transport) -> None:
        """Forget a connection."""
        self._guests.pop(transport, None)

    def look(self, now_s: float) -> None:
        """Close the connections that are too slow. Call it once per second."""
        for transport, guest in [*self._guests.items()]:
            if transport.is_closing() and guest.closing_s is None:
                guest.closing_s = now_s
            is_stuck = guest.closing_s is not None and now_s - guest.closing_s > LONGEST_CLOSE_S
            if is_stuck or (guest.phase == "silent" and now_s - guest.since_s > LONGEST_HEADER_S):
                self.left(transport)
                transport.abort()
