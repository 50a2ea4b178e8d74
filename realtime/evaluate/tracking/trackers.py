"""Baselines for our tracker: boxmot's ByteTrack as shipped, and tracking without extrapolation between detections.

`evaluate.tracking` runs them for `--against boxmot` and `--against naive`. Unlike our tracker, boxmot measures time in
frames instead of seconds and returns the boxes of its filter instead of the detections' boxes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from boxmot import ByteTrack
from numpy.typing import NDArray

from realtime.evaluate.tracking.command import OurTracker
from realtime.track.boxmot import quiet
from realtime.types import Detections

# boxmot 25 has two sets of defaults for track_thresh, match_thresh and track_buffer (frames).
DEFAULTS: dict[str, tuple[float, float, int]] = {
    "boxmot constructor": (0.45, 0.8, 25),  # defaults of the class
    "boxmot yaml": (0.6, 0.9, 30),  # boxmot/configs/trackers/bytetrack.yaml
}
_ID = 4  # column of boxmot's output rows: x1 y1 x2 y2 id score class index-of-detection


class PlainByteTrack:
    """boxmot's own ByteTrack for one sequence."""

    def __init__(self, track_thresh: float, match_thresh: float, track_buffer: int) -> None:
        quiet()
        self._tracker: Any = ByteTrack(  # Any: boxmot ships no types
            track_thresh=track_thresh, match_thresh=match_thresh, track_buffer=track_buffer
        )

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame.

        Returns:
            Ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4), in pixels, of the people matched in this frame.
        """
        rows = np.zeros((len(detections), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy, detections.scores
        out = np.asarray(self._tracker.update(rows), np.float64).reshape(-1, 8)
        return out[:, _ID].astype(np.int64), out[:, :_ID]


class Naive:
    """Our tracker without extrapolation: frames that `detector.every` skips repeat the last boxes or have none.

    Args:
        tracker: our tracker, which receives only the frames with a detection run.
        holds: repeat the last boxes; otherwise the skipped frames have no boxes.
    """

    def __init__(self, tracker: OurTracker, holds: bool) -> None:
        self._tracker = tracker
        self._holds = holds
        self._last: tuple[NDArray[np.int64], NDArray[np.float64]] = np.zeros(0, np.int64), np.zeros((0, 4))

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame.

        Returns:
            Ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) in pixels.
        """
        if detections.looked:
            self._last = self._tracker.follow(detections)
        elif not self._holds:
            return self._last[0][:0], self._last[1][:0]
        return self._last
