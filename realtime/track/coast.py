"""Extrapolation of boxes to frames on which the detector does not run (`detector.every`).

track/stage.py uses it after the association. It works with every tracking method, because it needs only the tracks of
the frames with a detection run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import carried, speed_of
from realtime.types import Frame, Tracks

Floats = NDArray[np.float64]

# A person's speed is fitted to the boxes of at most this many consecutive detection runs. On the MOT sequences, 3 to 6
# are equally good; with 2, the speed follows the jitter of the boxes.
LOOKS = 4
# Extrapolation ends this long after the last detection, because speeds are too uncertain by then. The boxes stay there
# until the next detection: a skipped detection ends no track.
MOST_S = 1.0
# A person counts as gone once the visible part of their box is less than this wide or high.
LEAST_VISIBLE_PX = 2.0


class Coast:
    """Extrapolates the boxes of the last detection at constant velocity, for one epoch of a camera.

    x1, y1, x2 and y2 are extrapolated linearly, so both the centre and the size of a box change at constant speed. The
    box of a person who walks out of the frame ends at the frame's border, so it becomes narrower until nothing is left.
    Only people seen in the last detection are extrapolated; lost ones are not.

    >>> image, coast = np.zeros((480, 640, 3), np.uint8), Coast()
    >>> for time_s, x in [(0.0, 100), (0.1, 110)]:
    ...     box, ids = np.float32([[x, 100, x + 60, 280]]), np.array([1])
    ...     coast.saw(Tracks(Frame("cam0", 0, 0, image, time_s, 0, 0), box, np.float32([0.9]), ids, np.array([True])))
    >>> tracks = coast.at(Frame("cam0", 0, 0, image, 0.2, 0, 0))
    >>> tracks.xyxy.round(3).tolist(), tracks.track_ids.tolist(), tracks.measured.tolist()
    ([[120.0, 100.0, 180.0, 280.0]], [1], [False])
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []  # of the last detection runs, oldest first
        self._boxes: dict[int, list[Floats]] = {}  # by id: boxes (4,) in consecutive runs, oldest first
        self._scores = np.zeros(0, np.float32)
        self._keypoints: NDArray[np.float32] | None = None
        self._labels: NDArray[np.str_] | None = None
        self._is_at_rest = False  # whether the camera was not active at the last detection run

    def saw(self, tracks: Tracks) -> None:
        """Record the tracks of a frame on which the detector ran.

        On a still camera, runs are up to a second apart, too far to tell the speed of a person who starts to walk.
        """
        if self._is_at_rest:
            self._times_s, self._boxes = [], {}
        motion = tracks.frame.motion
        self._is_at_rest = motion is not None and motion.activity != "active"
        self._times_s = [*self._times_s, tracks.frame.time_s][-LOOKS:]
        self._boxes = {
            track_id: [*self._boxes.get(track_id, ()), box][-LOOKS:]
            for track_id, box in zip(tracks.track_ids.tolist(), tracks.xyxy.astype(np.float64), strict=True)
        }
        self._scores, self._keypoints, self._labels = tracks.scores, tracks.keypoints, tracks.labels

    def at(self, frame: Frame) -> Tracks:
        """Extrapolate the people of the last detection to a later frame.

        Args:
            frame: a frame without a detection run.

        Returns:
            Tracks with `measured` False. People who have left the frame are dropped. Boxes move for at most MOST_S
            after the last detection, and not at all if the camera is not active (`Frame.motion`).
        """
        if not self._boxes:
            return Tracks.empty(frame, labels=self._labels)
        width, height = frame.size
        is_active = frame.motion is None or frame.motion.activity == "active"
        until_s = min(frame.time_s, self._times_s[-1] + (MOST_S if is_active else 0.0))
        moved = np.stack([self._ahead(np.stack(boxes), until_s) for boxes in self._boxes.values()])
        xyxy = np.clip(moved, 0, (width, height, width, height)).astype(np.float32)
        inside = (xyxy[:, 2:] - xyxy[:, :2] >= LEAST_VISIBLE_PX).all(1)
        keypoints = self._keypoints
        if keypoints is not None:
            last = np.stack([boxes[-1] for boxes in self._boxes.values()])
            keypoints = carried(keypoints, last.astype(np.float32), moved.astype(np.float32))[inside]
        return Tracks(
            frame,
            xyxy[inside],
            self._scores[inside],
            np.array(list(self._boxes), np.int64)[inside],
            np.zeros(np.count_nonzero(inside), np.bool_),
            keypoints,
            labels=None if self._labels is None else self._labels[inside],
        )

    def _ahead(self, boxes: Floats, now_s: float) -> Floats:
        """Extrapolate one person's box to `now_s`.

        Args:
            boxes: float64 (T, 4), the person's boxes in the last T detection runs, oldest first.
            now_s: time on the source's timeline.

        Returns:
            float64 (4,): the last box, extrapolated at the velocity that fits all T boxes best.
        """
        times_s = np.array(self._times_s[-len(boxes) :])
        ahead: Floats = boxes[-1] + speed_of(times_s, boxes) * (now_s - times_s[-1])
        return ahead
