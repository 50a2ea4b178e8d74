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


class WallClock:
    """Decides for each frame which clock tells when it was captured. Logs once when the camera's clock is off.

    Args:
        name: the camera's name.
        trusts_camera: False to use arrival times only.
    """

    def __init__(self, name: str, trusts_camera: bool) -> None:
        self._name = name
        self._trusts_camera = trusts_camera
        self._is_off = False

    def read(self, wall_s: float | None, captured_s: float) -> tuple[int, Clock]:
        """Return the Unix time (ns) of the capture and its clock, "rtcp" or "arrival".

        Args:
            wall_s: the capture by the camera's own clock, in seconds of Unix time; None if the camera doesn't send it.
            captured_s: the capture in monotonic seconds, estimated from the arrival.
        """
        arrival_ns = time.time_ns() - round((time.monotonic() - captured_s) * 1e9)
        if wall_s is None or not self._trusts_camera:
            return arrival_ns, "arrival"
        off_s = wall_s - arrival_ns / 1e9
        was_off, self._is_off = self._is_off, abs(off_s) > CLOCK_OFF_S
        if not self._is_off:
            return round(wall_s * 1e9), "rtcp"
        if not was_off:
            warning = "%s: the camera's clock is %.0f s off, using arrival time instead; set the camera's clock"
            log.warning(warning, self._name, off_s)
        return arrival_ns, "arrival"
