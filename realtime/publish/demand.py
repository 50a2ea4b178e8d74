"""Which pictures are subscribed to, and when the next of each is due.

Used by publish.pictures.
"""

from __future__ import annotations

import math

from realtime import wire

# Cameras at the widest subscribed width share this many pictures per second, so that a single camera in the large view
# moves smoothly.
_WIDEST_FPS = 30.0
_Picture = tuple[str, wire.Width]  # camera and width


class Demand:
    """The pictures that readers want. One thread updates it; any thread may ask `is_due`.

    >>> demand = Demand(fps=5.0)
    >>> demand.update({("yard", "320"), ("door", "320"), ("door", "640")}, now_s=0.0)
    >>> demand.take("door", now_s=100.0)
    ['320', '640']
    >>> demand.is_due("door", now_s=100.02), demand.take("door", now_s=100.05), demand.take("door", now_s=100.21)
    (False, ['640'], ['320', '640'])
    >>> demand.is_due("other", now_s=101.0)
    False
    """

    def __init__(self, fps: float) -> None:
        """Start without any demand.

        Args:
            fps: pictures per second of a camera at each width, at most (`publish.pictures_fps`).
        """
        self._fps = fps
        self._every_s: dict[_Picture, float] = {}
        # Also those of pictures that were wanted a moment ago: a reader that comes and goes gets no more than others.
        self._next_s: dict[_Picture, float] = {}
        self._due_s: dict[str, float] = {}  # replaced, never changed in size, because other threads read it

    def update(self, wanted: set[_Picture], now_s: float) -> None:
        """Replace the pictures that are subscribed to.

        Args:
            wanted: camera and width of each.
            now_s: monotonic time (s).
        """
        if wanted == self._every_s.keys():
            return
        widest = max((wire.WIDTHS.index(width) for _, width in wanted), default=0)
        sharers = sum(wire.WIDTHS.index(width) == widest for _, width in wanted)
        self._every_s = {
            (camera, width): 1
            / (max(self._fps, _WIDEST_FPS / sharers) if wire.WIDTHS.index(width) == widest else self._fps)
            for camera, width in wanted
        }
        self._next_s = {
            picture: min(next_s, now_s + self._every_s.get(picture, math.inf))
            for picture, next_s in self._next_s.items()
            if picture in wanted or next_s > now_s
        }
        due_s: dict[str, float] = {}
        for camera, width in wanted:
            next_s = self._next_s.get((camera, width), now_s)
            due_s[camera] = min(next_s, due_s.get(camera, next_s))
        self._due_s = due_s

    def is_due(self, camera: str, now_s: float) -> bool:
        """Whether a picture of this camera is wanted now. Takes well under a microsecond, and never waits."""
        due_s = self._due_s.get(camera)
        return due_s is not None and now_s >= due_s

    def take(self, camera: str, now_s: float) -> list[wire.Width]:
        """Return the widths in which a picture is due, narrowest first. They are due again after their interval.

        Args:
            camera: name of the camera.
            now_s: when the picture was offered; monotonic time (s).
        """
        widths = [width for width in wire.WIDTHS if (camera, width) in self._every_s]
        due = [width for width in widths if self._next_s.get((camera, width), now_s) <= now_s]
        for width in due:
            # From the moment when it was due, so that frames that come a little early or late keep the rate.
            every_s, due_s = self._every_s[camera, width], self._next_s.get((camera, width), now_s)
            self._next_s[camera, width] = max(due_s + every_s, now_s + every_s / 2)
        if widths:
            self._due_s[camera] = min(self._next_s.get((camera, width), now_s) for width in widths)
        return due
