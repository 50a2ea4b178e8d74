"""When the detector runs: on every Nth frame of a camera.

detect/stage.py uses it. On the frames in between, track/coast.py extrapolates the tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.runtime.epochs import PerEpoch
from realtime.types import Frame


class Cadence:
    """Counts each camera's frames and selects every Nth one for detection.

    >>> import numpy as np
    >>> cadence = Cadence(every=3)
    >>> image = np.zeros((480, 640, 3), np.uint8)
    >>> frames = [Frame("cam0", 0, k, image, k / 30, 0, 0) for k in range(7)]
    >>> [frame.index for frame in frames if cadence.is_due(frame)]
    [0, 3, 6]

    Attributes:
        every: run the detector on every Nth frame, at least 1. A new value applies from the next frame on.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._cameras = PerEpoch(lambda frame: _Camera())

    def is_due(self, frame: Frame) -> bool:
        """Return whether the detector should run on this frame.

        Call it once per frame, with each camera's frames in order. The first frame of an epoch is always due, because
        no person is tracked yet.
        """
        camera = self._cameras.of(frame)
        due = camera.since is None or camera.since + 1 >= self.every
        camera.since = 0 if due or camera.since is None else camera.since + 1
        return due

    def forget(self, camera: str) -> None:
        """Drop the state of a camera: its next frame is due."""
        self._cameras.forget(camera)


@dataclass(slots=True)
class _Camera:
    since: int | None = None  # frames since the last detection; None before the first one
