"""People whom the motion gate would miss or publish later: a comparison with a run without it.

Used by `command`. A person is a track of the run without the gate. Times are positions in the recording (s).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.types import Tracks

# Boxes of both runs that overlap by at least this much are the same person. Those of a still person may be seconds old.
_SAME = 0.3


@dataclass
class Person:
    """A track of the run without the gate.

    Attributes:
        track_id: its id in that run.
        first_s: when it was first published.
        last_s: when it was last published.
        xyxy: its first box, in pixels of the frame.
        met_s: when the run with the gate first published a person there; None: never.
    """

    track_id: int
    first_s: float
    last_s: float
    xyxy: tuple[int, int, int, int]
    met_s: float | None = None

    @property
    def late_s(self) -> float | None:
        """How much later the gate's run published the person (s); None if it never did."""
        return None if self.met_s is None else self.met_s - self.first_s


class Comparison:
    """Compares two runs over the same frames.

    >>> from realtime.types import Frame
    >>> comparison, frame = Comparison(), Frame("clip", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, 0, 0)
    >>> box = np.float32([[10, 20, 60, 200]])
    >>> off = Tracks(frame, box, np.float32([0.9]), np.array([7]), np.array([True]))
    >>> comparison.add(2.0, off, box[:0])
    >>> comparison.add(2.5, off, box + 5)
    >>> [(person.track_id, person.late_s) for person in comparison.people]
    [(7, 0.5)]

    Attributes:
        people: in the order in which they came.
    """

    def __init__(self) -> None:
        self.people: list[Person] = []
        self._by_id: dict[int, Person] = {}

    def add(self, at_s: float, off: Tracks, on: NDArray[np.float32]) -> None:
        """Take in the next frame.

        Args:
            at_s: its position.
            off: the people without the gate.
            on: float32 (N, 4), the boxes of the people with it; none if the frame was not published.
        """
        for track_id, xyxy in zip(off.track_ids.tolist(), off.xyxy, strict=True):
            if track_id not in self._by_id:
                x1, y1, x2, y2 = xyxy.round().astype(int).tolist()
                self._by_id[track_id] = Person(track_id, at_s, at_s, (x1, y1, x2, y2))
                self.people.append(self._by_id[track_id])
            self._by_id[track_id].last_s = at_s
        for row in _matched(iou(off.xyxy, on)):
            person = self._by_id[int(off.track_ids[row])]
            person.met_s = at_s if person.met_s is None else person.met_s

    @property
    def missed(self) -> list[Person]:
        """The people whom the gate's run never published."""
        return [person for person in self.people if person.met_s is None]

    @property
    def delays_s(self) -> list[float]:
        """How much later it published the others (s)."""
        return [person.late_s for person in self.people if person.late_s is not None]


def _matched(overlap: NDArray[np.float32]) -> list[int]:
    """Return the rows that have a column of their own which overlaps enough; the best pairs first."""
    rows, overlap = list[int](), overlap.copy()
    while overlap.size and overlap.max() >= _SAME:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        rows.append(int(row))
        overlap[row], overlap[:, column] = 0.0, 0.0
    return rows
