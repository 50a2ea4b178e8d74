"""When the frames of a file were taken: packet timestamps, in decoding order -> the times of frames, in display order.

Used by capture.packets. It doesn't use FFmpeg, so tests need only numbers.

A container stores presentation times (MP4) or decoding times (AVI). Both give the same times, which are called slots:

    packets, as they are decoded       I0   P3   B1   B2
    timestamps in MP4                  0.0  0.3  0.1  0.2
    timestamps in AVI                  0.0  0.1  0.2  0.3
    slots: the timestamps, sorted      0.0  0.1  0.2  0.3
    frames, as they are displayed      I0   B1   B2   P3

Each frame takes the lowest slot that is left, so the times rise. If a packet yields no frame, its slot must go, or all
later frames would come too early. Which packets yield none shows in the packets that do (`Stamps._passed_over`).
"""

from __future__ import annotations

import statistics
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from realtime.capture.timeline import DEFAULT_FPS, FURTHEST_S, GAP_S, JUMP_S

# H.264 and HEVC show a frame at most this many frames later than they decode it.
DEEPEST = 16
# A packet that has yielded no frame while this many later packets were decoded never will: twice DEEPEST, and as many
# again for a decoder with 32 threads, each of which holds a frame.
_LATEST = 64
# The rate is measured over the last frames, up to MOST_STEPS, but not from fewer than FEWEST_STEPS.
FEWEST_STEPS, MOST_STEPS = 8, 25
# A higher declared rate is that of a clock (1000 or 90000 ticks per second), and no frame rate.
FASTEST_FPS = 300.0
# The least step (s) between times, which would otherwise be lost in the precision of a float.
_SHORTEST_S = 1e-6


class Slot(NamedTuple):
    """A timestamp (s) in one of the recordings that were joined in a file, counted from 0."""

    recording: int
    stamp_s: float


@dataclass(slots=True, eq=False)
class Ticket:
    """One packet of a file, from which a frame is expected: its place in the file, and its slot if it has one."""

    number: int
    slot: Slot | None


