"""The wall clock of captured frames: the camera's own if it is usable, otherwise this machine's at the arrival.

Used by capture.camera: Picture -> Frame.captured_unix_ns and Frame.clock.
"""

from __future__ import annotations

import logging
import time

from realtime.types import Clock

log = logging.getLogger(__name__)

# A camera clock that is off by more than this was probably never set, and would make `captured_ns` misleading.
CLOCK_OFF_S = 60.0
# A frame can't be captured after it arrives. A clock that is ahead by more than this is wrong: a proxy invents the
# sender reports, or the camera isn't synchronised. A smaller difference between two machines' clocks is normal.
AHEAD_S = 0.5
# A clock that is this far behind is still used, because a slow connection looks the same, but a warning is logged.
BEHIND_S = 2.0


class WallClock:
    """Decides for each frame by which clock its capture time is given, and warns if the camera's clock is off.

    A clock that proved to be ahead is not used again until the camera is reopened, so that `clock` doesn't alternate.

    >>> clock = WallClock("door", trusts_camera=True)
    >>> clock.read(None, captured_unix_s=50.0, arrived_unix_s=50.1)
    (50.0, 'arrival')
    >>> clock.read(49.98, captured_unix_s=50.0, arrived_unix_s=50.1)
    (49.98, 'rtcp')

    Args:
        name: the camera's name.
        trusts_camera: False to use arrival times only.
    """

    def __init__(self, name: str, trusts_camera: bool) -> None:
        self._name = name
        self._trusts_camera = trusts_camera
        self._is_off = False
        self._is_ahead = False
        self._warned: set[str] = set()

    def reopened(self) -> None:
        """Trust the camera's clock again, because the camera was opened again."""
        self._is_ahead = False

    def read(
        self, wall_s: float | None, captured_unix_s: float, arrived_unix_s: float, clock: Clock = "rtcp"
    ) -> tuple[float, Clock]:
        """Return the Unix time (s) of the capture, not later than the arrival, and the clock that it comes from.

        Args:
            wall_s: the capture by the camera's own clock, in seconds of Unix time; None if the camera doesn't send it.
            captured_unix_s: the capture by our clock, estimated from the arrival.
            arrived_unix_s: the arrival by our clock.
            clock: which clock `wall_s` is.
        """
        if wall_s is None or not self._trusts_camera:
            return captured_unix_s, "arrival"
        whose = "playlist" if clock == "playlist" else "camera"
        off_s = wall_s - captured_unix_s
        was_off, self._is_off = self._is_off, abs(off_s) > CLOCK_OFF_S
        if self._is_off:
            if not was_off:
                self._warn(f"%s: the {whose}'s clock is %.0f s off, using arrival time instead; set the {whose}'s "
                           "clock", off_s)  # fmt: skip
            return captured_unix_s, "arrival"
        self._is_ahead = self._is_ahead or wall_s > arrived_unix_s + AHEAD_S
        if self._is_ahead:
            self._warn_once(f"%s: the {whose}'s clock is %.1f s ahead, using arrival time instead; set the {whose}'s "
                            "clock or that of this machine", off_s)  # fmt: skip
        elif clock == "rtcp" and off_s < -BEHIND_S:
            self._warn_once("%s: the camera's clock is %.1f s behind, and so are its capture times; set the camera's "
                            "clock, or set clock: arrival", -off_s)  # fmt: skip
        if self._is_ahead or wall_s > arrived_unix_s:
            return captured_unix_s, "arrival"
        return wall_s, clock

    def _warn_once(self, text: str, off_s: float) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text, off_s)

    def _warn(self, text: str, off_s: float) -> None:
        log.warning(text, self._name, off_s, extra={"camera": self._name})


def unix_s(mono_s: float) -> float:
    """Return the Unix time (s) of a moment given in monotonic seconds, by this machine's present clock."""
    return time.time() - (time.monotonic() - mono_s)
