"""ByteTrack association with boxmot's implementation: Detections -> Tracks. The only file that imports boxmot.

Between the detector and the pose model. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection
Box", ECCV 2022. What we add to boxmot 25: the source's own time line, a buffer in seconds, ids from 1 that are never
reused within a session, the detection's own box instead of the filter's, and memory that stays bounded.
"""

from __future__ import annotations

import bisect
import logging
from collections import deque
from typing import Any

import numpy as np
from boxmot import ByteTrack

from realtime.config import TrackerConfig
from realtime.types import Detections, Tracks

# boxmot never trims this list and walks it on every frame; it needs the last few entries only (measured: 64 of them
# give the same output over 800 frames, none does not).
_REMOVED_KEPT = 200
# Columns of boxmot's output rows: x1 y1 x2 y2 id score class index-of-detection.
_ID, _DETECTION = 4, 7


class TrackStage:
    """One ByteTrack per camera, begun anew with each epoch."""

    name = "track"

    def __init__(self, config: TrackerConfig) -> None:
        # boxmot prints its parameters through a handler of its own: let our log decide.
        theirs = logging.getLogger("boxmot")
        theirs.handlers.clear()
        theirs.setLevel(logging.WARNING)
        theirs.propagate = True
        self._config = config
        self._cameras: dict[str, _CameraTracker] = {}

    def process(self, batch: list[Detections]) -> list[Tracks]:
        """The identified people of each frame."""
        return [self._tracker(item).update(item) for item in batch]

    def close(self) -> None:
        """Nothing to give up."""

    def _tracker(self, detections: Detections) -> _CameraTracker:
        frame = detections.frame
        tracker = self._cameras.get(frame.camera)
        if tracker is None or tracker.epoch != frame.epoch:
            first_id = tracker.next_id if tracker else 1
            tracker = self._cameras[frame.camera] = _CameraTracker(self._config, frame.epoch, first_id)
        return tracker


class _CameraTracker:
    """ByteTrack over one epoch of one camera.

    Attributes:
        epoch: of the frames it follows.
        next_id: the next identity to give.
    """

    def __init__(self, config: TrackerConfig, epoch: int, first_id: int) -> None:
        self.epoch = epoch
        self.next_id = first_id
        self._buffer_s = config.buffer_s
        self._ids: dict[int, int] = {}  # boxmot's id -> ours
        self._times_s: deque[float] = deque()  # of the last frames, as far back as the buffer reaches
        self._tracker: Any = ByteTrack(  # Any: boxmot ships no types
            min_conf=config.low_score,
            track_thresh=config.track_score,
            match_thresh=1.0 - config.match_iou,  # boxmot's is a distance: 1 - IoU x score
            variable_dt=True,
        )

    def update(self, detections: Detections) -> Tracks:
        """The people matched in this frame, in the detector's order."""
        frame = detections.frame
        self._tracker.max_time_lost = self._frames_within_buffer(frame.time_s)
        rows = np.zeros((len(detections), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy, detections.scores
        out = np.asarray(self._tracker.update(rows, timestamp_s=frame.time_s), np.float64).reshape(-1, 8)
        del self._tracker.removed_stracks[:-_REMOVED_KEPT]
        ended = self._forget_ids()
        if not len(out):
            return Tracks.empty(frame, ended)
        index = out[:, _DETECTION].astype(np.int64)
        order = np.argsort(index)
        index = index[order]
        ids = np.array([self._our_id(int(theirs)) for theirs in out[order, _ID]], np.int64)
        return Tracks(
            frame,
            detections.xyxy[index],
            detections.scores[index],
            ids,
            np.ones(len(ids), np.bool_),
            None if detections.keypoints is None else detections.keypoints[index],
            ended,
        )

    def _frames_within_buffer(self, now_s: float) -> int:
        """boxmot counts its buffer in frames: how many lie within the last `buffer_s` seconds, this one not counted."""
        self._times_s.append(now_s)
        oldest = bisect.bisect_left(self._times_s, now_s - self._buffer_s)
        for _ in range(oldest):
            self._times_s.popleft()
        return len(self._times_s) - 1

    def _our_id(self, theirs: int) -> int:
        if theirs not in self._ids:
            self._ids[theirs] = self.next_id
            self.next_id += 1
        return self._ids[theirs]

    def _forget_ids(self) -> tuple[int, ...]:
        """Keep the identities that boxmot can still return; the others, which have ended."""
        known = {track.id for track in (*self._tracker.active_tracks, *self._tracker.lost_stracks)}
        ended = tuple(ours for theirs, ours in self._ids.items() if theirs not in known)
        self._ids = {theirs: ours for theirs, ours in self._ids.items() if theirs in known}
        return ended
