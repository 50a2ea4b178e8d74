"""The tracking stage: Detections -> Tracks.

This stage sits between the detector and the pose model. By default, our own association assigns detections to tracks
(track/association.py), and with the other methods boxmot does (track/boxmot.py). Whatever the method, the stage
guarantees:

- time is measured on the source's own timeline, and the buffer of lost tracks is in seconds
- ids start at 1 and are never reused within a session
- a track never changes its class, because detections of different classes are never compared
- the box is the detection's own, not the filter's estimate
- memory stays bounded
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.config import TrackerConfig
from realtime.runtime.epochs import PerEpoch
from realtime.track.association import Association, Rules
from realtime.track.coast import Coast
from realtime.types import Detections, Frame, Tracks

Looked = Callable[[Tracks, bool], None]


class Associates(Protocol):
    """Assigns the detections of one epoch of a camera to tracks."""

    def update(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Assign the detections of the next frame to tracks.

        Returns:
            Two arrays, int64 (M,): the rows of `detections` that belong to a published track, in ascending order, and
            the track id of each, unique in this epoch.
        """

    def known(self) -> set[int]:
        """Return the ids of all tracks that may still be returned: lost ones, and newcomers not published yet."""


class TrackStage:
    """Tracks the people of each camera; each epoch of a camera gets a new tracker.

    >>> stage, image = TrackStage(TrackerConfig()), np.zeros((480, 640, 3), np.uint8)
    >>> for k in range(3):
    ...     box = np.float32([[100 + 5 * k, 100, 160 + 5 * k, 280]])
    ...     detections = Detections(Frame("cam0", 0, k, image, k / 25, 0, 0), box, np.float32([0.9]))
    ...     tracks = stage.process([detections])[0]
    >>> tracks.track_ids.tolist(), tracks.xyxy.tolist()
    ([1], [[110.0, 100.0, 170.0, 280.0]])

    Attributes:
        looked: called with the tracks of each frame on which the detector ran, and whether these are all people whom
            the tracker knows: no one is lost, and no one is new and not confirmed yet (runtime.activity).
    """

    name = "track"

    def __init__(self, config: TrackerConfig, device: str = "cpu") -> None:
        """Load the appearance network if `tracker.reid` is set.

        Args:
            config: the tracker's section.
            device: device of the appearance network, such as "cpu" or "cuda:0".

        Raises:
            ConfigError: the weights of the network can't be loaded.
        """
        self.looked: Looked = lambda tracks, is_settled: None
        self._associate = _associations(config, device)
        # By camera; outside its state, because ids are not reused when the state is dropped.
        self._new_ids: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self._cameras = PerEpoch(self._new_tracker)

    def process(self, batch: list[Detections]) -> list[Tracks]:
        """Assign ids to the people of each frame.

        Args:
            batch: detections of any cameras; each camera's in chronological order.

        Returns:
            One Tracks per item, in order. If the detector ran on the frame, it holds the detections that belong to a
            track, with `measured` True. Otherwise it holds the people of the last detection at their extrapolated
            positions, with `measured` False; the association does not see such a frame.
        """
        return [self._update(item) for item in batch]

    def forget(self, camera: str) -> None:
        """Drop the tracker of a camera, once no frame of it is in the pipeline. Its ids are still not reused."""
        self._cameras.forget(camera)

    def close(self) -> None:
        """Do nothing, because there are no resources to release."""

    def _update(self, item: Detections) -> Tracks:
        tracker = self._cameras.of(item.frame)
        tracks = tracker.update(item)
        if item.looked:
            self.looked(tracks, tracker.is_settled)
        return tracks

    def _new_tracker(self, frame: Frame) -> _CameraTracker:
        return _CameraTracker(self._associate(frame), self._new_ids[frame.camera])


def _associations(config: TrackerConfig, device: str) -> Callable[[Frame], Associates]:
    """Return a function that creates the association of an epoch, from its first frame."""
    if config.method == "bytetrack":
        rules = Rules.of(config)
        return lambda frame: Association(rules)
    from realtime.track.boxmot import BoxmotAssociation, load_appearance  # loads torch

    appearance = load_appearance(config, device)
    return lambda frame: BoxmotAssociation(config, frame.size, appearance)


class _CameraTracker:
    """The tracker of one epoch of one camera. New tracks take their ids from `new_ids`.

    Attributes:
        is_settled: whether all people whom the tracker knows were found in the last detection run.
    """

    def __init__(self, association: Associates, new_ids: Iterator[int]) -> None:
        self._association = association
        self._new_ids = new_ids
        self._ids: dict[int, int] = {}  # the association's id -> the published one
        self._coast = Coast()
        self.is_settled = True

    def update(self, detections: Detections) -> Tracks:
        """Return the people of the next frame; detected people keep the order of the detections."""
        if not detections.looked:
            return self._coast.at(detections.frame)
        tracks = self._matched(detections)
        self._coast.saw(tracks)
        return tracks

    def _matched(self, detections: Detections) -> Tracks:
        frame, labels = detections.frame, detections.labels
        rows, theirs = self._association.update(detections)
        known = self._association.known()
        self.is_settled = known == set(theirs.tolist())
        ended = self._forget_ids(known)
        if not len(rows):
            return Tracks.empty(frame, ended, None if labels is None else labels[:0])
        return Tracks(
            frame,
            detections.xyxy[rows],
            detections.scores[rows],
            np.array([self._our_id(each) for each in theirs.tolist()], np.int64),
            np.ones(len(rows), np.bool_),
            None if detections.keypoints is None else detections.keypoints[rows],
            ended,
            None if labels is None else labels[rows],
        )

    def _our_id(self, theirs: int) -> int:
        if theirs not in self._ids:
            self._ids[theirs] = next(self._new_ids)
        return self._ids[theirs]

    def _forget_ids(self, known: set[int]) -> tuple[int, ...]:
        """Forget the ids of tracks that the association no longer knows, and return these ids: they have ended."""
        ended = tuple(ours for theirs, ours in self._ids.items() if theirs not in known)
        self._ids = {theirs: ours for theirs, ours in self._ids.items() if theirs in known}
        return ended