class Stamps:
    """Gives each frame of a file its time.

    Frames get the timestamps of their recording in rising order. If timestamps repeat, or go back by little, the frames
    that have them are spread evenly up to the next timestamp. If there is none, or if it is too far away, they follow
    the rate measured before, or the declared one.

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
        self._top: Slot | None = None  # the highest timestamp of the latest recording
        # Whether the timestamps of this recording are presentation times; None: unknown. Decoding times never go back
        # in decoding order, and presentation times never in display order.
        self._are_presentation_times: bool | None = None
        self._unstamped: dict[int, Ticket] = {}  # the first packets, if they have no timestamp
        self._slots: list[Slot] = []  # of packets that were read, sorted; each frame takes the first
        self._pending: dict[int, Ticket] = {}  # packets that were given to the decoder, and have yielded no frame
        # The packet of the first frame, then the last of those directly after it that yielded none.
        self._leading: int | None = None
        self._shown: Slot | None = None  # of the packet that became the last frame
        self._last: Slot | None = None  # the time of the last frame

    def read(self, stamp_s: float | None, is_key: bool) -> Ticket:
        """Note the next packet of the file.

        Args:
            stamp_s: its timestamp in seconds; None: the same as that of the packet before.
            is_key: whether it is a key frame.
        """
        ticket = Ticket(self._count, self._slot_of(stamp_s, is_key))
        self._count += 1
        if ticket.slot is None:
            self._unstamped[ticket.number] = ticket
            return ticket
        for i, early in enumerate(reversed(self._unstamped.values()), 1):
            early.slot = Slot(ticket.slot.recording, ticket.slot.stamp_s - i * self.step_s)
            insort(self._slots, early.slot)
        self._unstamped.clear()
        insort(self._slots, ticket.slot)
        return ticket

    def _slot_of(self, stamp_s: float | None, is_key: bool) -> Slot | None:
        top = self._top
        if stamp_s is None or abs(stamp_s) > FURTHEST_S:
            return top
        if top is None:
            self._top = Slot(0, stamp_s)
            return self._top
        # A frame that is decoded early has a higher timestamp than the next ones; but a key frame has no lower one
        # than any frame before it, unless a new recording begins.
        if stamp_s < top.stamp_s - JUMP_S and (is_key or not self.reorders):
            self._top, self._are_presentation_times = Slot(top.recording + 1, stamp_s), None
            return self._top
        # Lower than a frame that was displayed: a clock was set back between key frames. Until the next key frame, the
        # timestamps count as missing.
        if self._shown is not None and Slot(top.recording, stamp_s + JUMP_S) < self._shown:
            return top
        if stamp_s < top.stamp_s and self._are_presentation_times is None:
            self._are_presentation_times = True
        slot = Slot(top.recording, stamp_s)
        self._top = max(top, slot)
        return slot

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
        oldest = next(iter(self._pending.values()))
        if oldest.number <= ticket.number - _LATEST:
            self._yielded_none(oldest)

    def lost(self, ticket: Ticket) -> None:
        """Note that a packet yields no frame."""
        self._unstamped.pop(ticket.number, None)
        if self._pending.pop(ticket.number, None) is None or ticket.slot is None:
            return
        place = bisect_right(self._slots, ticket.slot) - 1
        if place >= 0 and self._slots[place] == ticket.slot:
            del self._slots[place]
        elif self._slots:  # another frame has taken it, before this packet was known to be lost
            del self._slots[0]

    def _yielded_none(self, ticket: Ticket) -> None:
        """Note that a packet was decoded without an error, but yielded no frame."""
        if self.reorders and not self._are_presentation_times and ticket.number - 1 == self._leading:
            # The leading pictures of an open group, whose reference frame was cut off. They would have been displayed
            # before the first frame, but their decoding times are later: frames take them, all equally early.
            self._leading = ticket.number
            del self._pending[ticket.number]
        else:
            self.lost(ticket)

    def shown(self, ticket: Ticket | None, is_key: bool = False) -> float | None:
        """Return the time (s) of the next frame; None if the file has no timestamps.

        Args:
            ticket: the packet that became this frame; None if unknown.
            is_key: whether no packet decoded before can be displayed after it.
        """
        if ticket is None:
            if self._pending:  # the likeliest
                ticket = min(self._pending.values(), key=lambda each: (each.slot or Slot(0, 0.0), each.number))
        else:
            for each in self._passed_over(ticket, is_key):
                self._yielded_none(each)
        is_first_of_packet = ticket is not None and self._pending.pop(ticket.number, None) is not None
        if ticket is not None and is_first_of_packet:
            self._unstamped.pop(ticket.number, None)
            if self._leading is None:
                self._leading = ticket.number
            if ticket.slot is None:
                return None
            self._compare(ticket.slot)
            return self._next_time(self._slots.pop(0))
        return None if self._last is None else self._next_time(self._last)

    def _compare(self, slot: Slot) -> None:
        if self._shown is not None and self._shown.recording == slot.recording and slot < self._shown:
            self._are_presentation_times = False
        self._shown = slot

    def _passed_over(self, ticket: Ticket, is_key: bool) -> list[Ticket]:
        """Return the packets that should have become frames before this one, and didn't."""
        slot, in_order = ticket.slot, is_key or not self.reorders or ticket.slot is None
        return [
            each
            for each in self._pending.values()
            if (in_order and each.number < ticket.number)
            or (self._are_presentation_times and slot is not None and each.slot is not None and each.slot < slot)
        ]

    def _next_time(self, slot: Slot) -> float:
        last, now = self._last, slot
        if last is not None and slot.recording <= last.recording:
            if slot <= last:
                now = Slot(last.recording, last.stamp_s + self._spread(last, slot.stamp_s))
            else:
                self._measured(slot.stamp_s - last.stamp_s)
        self._last = now
        return now.stamp_s

    def _spread(self, last: Slot, stamp_s: float) -> float:
        """Return the step (s) to a frame whose timestamp isn't later than the time of the last frame."""
        self.has_spread = True
        place = bisect_right(self._slots, last)
        if place == len(self._slots) or self._slots[place].recording != last.recording:
            return self.step_s
        next_s = self._slots[place].stamp_s
        # Over this frame, and those that wait with it.
        even_s = max(_SHORTEST_S, (next_s - last.stamp_s) / (place + 2))
        if next_s - stamp_s > GAP_S:
            return min(even_s, self.step_s)
        self._measured(even_s)
        return even_s

    def _measured(self, step_s: float) -> None:
        if _SHORTEST_S < step_s <= GAP_S:
            self._steps_s.append(step_s)

    @property
    def step_s(self) -> float:
        """The usual time between frames: as measured, else as declared, else the default."""
        if len(self._steps_s) >= FEWEST_STEPS:
            return statistics.median(self._steps_s)
        return self._declared_s or 1.0 / DEFAULT_FPS
