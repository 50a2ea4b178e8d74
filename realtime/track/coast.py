"""Where people are in a frame that the detector did not look at (`detector.every`): their boxes go on as they went.

Used by track/stage.py, for any method of association: it sees nothing but the tracks of the frames looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import carried, speed_of
from realtime.types import Frame, Tracks

Floats = NDArray[np.float64]

# A speed is fitted to so many looks in a row. On MOT sequences 3 to 6 are equally good, 2 follow the boxes' flicker.
LOOKS = 4
# Longer than this after the last look nobody can say where people are.
MOST_S = 1.0
# What is left of somebody in the picture: those of whom there is less have gone.
LEAST_VISIBLE_PX = 2.0


class Coast:
    """The people of the last look at one epoch of a camera, each at constant velocity of centre and size.

    Linear in all four corners' coordinates, so that who walks out of the picture, whose box ends at its border, becomes
    narrower until nothing is left. Only those of the last look go on: who is lost, and who went, is not.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []  # of the last looks, the latest last
        self._boxes: dict[int, list[Floats]] = {}  # by id: its boxes (4,) in the last looks in a row, the latest last
        self._scores = np.zeros(0, np.float32)
        self._keypoints: NDArray[np.float32] | None = None

    def saw(self, tracks: Tracks) -> None:
        """Take the people of a frame that was looked at."""
        self._times_s = [*self._times_s, tracks.frame.time_s][-LOOKS:]
        self._boxes = {
            track_id: [*self._boxes.get(track_id, ()), box][-LOOKS:]
            for track_id, box in zip(tracks.track_ids.tolist(), tracks.xyxy.astype(np.float64), strict=True)
        }
        self._scores, self._keypoints = tracks.scores, tracks.keypoints

    def at(self, frame: Frame) -> Tracks:
        """The same people in a later frame, `measured` false; those who have left the picture by then are left out."""
        if not self._boxes or frame.time_s - self._times_s[-1] > MOST_S:
            return Tracks.empty(frame)
        width, height = frame.size
        moved = np.stack([self._ahead(np.stack(boxes), frame.time_s) for boxes in self._boxes.values()])
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
        )

    def _ahead(self, boxes: Floats, now_s: float) -> Floats:
        """A person's box (4,) at this time: on from the last of theirs (looks, 4), at the speed that fits all best."""
        times_s = np.array(self._times_s[-len(boxes) :])
        ahead: Floats = boxes[-1] + speed_of(times_s, boxes) * (now_s - times_s[-1])
        return ahead
