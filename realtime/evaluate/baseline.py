"""What our tracker is measured against: boxmot's ByteTrack as boxmot ships it, and frames without a look left alone.

Used by evaluate.tracking --against boxmot and --against naive. boxmot counts frames instead of seconds and returns its
filter's boxes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from boxmot import ByteTrack
from numpy.typing import NDArray

from realtime.evaluate.tracking import OurTracker
from realtime.track.boxmot import quiet
from realtime.types import Detections

# boxmot 25 comes with two sets of defaults: track_thresh, match_thresh, track_buffer (frames).
DEFAULTS: dict[str, tuple[float, float, int]] = {
    "boxmot constructor": (0.45, 0.8, 25),  # of the class
    "boxmot yaml": (0.6, 0.9, 30),  # of its configs/trackers/bytetrack.yaml
}
_ID = 4  # column of boxmot's output rows: x1 y1 x2 y2 id score class index-of-detection


class PlainByteTrack:
    """One boxmot ByteTrack over one sequence."""

    def __init__(self, track_thresh: float, match_thresh: float, track_buffer: int) -> None:
        quiet()
        self._tracker: Any = ByteTrack(  # Any: boxmot ships no types
            track_thresh=track_thresh, match_thresh=match_thresh, track_buffer=track_buffer
        )

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) of the people matched in this frame, in pixels."""
        rows = np.zeros((len(detections), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy, detections.scores
        out = np.asarray(self._tracker.update(rows), np.float64).reshape(-1, 8)
        return out[:, _ID].astype(np.int64), out[:, :_ID]


class Naive:
    """Our tracker, and between the looks (`detector.every`) the last look's boxes as they were, or none.

    Args:
        tracker: asked on looks alone.
        holds: keep the boxes.
    """

    def __init__(self, tracker: OurTracker, holds: bool) -> None:
        self._tracker = tracker
        self._holds = holds
        self._last: tuple[NDArray[np.int64], NDArray[np.float64]] = np.zeros(0, np.int64), np.zeros((0, 4))

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) of this frame, in pixels."""
        if detections.looked:
            self._last = self._tracker.follow(detections)
        elif not self._holds:
            return self._last[0][:0], self._last[1][:0]
        return self._last
