"""When the detector runs: on every Nth frame of an active camera, and less often on a still or empty one.

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
        no person is tracked yet, and so is the first one after a wake-up (`Motion.look_before_s`).
        """
        camera, motion = self._cameras.of(frame), frame.motion
        due = camera.looked_s is None or (motion is not None and camera.looked_s < motion.look_before_s)
        if motion is None or motion.activity == "active" or motion.has_unexplained:
            due = due or camera.since + 1 >= self.every
        camera.since = 0 if due else camera.since + 1
        camera.looked_s = frame.time_s if due else camera.looked_s
        return due

    def forget(self, camera: str) -> None:
        """Drop the state of a camera: its next frame is due."""
        self._cameras.forget(camera)


@dataclass(slots=True)
class _Camera:
    looked_s: float | None = None  # time of the last frame on which the detector ran; None before the first one
    since: int = 0  # frames since then
