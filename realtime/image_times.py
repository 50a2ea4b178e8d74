"""The epoch and the time of each image that a caller of the library hands over. Used by realtime.tracker."""

from __future__ import annotations

import math
import numbers
import time


class ImageTimes:
    """Gives each image its epoch and its time.

    >>> times = ImageTimes()
    >>> times.place((640, 480), 0.0), times.place((640, 480), 0.04), times.place((1280, 720), 0.0)
    ((0, 0.0), (0, 0.04), (1, 0.0))
    """

    def __init__(self) -> None:
        self._epoch, self._last_s = -1, 0.0
        self._size: tuple[int, int] | None = None
        self._is_timed = False

    def restart(self) -> None:
        """Start a new epoch with the next image."""
        self._size = None

    def place(self, size: tuple[int, int], time_s: float | None) -> tuple[int, float]:
        """Return the epoch and the time (s) of the next image; `size` is its width and height.

        Raises:
            ValueError: the time is no finite number, it does not rise, or only some images have one.
        """
        is_timed = time_s is not None
        now_s = time.perf_counter() if time_s is None else _seconds(time_s)
        if size != self._size:
            self._epoch += 1
        elif is_timed != self._is_timed:
            raise ValueError("time_s: expected a time for all images or for none; call reset() before a change")
        elif not now_s > self._last_s:
            raise ValueError(
                f"time_s: expected more than {self._last_s!r}, the time of the image before, got {now_s!r}; "
                "call reset() before another video"
            )
        self._size, self._is_timed, self._last_s = size, is_timed, now_s
        return self._epoch, now_s


def _seconds(time_s: object) -> float:
    try:
        if isinstance(time_s, numbers.Real) and math.isfinite(seconds := float(time_s)):
            return seconds
    except OverflowError:
        raise ValueError("time_s: expected a finite number of seconds, got one that is too large") from None
    raise ValueError(f"time_s: expected a finite number of seconds, got {time_s!r}")
