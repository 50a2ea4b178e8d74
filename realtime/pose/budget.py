"""The pose budget: which people of a frame are measured, and which poses the others get.

Used by pose/stage.py on both sides of the pose model. `PersonBudget.choose` picks the people to measure before the
model runs; `completed` adds the poses of the others afterwards: repeated if the person is still, otherwise predicted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import carried, sides_of
from realtime.pose.stillness import Stillness
from realtime.runtime.epochs import PerEpoch
from realtime.types import Frame, Tracks

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# A person out of view keeps their place in the queue and their last pose for this long. The tracker keeps a lost
# person's identity for 2 s by default (tracker.buffer_s), so a person found again is still known here.
FORGET_S = 5.0
# After the last change of a person's picture, they are measured for this long and in this many frames at least, so that
# the filters come to rest where the person does. Both filters follow within about 0.3 s.
SETTLE_S, SETTLE_FRAMES = 0.5, 3


@dataclass(slots=True)
class Measurement:
    """One run of the pose model on one person.

    Attributes:
        xyxy: float32 (4,), the box that the model receives, in pixels of the frame.
        keypoints: float32 (K, 3) x, y, score that the model returned; None until it has.
    """

    xyxy: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None

    @property
    def is_void(self) -> bool:
        """Whether the model returned no finite keypoint, which is nothing to repeat."""
        return self.keypoints is not None and not np.isfinite(self.keypoints).all(axis=1).any()


@dataclass(frozen=True, slots=True)
class Turn:
    """The choice for one frame of N people.

    Attributes:
        chosen: bool (N,), True where the model is to measure the person in this frame.
        still: bool (N,), True where the last measured pose is repeated, because the person's picture has not changed.
        latest: the latest measurement of each of the N people: for a chosen person the one that this frame fills in,
            for any other person an earlier one, or None if they were never chosen.
    """

    chosen: Bools
    still: Bools
    latest: Sequence[Measurement | None]


class PersonBudget:
    """Chooses which people of a frame to measure: those whose picture has changed, at most `max_people` of them.

    Without a motion gate (`Frame.motion`), every person is due in every frame. With one, a person is due

    - if they were never measured;
    - after a measurement without any finite keypoint;
    - if their picture has changed since their last measurement (pose/stillness.py): until they are measured, and from
      then on for SETTLE_S and in SETTLE_FRAMES frames;
    - if their last measurement is `pose_s` old.

    If at most `max_people` people are due, all of them are measured. Otherwise they take turns, and the budget
    is split:

    - Half of it, rounded up, goes to the people at the front of a queue: those who have waited longest since their
      last measurement. A new person waits from their first frame on and joins at the back.
    - The rest is assigned by need: first to people never measured, then to those whose box has changed most since
      their last measurement, and last to those whose picture has not changed.

    The queue bounds every wait. Each person present is measured at least once in any

        n = ceil(N / ceil(max_people / 2))

    consecutive frames in which they are due, where N is the largest number of people present at one time during these
    frames: every frame moves at least ceil(max_people / 2) people due from the front of the queue to its back,
    and new people join at the back.

    A person who drops out and returns within `FORGET_S` keeps their place in the queue, so a flickering detection does
    not starve its person. The bound then holds for the frames in which that person is present, and N counts all people
    present in any of these frames.

    State is kept per camera; its clock is `frame.time_s`. A new epoch of the camera drops the state. A person unseen
    for more than `FORGET_S` is forgotten, which bounds the memory.

    Attributes:
        max_people: may be changed between frames. None: everyone due is measured, and still remembered, so
            that a budget set later knows when each person was last measured.

    Args:
        max_people: see above.
        pose_s: how long the pose of a still person is repeated, in seconds (`activity.pose_s`); inf: as long as they
            are still.

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

    def __init__(self, max_people: int | None, pose_s: float = math.inf) -> None:
        self.max_people = max_people
        self._pose_s = pose_s
        self._cameras = PerEpoch(lambda frame: _Camera())

    def choose(self, tracks: Tracks) -> Turn:
        """Choose the people of a frame to measure.

        Pass the frames of a camera in order of time, and pass each of them to `completed` in the same order.

        Args:
            tracks: N people.

        Returns:
            A turn in which all people due are chosen, or max_people of them if there are more. The choice is
            deterministic and does not depend on the order of the people in `tracks`.
        """
        now_s = tracks.frame.time_s
        people = self._cameras.of(tracks.frame).present(tracks.track_ids, now_s)
        changed = _look(people, tracks)
        since_s = now_s - np.array([person.waits_since_s for person in people])
        chosen = self._choose(people, tracks, changed | (since_s >= self._pose_s), changed)
        for row in np.flatnonzero(chosen).tolist():
            people[row].measure(tracks, row)
        return Turn(chosen, ~chosen & ~changed, [person.latest for person in people])

    def forget(self, camera: str) -> None:
        """Drop the state of a camera."""
        self._cameras.forget(camera)

    def remembered(self, camera: str) -> int:
        """Return the number of people of this camera whose state is kept."""
        state = self._cameras.get(camera)
        return len(state.people) if state else 0

    def _choose(self, people: list[_Person], tracks: Tracks, due: Bools, changed: Bools) -> Bools:
        most = self.max_people
        if most is None or np.count_nonzero(due) <= most:
            return due
        goes_round = (most + 1) // 2
        chosen = np.zeros(len(people), np.bool_)
        waits_since_s = np.array([person.waits_since_s for person in people])
        had_a_turn = np.array([person.latest is not None for person in people])
        # lexsort compares the last key first. Ties: people never measured come first, then the lower track id, because
        # detection order is arbitrary.
        by_wait = tracks.track_ids, had_a_turn, waits_since_s
        chosen[np.lexsort((*by_wait, ~due))[:goes_round]] = True
        need = np.where(chosen, -np.inf, _need(people, tracks.xyxy))
        by_need = np.lexsort((*by_wait, -need, ~changed, chosen | ~due))
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
        float32 (N, K, 3). The pose of a person not chosen is their last measured one with its scores: as it was if
        they are still, otherwise moved and stretched with their box; NaN if they were never measured.
    """
    keypoints = np.full((len(tracks), *found.shape[1:]), np.nan, np.float32)
    keypoints[turn.chosen] = found
    carried_rows: list[int] = []
    before: list[NDArray[np.float32]] = []
    poses: list[NDArray[np.float32]] = []
    for row, (is_chosen, is_still, latest) in enumerate(zip(turn.chosen, turn.still, turn.latest, strict=True)):
        if latest is None:
            continue
        if is_chosen:
            # Copied, because a view would keep the keypoints of the whole frame in memory.
            latest.keypoints = keypoints[row].copy()
        elif is_still and latest.keypoints is not None:
            keypoints[row] = latest.keypoints
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


def _look(people: list[_Person], tracks: Tracks) -> Bools:
    """Return whose picture has changed since they were last measured, bool (N,); without a motion gate, all of them."""
    if tracks.frame.motion is None:
        return np.ones(len(people), np.bool_)
    for person, xyxy in zip(people, tracks.xyxy, strict=True):
        person.look(tracks.frame, xyxy)
    return np.array([person.is_restless for person in people], np.bool_)


# ---- state


@dataclass(slots=True)
class _Person:
    """State of one track. Times are `frame.time_s`."""

    waits_since_s: float  # time of the last measurement; until the first one, time of the person's first frame
    seen_s: float  # time of the last frame that showed the person
    latest: Measurement | None = None
    stillness: Stillness = field(default_factory=Stillness)
    changed_s: float = -math.inf  # time of the last frame in which the person's picture had changed
    settles: int = SETTLE_FRAMES  # how many frames are still to be measured after that
    is_restless: bool = True  # whether the person has changed, or not yet settled

    def look(self, frame: Frame, xyxy: NDArray[np.float32]) -> None:
        """Find out whether the person's picture has changed."""
        if self.stillness.has_changed(frame.image, xyxy, frame.time_s):
            self.changed_s, self.settles = frame.time_s, SETTLE_FRAMES
        if self.latest is not None and self.latest.is_void:
            self.settles = SETTLE_FRAMES
        self.is_restless = self.settles > 0 or frame.time_s - self.changed_s < SETTLE_S

    def measure(self, tracks: Tracks, row: int) -> None:
        """Note that the person is measured in this frame."""
        self.waits_since_s = tracks.frame.time_s
        self.latest = Measurement(tracks.xyxy[row])
        self.settles = max(0, self.settles - 1)
        if tracks.frame.motion is not None:
            self.stillness.remember(tracks.frame.image, tracks.xyxy[row])


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
