"""The tracking stage: Detections -> Tracks.

Between the detector and the pose model. Who is who is boxmot's work (track/boxmot.py), by default ByteTrack: Zhang et
al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022. What holds here for every method:
the source's own time line, a buffer in seconds, ids from 1 that are never reused within a session, the detection's own
box instead of the filter's, and memory that stays bounded.
"""

from __future__ import annotations

import bisect
from collections import deque

import numpy as np

from realtime.config import TrackerConfig
from realtime.track.boxmot import Association, load_appearance
from realtime.track.coast import Coast
from realtime.types import Detections, Frame, Tracks


class TrackStage:
    """One tracker per camera, begun anew with each epoch."""

    name = "track"

    def __init__(self, config: TrackerConfig, device: str = "cpu") -> None:
        """Load the appearance network, if one is asked for.

        Args:
            config: the tracker's section.
            device: where that network runs.

        Raises:
            ConfigError: its weights can't be loaded.
        """
        self._config = config
        self._appearance = load_appearance(config, device)
        self._cameras: dict[str, _CameraTracker] = {}

    def process(self, batch: list[Detections]) -> list[Tracks]:
        """The identified people of each frame.

        Args:
            batch: frames of any cameras; those of one camera in order of time.

        Returns:
            Of a frame that the detector looked at, the people found, `measured` true. Of one that it didn't, those of
            the last look where they should be by now, `measured` false; boxmot isn't asked.
        """
        return [self._tracker(item.frame).update(item) for item in batch]

    def close(self) -> None:
        """Nothing to give up."""

    def _tracker(self, frame: Frame) -> _CameraTracker:
        tracker = self._cameras.get(frame.camera)
        if tracker is None or tracker.epoch != frame.epoch:
            first_id = tracker.next_id if tracker else 1
            association = Association(self._config, frame.size, self._appearance)
            tracker = _CameraTracker(association, self._config.buffer_s, frame.epoch, first_id)
            self._cameras[frame.camera] = tracker
        return tracker


class _CameraTracker:
    """Identities over one epoch of one camera.

    Attributes:
        epoch: of the frames it follows.
        next_id: the next identity to give.
    """

    def __init__(self, association: Association, buffer_s: float, epoch: int, first_id: int) -> None:
        self.epoch = epoch
        self.next_id = first_id
        self._association = association
        self._buffer_s = buffer_s
        self._ids: dict[int, int] = {}  # boxmot's id -> ours
        self._times_s: deque[float] = deque()  # of the last looks, as far back as the buffer reaches
        self._coast = Coast()

    def update(self, detections: Detections) -> Tracks:
        """The people of this frame; those matched in it in the detector's order."""
        if not detections.looked:
            return self._coast.at(detections.frame)
        tracks = self._matched(detections)
        self._coast.saw(tracks)
        return tracks

    def _matched(self, detections: Detections) -> Tracks:
        frame = detections.frame
        rows, theirs = self._association.update(detections, self._frames_within_buffer(frame.time_s))
        ended = self._forget_ids()
        if not len(rows):
            return Tracks.empty(frame, ended)
        return Tracks(
            frame,
            detections.xyxy[rows],
            detections.scores[rows],
            np.array([self._our_id(each) for each in theirs.tolist()], np.int64),
            np.ones(len(rows), np.bool_),
            None if detections.keypoints is None else detections.keypoints[rows],
            ended,
        )

    def _frames_within_buffer(self, now_s: float) -> int:
        """boxmot counts its buffer in frames: how many looks lie within the last `buffer_s` s, this one not counted."""
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
        known = self._association.known()
        ended = tuple(ours for theirs, ours in self._ids.items() if theirs not in known)
        self._ids = {theirs: ours for theirs, ours in self._ids.items() if theirs in known}
        return ended
