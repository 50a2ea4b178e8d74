"""The pose budget: which people of a crowded frame are measured, and how the poses of the others are predicted.

Used by pose/stage.py on both sides of the pose model. `PersonBudget.choose` picks the people to measure before the
model runs; `completed` adds the predicted poses of the others afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import carried, sides_of
from realtime.runtime.epochs import PerEpoch
from realtime.types import Tracks

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# A person out of view keeps their place in the queue and their last pose for this long. The tracker keeps a lost
# person's identity for 2 s by default (tracker.buffer_s), so a person found again is still known here.
FORGET_S = 5.0


@dataclass(slots=True)
class Measurement:
    """One run of the pose model on one person.

    Attributes:
        xyxy: float32 (4,), the box that the model receives, in pixels of the frame.
        keypoints: float32 (K, 3) x, y, score that the model returned; None until it has.
    """

    xyxy: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """The choice for one frame of N people.

    Attributes:
        chosen: bool (N,), True where the model is to measure the person in this frame.
        latest: the latest measurement of each of the N people: for a chosen person the one that this frame fills in,
            for any other person an earlier one, or None if they were never chosen.
    """

    chosen: Bools
    latest: Sequence[Measurement | None]


class PersonBudget:
    """Chooses which people of a frame to measure, at most `max_people`; the people of a crowd take turns.

    While a frame has no more than `max_people` people, all of them are measured. Otherwise the budget is split:

    - Half of it, rounded up, goes to the people at the front of a queue: those who have waited longest since their
      last measurement. A new person waits from their first frame on and joins at the back.
    - The rest is assigned by need: first to people never measured, then to those whose box has changed most since
      their last measurement.

    The queue bounds every wait. Each person present is measured at least once in any

        n = ceil(N / ceil(max_people / 2))

    consecutive frames, where N is the largest number of people present at one time during these frames: every frame
    moves at least ceil(max_people / 2) people from the front of the queue to its back, and new people join at the back.

    A person who drops out and returns within `FORGET_S` keeps their place in the queue, so a flickering detection does
    not starve its person. The bound then holds for the frames in which that person is present, and N counts all people
    present in any of these frames.

    State is kept per camera; its clock is `frame.time_s`. A new epoch of the camera drops the state. A person unseen
    for more than `FORGET_S` is forgotten, which bounds the memory.

    Attributes:
        max_people: may be changed between frames. None: all people are measured, and still remembered, so that a
            budget set later knows when each person was last measured.

    Example:
        >>> from realtime.types import Frame
        >>> def tracks(time_s: float) -> Tracks:
        ...     frame = Frame("cam0", 0, 0, np.zeros((2, 2, 3), np.uint8), time_s, 0, 0)
        ...     boxes, scores = np.ones((3, 4), np.float32), np.ones(3, np.float32)
        ...     return Tracks(frame, boxes, scores, np.array([1, 2, 3]), np.ones(3, np.bool_))
        >>> budget = PersonBudget(max_people=1)
        >>> [budget.choose(tracks(time_s)).chosen.tolist() for time_s in (0.0, 0.1, 0.2)]
        [[True, False, False], [False, True, False], [False, False, True]]
    """

    def __init__(self, max_people: int | None) -> None:
        self.max_people = max_people
        self._cameras = PerEpoch(lambda frame: _Camera())

    def choose(self, tracks: Tracks) -> Turn:
        """Choose the people of a frame to measure.

        Pass the frames of a camera in order of time, and pass each of them to `completed` in the same order.

        Args:
            tracks: N people.

        Returns:
            A turn with all N people chosen if N <= max_people, otherwise with max_people of them. The choice is
            deterministic and does not depend on the order of the people in `tracks`.
        """
        now_s = tracks.frame.time_s
        people = self._cameras.of(tracks.frame).present(tracks.track_ids, now_s)
        chosen = self._choose(people, tracks)
        for row in np.flatnonzero(chosen):
            people[row].waits_since_s = now_s
            people[row].latest = Measurement(tracks.xyxy[row])
        return Turn(chosen, [person.latest for person in people])

    def forget(self, camera: str) -> None:
        """Drop the state of a camera."""
        self._cameras.forget(camera)

    def remembered(self, camera: str) -> int:
        """Return the number of people of this camera whose state is kept."""
        state = self._cameras.get(camera)
        return len(state.people) if state else 0

    def _choose(self, people: list[_Person], tracks: Tracks) -> Bools:
        most = self.max_people
        if most is None or len(people) <= most:
            return np.ones(len(people), np.bool_)
        goes_round = (most + 1) // 2
        chosen = np.zeros(len(people), np.bool_)
        waits_since_s = np.array([person.waits_since_s for person in people])
        had_a_turn = np.array([person.latest is not None for person in people])
        # lexsort compares the last key first. Ties: people never measured come first, then the lower track id, because
        # detection order is arbitrary.
        by_wait = tracks.track_ids, had_a_turn, waits_since_s
        chosen[np.lexsort(by_wait)[:goes_round]] = True
        need = np.where(chosen, -np.inf, _need(people, tracks.xyxy))
        by_need = np.lexsort((*by_wait, -need))
        chosen[by_need[: most - goes_round]] = True
        return chosen


def completed(tracks: Tracks, turn: Turn, found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the keypoints of all people of a frame: the measured ones, and a prediction for the others.

    Call it once per frame and in order of time, because it stores the measurements that later predictions start from.

    Args:
        tracks: N people.
        turn: what `choose` returned for them.
        found: float32 (M, K, 3) x, y in pixels of the frame, score: what the model returned for the M chosen people.

    Returns:
        float32 (N, K, 3). The pose of a person not chosen is their last measured one, moved and stretched with their
        box, with its scores unchanged; NaN if they were never measured.
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
            # Copied, because a view would keep the keypoints of the whole frame in memory.
            latest.keypoints = keypoints[row].copy()
        elif latest.keypoints is not None:
            carried_rows.append(row)
            before.append(latest.xyxy)
            poses.append(latest.keypoints)
    if carried_rows:
        keypoints[carried_rows] = carried(np.stack(poses), np.stack(before), tracks.xyxy[carried_rows])
    return keypoints


def _need(people: list[_Person], xyxy: NDArray[np.float32]) -> Floats:
    """Return how far each person's box has changed since they were last measured, float64 (N,).

    This is the largest movement of any of the four sides, divided by the longer side of the current box. It is infinite
    for a person never measured.
    """
    never = np.full(4, -np.inf, np.float32)
    before = np.stack([never if person.latest is None else person.latest.xyxy for person in people])
    now = xyxy.astype(np.float64)
    need: Floats = np.abs(now - before).max(axis=1) / sides_of(now).max(axis=1)
    return need


# ---- state


@dataclass(slots=True)
class _Person:
    """State of one track. Times are `frame.time_s`."""

    waits_since_s: float  # time of the last measurement; until the first one, time of the person's first frame
    seen_s: float  # time of the last frame that showed the person
    latest: Measurement | None = None


@dataclass(slots=True)
class _Camera:
    """State of one camera in one epoch."""

    people: dict[int, _Person] = field(default_factory=dict)  # by track id

    def present(self, track_ids: NDArray[np.int64], now_s: float) -> list[_Person]:
        """Return the state of each track, creating it for new ones; forget people unseen for more than `FORGET_S`."""
        self.people = {
            track_id: person for track_id, person in self.people.items() if now_s - person.seen_s <= FORGET_S
        }
        people = [self.people.setdefault(track_id, _Person(now_s, now_s)) for track_id in track_ids.tolist()]
        for person in people:
            person.seen_s = now_s
        return people
