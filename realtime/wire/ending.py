# SPDX-License-Identifier: MIT
"""When the stream that a reader reads has ended, and when it is lost. Pure logic: time comes in as an argument.

Used by wire.subscriber. docs/wire.md ("When the stream ends") has the states and reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from realtime import wire
from realtime.wire.reading import MOST_CAMERAS, remember

# A camera has one of these states when it sends nothing more; with one of these reasons, more may follow.
FINAL = ("ended", "failed")
MORE_FOLLOWS = ("stopped", "removed")
# A reader may hear that one camera has ended before it hears of another one, which was added or has begun again. All
# cameras say their state every second, so it knows all of them once no state changed and one was repeated this often.
_REPEATS = 2
# A publisher that is connected but silent for this long (s) hangs: it sends a status every second.
_SILENT_S = 3.0


class LostError(TimeoutError):
    """The connection was lost before the stream ended, and nothing came for `lost_s`."""


@dataclass
class _Camera:
    state: str
    reason: str | None = None
    repeats: int = 0

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_removed(self) -> bool:
        return (self.state, self.reason) == ("ended", "removed")

    @property
    def is_over(self) -> bool:
        return self.state == "failed" or (self.state == "ended" and self.reason is None)


@dataclass
class _Publisher:
    """What one endpoint has said.

    Attributes:
        is_connected: whether the reader is connected to it now.
        closed: whether the connection was lost since the first message of the newest session.
        heard_s: monotonic time of its last message, or of the loss of its connection; None before its first message.
        sessions: all its sessions.
        cameras: its cameras in the newest one, by name.
    """

    is_connected: bool = False
    closed: bool = False
    heard_s: float | None = None
    sessions: dict[str, None] = field(default_factory=dict)
    cameras: dict[str, _Camera] = field(default_factory=dict)

    def knows_all(self, names: Sequence[str]) -> bool:
        """Whether the reader has heard of all its cameras."""
        if self.heard_s is None:
            return False
        is_named = bool(names) and all(name in self.cameras for name in names)
        is_repeated = any(camera.repeats >= _REPEATS for camera in self.cameras.values())
        return is_named or is_repeated or self.closed or not self.is_connected


class Ending:
    """The states of all cameras that a reader reads.

    >>> ending = Ending(publishers=1, cameras=["cam0"], lost_s=5.0)
    >>> ending.connection(0, True, now_s=0.0)
    >>> ending.is_over()
    False

    Args:
        publishers: number of endpoints.
        cameras: names of the cameras that are read; None: all.
        lost_s: a lost connection is waited for this long.

    Attributes:
        is_past: whether the stream ended before the last message that was heard, which belongs to another run.
    """

    def __init__(self, publishers: int, cameras: Sequence[str] | None, lost_s: float) -> None:
        self._names = cameras or ()
        self._lost_s = lost_s
        self._publishers = [_Publisher() for _ in range(publishers)]
        self.is_past = False

    def connection(self, publisher: int, is_connected: bool, now_s: float) -> None:
        """Take the news that a connection was made or lost.

        Args:
            publisher: position of its endpoint.
            is_connected: whether the reader is connected to it now.
            now_s: monotonic time.
        """
        each = self._publishers[publisher]
        each.is_connected = is_connected
        if not is_connected:
            each.closed = True
            each.heard_s = None if each.heard_s is None else now_s

    def is_new(self, publisher: int, message: wire.Message) -> bool:
        """Whether this is the first message of a session."""
        return message.session not in self._publishers[publisher].sessions

    def hear(self, publisher: int, message: wire.Message, now_s: float) -> None:
        """Take a message.

        Args:
            publisher: position of the endpoint that it came from.
            message: the message.
            now_s: monotonic time.
        """
        each = self._publishers[publisher]
        if self.is_new(publisher, message):
            if each.closed and self.is_over():
                self.is_past = True
                return
            each.cameras, each.closed = {}, False
        remember(each.sessions, message.session, None, MOST_CAMERAS)
        each.heard_s = now_s
        known = each.cameras.get(message.camera)
        if isinstance(message, wire.StatusMessage):
            is_same = known is not None and (known.state, known.reason) == (message.state, message.reason)
            known = _Camera(message.state, message.reason, known.repeats + 1 if known and is_same else 0)
            if not is_same:  # at the same moment, another camera may have been added, or have begun again
                for camera in each.cameras.values():
                    camera.repeats = 0
        elif known is None or (known.is_final and isinstance(message, wire.PoseMessage)):
            # It has started again if poses follow its end; its status was lost.
            known = _Camera("live" if isinstance(message, wire.PoseMessage) else "starting")
        remember(each.cameras, message.camera, known, MOST_CAMERAS)

    def is_over(self) -> bool:
        """Whether the stream has ended. It is only certain if no message waits that was not heard yet."""
        counted = [camera for camera in self._cameras() if not camera.is_removed]
        return (
            bool(counted)
            and all(camera.is_over for camera in counted)
            and not self._missing()
            and all(each.knows_all(self._names) for each in self._publishers)
        )

    def lost_at_s(self) -> float | None:
        """Return the monotonic time at which the reader gives up; None while there is no reason to."""
        lost = [each for each in self._publishers if self._is_cut_off(each)]
        if not lost or any(self._is_running(each) for each in self._publishers):
            return None
        return max(each.heard_s for each in lost if each.heard_s is not None) + self._lost_s

    def give_up(self, now_s: float) -> None:
        """Begin to wait for `lost_s` again."""
        for each in self._publishers:
            each.heard_s = None if each.heard_s is None else now_s

    def unheard(self) -> list[int]:
        """Return the positions of the endpoints from which nothing has come yet."""
        return [position for position, each in enumerate(self._publishers) if each.heard_s is None]

    def reason(self, now_s: float) -> str | None:
        """Say in words why no poses come from publishers that were heard; None if none was.

        Args:
            now_s: monotonic time.
        """
        heard = [each for each in self._publishers if each.heard_s is not None]
        missing = [f"nothing was heard of {name}: is the name right?" for name in self._missing()]
        if cut_off := [each for each in heard if self._is_cut_off(each)]:
            if missing and all(camera.is_final for each in cut_off for camera in each.cameras.values()):
                return f"the run is over, and {', '.join(missing)}"
            return (
                "the connection was lost before the stream ended: the publisher was killed or can't be reached, "
                "or this reader was too slow and missed the last messages"
            )
        connected = [each for each in heard if each.is_connected]
        silent_s = max((now_s - each.heard_s for each in connected if each.heard_s is not None), default=0.0)
        if silent_s > _SILENT_S:
            return f"connected, but silent for {silent_s:.0f} s: is the publisher suspended, or loading its models?"
        states = [
            f"{name} is {camera.state}" + (f" ({camera.reason})" if camera.reason else "")
            for each in heard
            for name, camera in each.cameras.items()
            if camera.state != "live"
        ]
        states += missing
        if heard and not connected:
            return f"the run is over ({', '.join(states)}), and the next one has not begun"
        return ", ".join(states) or ("its cameras are live" if heard else None)

    def _cameras(self) -> list[_Camera]:
        return [camera for each in self._publishers for camera in each.cameras.values()]

    def _missing(self) -> list[str]:
        """The names of cameras that are read, but were not heard of."""
        heard = {name for each in self._publishers for name in each.cameras}
        return [name for name in self._names if name not in heard]

    def _is_cut_off(self, each: _Publisher) -> bool:
        """Whether the connection was lost before the cameras had ended, for whatever reason."""
        if each.is_connected or each.heard_s is None:
            return False
        if not all(camera.is_final for camera in each.cameras.values()):
            return True
        # The run is over, and a camera was missing in it.
        is_over = all(camera.is_over or camera.is_removed for camera in self._cameras())
        return is_over and bool(self._missing()) and all(each.heard_s is not None for each in self._publishers)

    def _is_running(self, each: _Publisher) -> bool:
        is_heard = each.is_connected and each.heard_s is not None
        return is_heard and not all(camera.is_final for camera in each.cameras.values())
