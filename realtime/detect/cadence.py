"""Which frames the detector looks at: each `every`-th one of a camera.

Used by detect/yolo.py. In between, people are where their tracks lead (track/coast.py).
"""

from __future__ import annotations

from realtime.types import Frame


class Cadence:
    """Counts the frames of each camera.

    Attributes:
        every: 1 or more; 1: every frame is looked at. May be changed at any time, from the next frame on it counts.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._last: dict[str, tuple[int, int]] = {}  # by camera: its epoch, and frames since the last look

    def is_due(self, frame: Frame) -> bool:
        """Whether to look at this frame. To be asked once for each frame, those of one camera in order.

        The first frame of an epoch always is: nobody is known in it.
        """
        epoch, since = self._last.get(frame.camera, (frame.epoch, self.every))
        due = epoch != frame.epoch or since + 1 >= self.every
        self._last[frame.camera] = frame.epoch, 0 if due else since + 1
        return due
