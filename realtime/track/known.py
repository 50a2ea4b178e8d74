"""The people whom track/relink.py knows in one epoch of a camera: their ids, last boxes and poses, and colours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import LEAST_SIDE_PX, speed_of
from realtime.track.colours import ColourMemory, Floats
from realtime.types import Poses

# The speed is fitted to a person's last boxes, which span at most this time.
_SPEED_OF_S = 1.0


class _Sight(NamedTuple):
    """Box and pose of a person in one frame."""

    time_s: float
    xyxy: NDArray[np.float32]  # (4,)
    keypoints: NDArray[np.float32]  # (K, 2)
    scores: NDArray[np.float32]  # (K,)


@dataclass(slots=True, eq=False)
class Person:
    """A person with an id of the relink stage.

    Attributes:
        our_id: the id that this stage issued.
        track_id: the tracker's current id for this person; None: its track went to another one.
        label: the name of their class.
        sights: their boxes and poses of the last _SPEED_OF_S, oldest first.
        colours: the colours of their clothes.
        there_s: when they were last in a frame, even if only predicted.
    """

    our_id: int
    track_id: int | None
    label: str
    sights: deque[_Sight] = field(default_factory=deque)
    colours: ColourMemory = field(default_factory=ColourMemory)
    there_s: float = -np.inf

    @property
    def seen_s(self) -> float:
        """When they were last seen, on the source's timeline."""
        return self.sights[-1].time_s

    def see(self, now_s: float, poses: Poses, row: int) -> None:
        """Remember the box and the pose of a row of `poses`."""
        self.sights.append(_Sight(now_s, poses.xyxy[row], poses.keypoints[row], poses.keypoint_scores[row]))
        while now_s - self.sights[0].time_s > _SPEED_OF_S:
            self.sights.popleft()

    def speed(self) -> Floats:
        """Return the velocity of the box's centre, float64 (2,), in pixels per second."""
        times_s = np.array([sight.time_s for sight in self.sights])
        boxes = np.array([sight.xyxy for sight in self.sights], np.float64)
        corners = speed_of(times_s, boxes)
        return (corners[:2] + corners[2:]) / 2.0


class Known:
    """The people known in one epoch of a camera. New people take their ids from `new_ids`.

    Attributes:
        people: by our id.
        by_track: our id by the tracker's.
        given_up: ids that the tracker gave up, of people who can still be re-identified.
        met: when two people, by our ids in ascending order, were last so close that they could be confused.
        last_s: time of the last frame.
        step_s: time between the last two frames; 0 until there are two.
    """

    def __init__(self, new_ids: Iterator[int]) -> None:
        self._new_ids = new_ids
        self.people: dict[int, Person] = {}
        self.by_track: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.met: dict[tuple[int, int], float] = {}
        self.last_s: float | None = None
        self.step_s = 0.0

    def pass_frame(self, now_s: float) -> None:
        """Note the time of a frame, once its people are known."""
        self.step_s = 0.0 if self.last_s is None else now_s - self.last_s
        self.last_s = now_s

    def take_in(self, track_id: int, person: Person | None, label: str) -> None:
        """Link a new track to a known person, or to a new person of this class if `person` is None."""
        if person is None:
            person = Person(next(self._new_ids), track_id, label)
            self.people[person.our_id] = person
        else:
            self.part(person)  # if the tracker returns their former id later, it is a new track
            person.track_id = track_id
        self.by_track[track_id] = person.our_id

    def part(self, person: Person) -> None:
        """Separate a person from their track, which belongs to another one. They can still be re-identified."""
        if person.track_id is not None:
            del self.by_track[person.track_id]
            self.given_up.discard(person.track_id)
            person.track_id = None

    def exchange(self, one: Person, other: Person) -> None:
        """Exchange the ids of two people, and the colours that belong to the ids."""
        one.our_id, other.our_id = other.our_id, one.our_id
        one.colours.exchange_past(other.colours)
        for person in (one, other):
            self.people[person.our_id] = person
            if person.track_id is not None:
                self.by_track[person.track_id] = person.our_id

    def forget(self, oldest_s: float) -> tuple[int, ...]:
        """Forget people last seen before `oldest_s` who have no track, or one that the tracker has given up.

        Returns:
            Their ids in ascending order; these have ended.
        """
        self.given_up.intersection_update(self.by_track)
        without = [person for person in self.people.values() if person.track_id is None]
        without += [self.people[self.by_track[track_id]] for track_id in self.given_up]
        over = [person for person in without if person.seen_s < oldest_s]
        for person in over:
            self.part(person)
            del self.people[person.our_id]
        return tuple(sorted(person.our_id for person in over))


def place_of(xyxy: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return where N people stand, float64 (N, 2), the middle of the box's lower edge, and its height, float64 (N,)."""
    boxes = xyxy.astype(np.float64)
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], LEAST_SIDE_PX)
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2.0, boxes[:, 3]], axis=1), heights
