"""When the frames of a file were taken: packet timestamps, in decoding order -> the times of frames, in display order.

Used by capture.packets. It doesn't use FFmpeg, so tests need only numbers.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from realtime.capture.timeline import DEFAULT_FPS, FURTHEST_S, GAP_S, JUMP_S

# H.264 and HEVC show a frame at most this many frames later than they decode it.
DEEPEST = 16
# A packet that has yielded no frame while this many later packets were decoded never will.
_MOST_PENDING = 64
# The rate is measured over the last frames, up to MOST_STEPS, but not from fewer than FEWEST_STEPS.
FEWEST_STEPS, MOST_STEPS = 8, 25
# A higher declared rate is that of a clock (1000 or 90000 ticks per second), and no frame rate.
FASTEST_FPS = 300.0


@dataclass(slots=True, eq=False)
class Ticket:
    """One packet of a file, from which a frame is expected.

    Attributes:
        number: its place in the file.
        slot: the recording in the file, counted from 0, and the timestamp in seconds; None if it has none.
    """

    number: int
    slot: tuple[int, float] | None


class Stamps:
    """Gives each frame of a file its time.

    The frames of a recording get the timestamps of their packets in rising order. That is true to the packets'
    presentation times, and it is right as well if the file has only decoding times (AVI), whose order differs if there
    are B-frames. If timestamps repeat, or go back by little, the frames that have them are spread evenly up to the next
    timestamp. If there is none, or if it is too far away, they follow the rate measured before, or the declared one.

    >>> stamps = Stamps(declared_fps=30.0)
    >>> tickets = [stamps.read(stamp_s, is_key=False) for stamp_s in (0.0, 0.0, 0.5, 0.6)]
    >>> for ticket in tickets:
    ...     stamps.decoding(ticket)
    >>> [stamps.shown(ticket) for ticket in tickets]
    [0.0, 0.25, 0.5, 0.6]

    Args:
        declared_fps: frames per second, if the file declares them.

    Attributes:
        reorders: whether the decoder may show frames in another order than it decodes them. Set by the caller.
        has_spread: whether timestamps repeated or went back.
    """

    def __init__(self, declared_fps: float | None) -> None:
        self.reorders = self.has_spread = False
        self._declared_s = 1.0 / declared_fps if declared_fps and declared_fps <= FASTEST_FPS else None
        self._steps_s: deque[float] = deque(maxlen=MOST_STEPS)
        self._count = 0  # packets read
        self._top: tuple[int, float] | None = None  # the highest timestamp of the latest recording
        self._has_display_order = False  # a timestamp was lower than an earlier one, so they are no decoding times
        self._first: dict[int, Ticket] = {}  # the first packets, if they have no timestamp
        self._slots: list[tuple[int, float]] = []  # of packets that were read, sorted; each frame takes the first
        self._pending: dict[int, Ticket] = {}  # packets that were given to the decoder, and have yielded no frame
        self._last: tuple[int, float] | None = None  # of the last frame

    def read(self, stamp_s: float | None, is_key: bool) -> Ticket:
        """Note the next packet of the file.

        Args:
            stamp_s: its timestamp in seconds; None: the same as that of the packet before.
            is_key: whether it is a key frame.
        """
        ticket = Ticket(self._count, self._slot_of(stamp_s, is_key))
        self._count += 1
        if ticket.slot is None:
            self._first[ticket.number] = ticket
            return ticket
        for i, early in enumerate(reversed(self._first.values()), 1):
            early.slot = ticket.slot[0], ticket.slot[1] - i * self.step_s
            insort(self._slots, early.slot)
        self._first.clear()
        insort(self._slots, ticket.slot)
        return ticket

    def _slot_of(self, stamp_s: float | None, is_key: bool) -> tuple[int, float] | None:
        if stamp_s is None or abs(stamp_s) > FURTHEST_S:
            return self._top
        if self._top is None:
            self._top = 0, stamp_s
            return self._top
        run, top_s = self._top
        # A frame that is decoded early has a higher timestamp than the next ones; but a key frame has no lower one
        # than any frame before it, unless a new recording begins.
        if stamp_s < top_s - JUMP_S and (is_key or not self.reorders):
            self._top, self._has_display_order = (run + 1, stamp_s), False
            return self._top
        self._has_display_order = self._has_display_order or stamp_s < top_s
        self._top = max(self._top, (run, stamp_s))
        return run, stamp_s

    def is_settled(self, ticket: Ticket, ahead: Iterable[Ticket]) -> bool:
        """Whether the packets that were read suffice to time the frames that the decoder returns for this one.

        Args:
            ticket: the packet to be decoded next.
            ahead: those after it, in the order of the file.
        """
        if ticket.slot is None:
            return False
        has_last = self._last is not None and ticket.slot <= self._last
        place = bisect_right(self._slots, ticket.slot)
        is_alone = not has_last and (place < 2 or self._slots[place - 2] != ticket.slot)
        if is_alone:
            return True
        highest = ticket.slot if self._last is None else max(ticket.slot, self._last)
        margin = DEEPEST if self.reorders else 0
        closed_by = next((each.number for each in ahead if each.slot is not None and each.slot > highest), None)
        return closed_by is not None and self._count - 1 - closed_by >= margin

    def decoding(self, ticket: Ticket) -> None:
        """Note that a packet is given to the decoder."""
        self._pending[ticket.number] = ticket
        if len(self._pending) > _MOST_PENDING:
            self.lost(next(iter(self._pending.values())))

    def lost(self, ticket: Ticket) -> None:
        """Note that a packet yields no frame."""
        self._first.pop(ticket.number, None)
        if self._pending.pop(ticket.number, None) is None or ticket.slot is None:
            return
        place = bisect_right(self._slots, ticket.slot) - 1
        if place >= 0 and self._slots[place] == ticket.slot:
            del self._slots[place]
        elif self._slots:  # another frame has taken it, before this packet was known to be lost
            del self._slots[0]

    def shown(self, ticket: Ticket | None, is_key: bool = False) -> float | None:
        """Return the time (s) of the next frame; None if the file has no timestamps.

        Args:
            ticket: the packet that became this frame; None if unknown.
            is_key: whether no earlier packet can be shown after it.
        """
        if ticket is None and self._pending:
            ticket = next(iter(self._pending.values()))
        if ticket is not None and self._pending.pop(ticket.number, None) is not None:
            for each in self._passed_over(ticket, is_key):
                self.lost(each)
            self._first.pop(ticket.number, None)
            return self._next_time(*self._slots.pop(0)) if ticket.slot is not None else None
        if self._last is None:
            return None
        return self._next_time(*self._last)  # a packet that yields several frames

    def _passed_over(self, ticket: Ticket, is_key: bool) -> list[Ticket]:
        """Return the packets that should have become frames before this one, and didn't."""
        if is_key or not self.reorders or ticket.slot is None:
            return [each for each in self._pending.values() if each.number < ticket.number]
        if not self._has_display_order:
            return []
        return [each for each in self._pending.values() if each.slot is not None and each.slot < ticket.slot]

    def _next_time(self, run: int, stamp_s: float) -> float:
        last, time_s = self._last, stamp_s
        if last is not None and run <= last[0]:
            if stamp_s <= last[1]:
                run, time_s = last[0], last[1] + self._spread(last, stamp_s)
            else:
                self._measured(stamp_s - last[1])
        self._last = run, time_s
        return time_s

    def _spread(self, last: tuple[int, float], stamp_s: float) -> float:
        """Return the step (s) to a frame whose timestamp isn't later than the time of the last frame."""
        self.has_spread = True
        place = bisect_right(self._slots, last)
        if place == len(self._slots) or self._slots[place][0] != last[0]:
            return self.step_s
        next_s = self._slots[place][1]
        even_s = (next_s - last[1]) / (place + 2)  # this frame, and those that wait with it
        if next_s - stamp_s > GAP_S:
            return min(even_s, self.step_s)
        self._measured(even_s)
        return even_s

    def _measured(self, step_s: float) -> None:
        if step_s <= GAP_S:
            self._steps_s.append(step_s)

    @property
    def step_s(self) -> float:
        """The usual time between frames: as measured, else as declared, else the default."""
        if len(self._steps_s) >= FEWEST_STEPS:
            return statistics.median(self._steps_s)
        return self._declared_s or 1.0 / DEFAULT_FPS
