"""Which frames of a live stream are whole, and when a damaged stream should be opened again.

Used by capture.losses: packets and frames -> verdicts. It reads no clock and doesn't use FFmpeg, so tests need only
packet numbers and times.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.capture.source import Fault

# Damage counts as over after this long (s), or after the longest interval between key frames if that is longer. A
# camera that refreshes its picture column by column without announcing it has replaced all of it by then, because
# encoders take up to 1 s.
SHORTEST_S = 2.0
# A stream is reopened if it has had no whole frame for this many times the longest damage, because most cameras then
# send a key frame. By that time, about three key frames in a row were damaged, and waiting longer would hardly help.
PATIENCE = 3.0
# It is reopened after this long (s) at the latest. Cameras hardly ever have longer key frame intervals.
NO_PICTURE_S = 15.0


@dataclass
class _Refresh:
    """An intra refresh: its first and last packet so far, the reference frames left, and when it began."""

    first: int
    last: int
    left: int
    since_s: float


class Damage:
    """Judges the frames of one opened stream by the state of its packets.

    A frame is damaged if its own packet is, or if it depends on a damaged one, and it may depend on every earlier
    packet back to the last starting point. A starting point is a key frame, or the last frame of an intra refresh, by
    which the whole picture has been sent again. Until the first starting point, no frame can be used.

    Packets are numbered from 1 in the order in which they are decoded. Frames are judged in the order in which they are
    shown, which differs if the stream has B frames. Frames that are skipped on purpose, before or after they were
    decoded, need no call: gaps between numbers or times mean nothing here.

    Args:
        now_s: the time at which the stream was opened; monotonic seconds, as in all methods.

    >>> damage = Damage(now_s=0.0)
    >>> damage.judge(1, is_start=True, is_corrupt=False, now_s=0.1)
    >>> damage.hit(2, now_s=0.2)  # datagrams of packet 2 were lost on the way
    >>> [damage.judge(n, is_start=n == 4, is_corrupt=False, now_s=0.1 * n) for n in (2, 3, 4)]
    ['corrupt', 'corrupt', None]
    """

    def __init__(self, now_s: float) -> None:
        self._hits = [0]  # damaged packets since the last starting point; 0: as if a packet before the first was lost
        self._hit_s = now_s  # when the last of them arrived
        self._has_started = False
        self._dark_since_s: float | None = now_s  # when damage began that no whole frame has followed
        self._refresh: _Refresh | None = None  # the one that has begun and not ended
        self._refreshed: _Refresh | None = None  # the last complete one
        self._start_s: float | None = None  # when the last starting point began
        self._distance_s = 0.0  # the longest time from one starting point to the next

    @property
    def has_started(self) -> bool:
        """Whether the stream has had a whole frame."""
        return self._has_started

    @property
    def longest_s(self) -> float:
        """How long (s) damage lasts at most, unless more follows."""
        return max(SHORTEST_S, self._distance_s)

    def hit(self, packet: int, now_s: float) -> None:
        """Record that a packet is damaged: some of its data, or of the data that follow it, were lost."""
        self._hits.append(packet)
        self._hit_s = now_s
        if self._dark_since_s is None:
            self._dark_since_s = now_s

    def refreshes(self, packet: int, reference_frames: int, now_s: float) -> None:
        """Record that an intra refresh begins at a packet and ends after this many more reference frames."""
        running = self._refresh
        is_spoiled = running is not None and any(hit >= running.first for hit in self._hits)
        if running is None or is_spoiled or reference_frames < running.left:
            self._refresh = _Refresh(first=packet, last=packet, left=reference_frames, since_s=now_s)
            self._end_refresh()

    @property
    def is_refreshing(self) -> bool:
        """Whether an intra refresh has begun and not ended. If so, call `refresh_goes_on` for each packet."""
        return self._refresh is not None

    def refresh_goes_on(self, packet: int, is_reference: bool) -> None:
        """Record a packet after the one at which an intra refresh began, and whether other frames refer to it."""
        if self._refresh is not None and is_reference:
            self._refresh.last, self._refresh.left = packet, self._refresh.left - 1
            self._end_refresh()

    def _end_refresh(self) -> None:
        if self._refresh is not None and self._refresh.left <= 0:
            self._refresh, self._refreshed = None, self._refresh

    def judge(self, packet: int, is_start: bool, is_corrupt: bool, now_s: float) -> Fault | None:
        """Return why a frame can't be used; None if it is whole.

        Args:
            packet: the number of its packet.
            is_start: whether it depends on no earlier frame.
            is_corrupt: whether the decoder marked it as incomplete.
            now_s: the time of the call.
        """
        if is_corrupt:
            self.hit(packet, now_s)
        elif is_start:
            self._start(packet, packet, now_s, now_s)
        elif self._refreshed is not None and packet == self._refreshed.last:
            self._start(self._refreshed.first, packet, self._refreshed.since_s, now_s)
        if self._has_started and now_s - self._hit_s > self.longest_s:
            self._hits.clear()
        if any(hit <= packet for hit in self._hits):
            return "corrupt" if self._has_started else "waiting for a key frame"
        self._has_started = True
        self._dark_since_s = now_s if self._hits else None  # a hit may be known before the frames that it concerns
        return None

    def _start(self, first: int, last: int, since_s: float, now_s: float) -> None:
        """Forget the damage before a starting point, which spans the packets from `first` to `last`."""
        if any(first <= hit <= last for hit in self._hits):
            return
        self._hits = [hit for hit in self._hits if hit > last]
        if self._start_s is not None:
            self._distance_s = max(self._distance_s, now_s - self._start_s)
        self._start_s = since_s

    def lasts(self, now_s: float) -> bool:
        """Whether the stream should be opened again, because it has had no whole frame for too long."""
        limit_s = min(PATIENCE * self.longest_s, NO_PICTURE_S) if self._has_started else NO_PICTURE_S
        return self._dark_since_s is not None and now_s - self._dark_since_s > limit_s
