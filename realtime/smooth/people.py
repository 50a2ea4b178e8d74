"""What the smoothing stage remembers of each track of a camera, as arrays with one row per track.

smooth/stage.py takes the rows of a frame's people, advances them, and joins them with the others again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class CameraState:
    """The state of one epoch of a camera."""

    time_s: float = -np.inf
    people: People | None = None  # None before the first frame


class People(NamedTuple):
    """The state of M tracks, one row each. The last row is a blank: the state of a track that was never seen.

    (The people of a single frame are held in the same arrays, without the blank row.)

    >>> people = People.empty(keypoints=17, width=4)
    >>> people.rows_of(np.array([7])).tolist()  # track 7 is new: the blank row
    [-1]
    """

    track_ids: NDArray[np.int64]  # (M,), 0 in the blank row (ids are >= 1)
    seen_s: Floats  # (M,), time of the track's last frame
    waited_s: Floats  # (M,), how long the person had been waiting by then; 0 if they were measured in that frame
    measured_s: Floats  # (M, K), time at which the keypoint was last measured; -inf: never
    places: Floats  # (M, K, 2), last result, before extrapolation (predict_ms); NaN: none yet
    state: Floats  # (M, K, width of the filter)
    box: Floats  # (M, 2, width of the filter), state of the corners x1 y1 and x2 y2

    @classmethod
    def empty(cls, keypoints: int, width: int) -> People:
        """No tracks yet, only the blank row."""
        return cls(
            np.zeros(1, np.int64),
            np.full(1, -np.inf),
            np.zeros(1),
            np.full((1, keypoints), -np.inf),
            np.full((1, keypoints, 2), np.nan),
            np.zeros((1, keypoints, width)),
            np.zeros((1, 2, width)),
        )

    def take(self, rows: NDArray[np.int64] | Bools) -> People:
        """These rows, by index or by mask."""
        return People._make(array[rows] for array in self)

    def seen_within(self, reset_s: float, now_s: float) -> People:
        """The tracks seen at most `reset_s` seconds ago, and the blank row."""
        keep = now_s - self.seen_s <= reset_s
        keep[-1] = True
        return self.take(keep)

    def rows_of(self, track_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each track; -1, the blank row, if the track is new."""
        same = track_ids[:, None] == self.track_ids[None, :]
        return np.where(same.any(axis=1), same.argmax(axis=1), -1)

    def exchanged(self, pairs: Iterable[tuple[int, int]]) -> People:
        """The same people; the two tracks of each pair have each other's ids."""
        ids = self.track_ids.copy()
        for one, other in pairs:
            is_one, is_other = ids == one, ids == other
            ids[is_one], ids[is_other] = other, one
        return self._replace(track_ids=ids)

    def without(self, rows: NDArray[np.int64]) -> People:
        """All rows but these; the blank row always stays."""
        keep = np.ones(len(self.track_ids), np.bool_)
        keep[rows] = False
        keep[-1] = True
        return self.take(keep)

    def joined(self, others: People) -> People:
        """These rows, then the others."""
        return People._make(np.concatenate(pair) for pair in zip(self, others, strict=True))
