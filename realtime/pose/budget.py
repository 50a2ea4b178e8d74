"""Whose pose is measured when a frame has more people than the model has time for, and where the others are meanwhile.

Used by pose/stage.py on both sides of the pose model: people are chosen before it is called, poses completed after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import carried, sides_of
from realtime.types import Frame, Tracks

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# How long somebody may be out of the picture and keep their turn and their pose: longer than the 2 s that the tracker
# looks for them by default (tracker.buffer_s), so that who is found again was not forgotten.
FORGET_S = 5.0


@dataclass(slots=True)
class Measurement:
    """A pose that the model was asked for.

    Attributes:
        xyxy: float32 (4,), the box that the model was given.
        keypoints: float32 (K, 3) x, y, score as the model gave them; None until it has answered.
    """

    xyxy: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Who of one frame's N people is measured, and what there is to go by for the others.

    Attributes:
        chosen: bool (N,), whose pose the model is to measure.
        latest: N: the last measurement of each person, for those chosen the one that is due now; None: there never was
            one.
    """

    chosen: Bools
    latest: Sequence[Measurement | None]


class PersonBudget:
    """At most `max_people` of a frame are measured; when there are more, they take turns.

    `max_people` may be changed between frames; None: everybody is measured, and remembered until there is one.

    Half of the budget, rounded up, goes round: to those who wait longest since they were measured. A newcomer waits
    since they were first seen, and so joins at the back. The other half goes by need: to those never measured, then to
    those whose box changed most since they were.

    Nobody is forgotten. Who is present is measured at least once in any

        n = ceil(N / ceil(max_people / 2))

    of their frames in a row, N being the most people present at once meanwhile: each frame, so many of those ahead of
    them in the round move to its end, and nobody gets in ahead. Who drops out and is found again within `FORGET_S` has
    kept their place, lest a flickering detection starve: each of them who is back meanwhile counts towards N.

    State is kept per camera, on `frame.time_s`. It is dropped when the camera's epoch changes, and a person's when they
    weren't seen for `FORGET_S`: memory is bounded by the people seen within that time.
    """

    def __init__(self, max_people: int | None) -> None:
        self.max_people = max_people
        self._cameras: dict[str, _Camera] = {}

    def choose(self, tracks: Tracks) -> Turn:
        """Who of these people is measured. A camera's frames in order of time; each is to be completed in that order.

        Args:
            tracks: N people.

        Returns:
            Everybody where N <= max_people, else max_people of them. The same people in the same order of frames give
            the same turns.
        """
        now_s = tracks.frame.time_s
        people = self._camera(tracks.frame).present(tracks.track_ids, now_s)
        chosen = self._choose(people, tracks)
        for row in np.flatnonzero(chosen):
            people[row].waits_since_s = now_s
            people[row].latest = Measurement(tracks.xyxy[row])
        return Turn(chosen, [person.latest for person in people])

    def remembered(self, camera: str) -> int:
        """How many people of this camera there is state for."""
        return len(self._cameras[camera].people) if camera in self._cameras else 0

    def _camera(self, frame: Frame) -> _Camera:
        camera = self._cameras.get(frame.camera)
        if camera is None or camera.epoch != frame.epoch:
            camera = self._cameras[frame.camera] = _Camera(frame.epoch, {})
        return camera

    def _choose(self, people: list[_Person], tracks: Tracks) -> Bools:
        most = self.max_people
        if most is None or len(people) <= most:
            return np.ones(len(people), np.bool_)
        goes_round = (most + 1) // 2
        chosen = np.zeros(len(people), np.bool_)
        waits_since_s = np.array([person.waits_since_s for person in people])
        had_a_turn = np.array([person.latest is not None for person in people])
        # Last key first. Who was first seen in a frame waits longer than who was measured in it; what is still equal is
        # told apart by the track's id, since the order of the detector's boxes is no reason.
        by_wait = tracks.track_ids, had_a_turn, waits_since_s
        chosen[np.lexsort(by_wait)[:goes_round]] = True
        need = np.where(chosen, -np.inf, _need(people, tracks.xyxy))
        by_need = np.lexsort((*by_wait, -need))
        chosen[by_need[: most - goes_round]] = True
        return chosen


def completed(tracks: Tracks, turn: Turn, found: NDArray[np.float32]) -> NDArray[np.float32]:
    """The keypoints of everybody, from those of the chosen. To be called once for each frame, in order of time.

    Args:
        tracks: N people.
        turn: what `choose` said of them.
        found: float32 (number chosen, K, 3) x, y in pixels of the frame, score: what the model measured.

    Returns:
        float32 (N, K, 3). Who was not chosen has the pose they were last measured with, carried along with their box,
        its scores as they were; NaN where they never were.
    """
    keypoints = np.full((len(tracks), *found.shape[1:]), np.nan, np.float32)
    keypoints[turn.chosen] = found
    carried_rows: list[int] = []
    before: list[NDArray[np.float32]] = []
    poses: list[NDArray[np.float32]] = []
    for row, (is_chosen, latest) in enumerate(zip(turn.chosen, turn.latest, strict=True)):
        if latest is None:
            continue
        if is_chosen:
            # A copy: a view would keep the keypoints of the whole batch alive.
            latest.keypoints = keypoints[row].copy()
        elif latest.keypoints is not None:
            carried_rows.append(row)
            before.append(latest.xyxy)
            poses.append(latest.keypoints)
    if carried_rows:
        keypoints[carried_rows] = carried(np.stack(poses), np.stack(before), tracks.xyxy[carried_rows])
    return keypoints


def _need(people: list[_Person], xyxy: NDArray[np.float32]) -> Floats:
    """How much each person needs to be measured, (N,): how far a side of the box has moved since they were.

    In person sizes, the longer side of the box; infinite for who never was measured.
    """
    never = np.full(4, -np.inf, np.float32)
    before = np.stack([never if person.latest is None else person.latest.xyxy for person in people])
    now = xyxy.astype(np.float64)
    need: Floats = np.abs(now - before).max(axis=1) / sides_of(now).max(axis=1)
    return need


# ---- who is remembered


@dataclass(slots=True)
class _Person:
    """What is remembered of one track."""

    waits_since_s: float  # when last measured; before that, when first seen
    seen_s: float
    latest: Measurement | None = None


@dataclass(slots=True)
class _Camera:
    """What is remembered of one camera."""

    epoch: int
    people: dict[int, _Person]  # by track id

    def present(self, track_ids: NDArray[np.int64], now_s: float) -> list[_Person]:
        """The person of each track, new ones made; who was not seen for long is forgotten."""
        self.people = {
            track_id: person for track_id, person in self.people.items() if now_s - person.seen_s <= FORGET_S
        }
        people = [self.people.setdefault(track_id, _Person(now_s, now_s)) for track_id in track_ids.tolist()]
        for person in people:
            person.seen_s = now_s
        return people
