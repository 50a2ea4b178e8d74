# SPDX-License-Identifier: MIT
"""How many bytes may be on their way to one page: a window that follows the time until the page shows a frame.

Used by `viewer`. Without it, frames would queue in the buffers of the system and the network, and a slow viewer would
see old pictures.
"""

from __future__ import annotations

# Until the first delay, the window grows by each frame that arrives, and so doubles per round trip; afterwards by STEP
# per round trip. A delay shrinks it in proportion, because what waits on the way is proportional to the window. (As in
# TCP: Jacobson, "Congestion avoidance and control", 1988, with the delay as the signal instead of a loss.)
SMALLEST = 16 * 2**10
LARGEST = 2 * 2**20
START = 32 * 2**10
STEP = 4 * 2**10
LARGEST_CUT, SMALLEST_CUT = 0.3, 0.9
# Time from sending a frame to its display that is aimed at (s). A person doesn't notice it on a wall of tiles, and it
# is longer than the way to most places.
TARGET_S = 0.4


class Window:
    """The window of one viewer.

    >>> window = Window()
    >>> window.sent(100_000)
    >>> window.has_room(100_000)
    False
    >>> window.arrived(100_000, took_s=0.05, now_s=1.0)
    >>> window.has_room(5_000_000)
    True

    Attributes:
        size: its size (bytes).
        in_flight: bytes on their way.
    """

    def __init__(self) -> None:
        self.size = START
        self.in_flight = 0
        self._cut_s: float | None = None

    def has_room(self, size: int) -> bool:
        """Whether a message of this size (bytes) may be sent now. One always may, so large ones get through."""
        return self.in_flight == 0 or self.in_flight + size <= self.size

    def sent(self, size: int) -> None:
        """Count a message (bytes)."""
        self.in_flight += size

    def arrived(self, size: int, took_s: float, now_s: float) -> None:
        """Count a message (bytes) that was displayed this long (s) after it was sent, and adapt the window."""
        is_used = self.in_flight * 2 > self.size
        self.in_flight -= size
        if took_s > TARGET_S:
            # Once for all frames that were on their way together.
            if self._cut_s is None or now_s - self._cut_s > took_s:
                share = min(SMALLEST_CUT, max(LARGEST_CUT, TARGET_S / took_s))
                self.size, self._cut_s = max(SMALLEST, int(self.size * share)), now_s
        elif is_used:
            step = size if self._cut_s is None else STEP * size // self.size
            self.size = min(LARGEST, self.size + step)

    def lost(self, size: int) -> None:
        """Count a message (bytes) that will not be acknowledged."""
        self.in_flight -= size
