"""The trackers that the command `tracking` scores: the program's own, and those that `--against` adds.

`libraries` has those of other libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from realtime.config import AppConfig, TrackerConfig, TrackerMethod
from realtime.evaluate.tracking.libraries import boxmot_bytetracks, libraries
from realtime.evaluate.tracking.mot import Boxes
from realtime.pose.stage import with_keypoints
from realtime.runtime.activity import Activities
from realtime.skeleton import COCO17
from realtime.track.relink import RelinkStage
from realtime.track.stage import TrackStage
from realtime.types import Detections

OURS = "ours"


class Tracker(Protocol):
    """Anything that tracks the people of one sequence, frame by frame."""

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame.

        Returns:
            Ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) in pixels.
        """


class OurTracker:
    """The program's tracking stage for one sequence, with re-identification by the detections' keypoints or boxes.

    Args:
        config: the tracker's section.
        activities: receives the detected people, for a motion gate (`activity.mode on`); None: no gate.
    """

    def __init__(self, config: TrackerConfig, activities: Activities | None = None) -> None:
        self._stage = TrackStage(config)
        if activities is not None:
            self._stage.looked = activities.looked
        self._relink = RelinkStage(config.relink_s, COCO17.sigmas) if config.relink_s else None

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame, as described in `Tracker.follow`."""
        tracks = self._stage.process([detections])[0]
        keypoints = np.zeros((len(tracks), 0, 3), np.float32) if tracks.keypoints is None else tracks.keypoints
        poses = with_keypoints(tracks, keypoints)
        if self._relink is not None:
            poses = self._relink.process([poses])[0]
        return poses.track_ids, poses.xyxy.astype(np.float64)


class Timed:
    """A tracker whose time per frame is measured.

    Attributes:
        seconds: duration of each call of `follow`, in order.
        looks: number of frames on which the detector ran.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.looks = 0
        self.seconds: list[float] = []

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame and record the time this takes."""
        self.looks += detections.looked
        began_s = time.perf_counter()
        tracks = self._tracker.follow(detections)
        self.seconds.append(time.perf_counter() - began_s)
        return tracks


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


def tracker_makers(
    config: AppConfig, against: str | None, has_pictures: bool, activities: Activities | None = None
) -> dict[str, Callable[[], Tracker]]:
    """Return functions that create a new tracker, by the tracker's name in the table.

    Args:
        config: the configuration.
        against: the value of the flag `--against`.
        has_pictures: whether the frames hold images.
        activities: receives the people whom our tracker finds, for a motion gate; None: no gate.
    """
    makers: dict[str, Callable[[], Tracker]] = {OURS: partial(OurTracker, config.tracker, activities)}
    if against == "methods":
        others = [method for method in get_args(TrackerMethod) if method != config.tracker.method]
        changed = {method: {**config.tracker.model_dump(), "method": method, "reid": None} for method in others}
        makers |= {method: partial(OurTracker, TrackerConfig(**keys)) for method, keys in changed.items()}
    elif against == "naive":
        makers["nothing between"] = lambda: Naive(OurTracker(config.tracker), holds=False)
        makers["held between"] = lambda: Naive(OurTracker(config.tracker), holds=True)
    elif against == "no-relink":
        makers["without relink"] = partial(OurTracker, config.tracker.model_copy(update={"relink_s": 0.0}))
    elif against == "boxmot":
        makers |= boxmot_bytetracks()
    elif against == "libraries":
        makers |= libraries(has_pictures)
    return makers


def run_trackers(detections: Iterable[Detections], trackers: Mapping[str, Tracker]) -> dict[str, dict[int, Boxes]]:
    """Run every tracker on the same detections, frame by frame.

    Args:
        detections: detections of the kept frames, in order; `frame.index` is the frame number minus 1.
        trackers: new trackers by name.

    Returns:
        For each tracker name, a mapping from frame number to the tracks of that frame.
    """
    tracks: dict[str, dict[int, Boxes]] = {name: {} for name in trackers}
    for item in detections:
        for name, tracker in trackers.items():
            ids, xyxy = tracker.follow(item)
            tracks[name][item.frame.index + 1] = ids, np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
    return tracks
