"""The second chance: who was lost and comes back as a newcomer gets their identity back. Poses -> Poses.

Between the pose model and the smoother, where `tracker.relink_s` asks for it. The tracker compares boxes, and gives up
when they don't overlap where somebody should be. Here a newcomer is compared with everybody who is lost, by the pose:
object keypoint similarity (COCO's measure) to the last pose, moved on as the box moved, with a tolerance that grows
with the time that has passed. It is decided in the newcomer's first frame: an identity that was told is not taken back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import sides_of, speed_of
from realtime.types import Poses

Floats = NDArray[np.float64]

# COCO's constants are twice their sigmas; this is that of a box's corners, and of a keypoint without one.
_OTHER = 0.1
# What somebody may be off for each second they weren't seen, in parts of their size.
_OFF_PER_S = 0.2
# Somebody goes on as they went for about so long.
_GOES_ON_S = 1.0
# A speed is fitted to the boxes of so long.
_SPEED_OF_S = 1.0
# Somebody is who they are most similar to, if they are as similar as this and nobody else comes as near as that.
_LEAST, _LEAD = 0.2, 0.1
# Keypoints with a lower score are not compared.
_LEAST_SCORE = 0.3


class RelinkStage:
    """Identities that outlast the tracker's.

    Ids are this stage's own, from 1 in the order in which people come, never reused within a camera. Memory is bounded
    by the people seen within `relink_s` and those that the tracker still knows.

    Args:
        relink_s: for how long somebody lost may be found again, in seconds.
        sigmas: of the K keypoints, as in skeleton.Skeleton; empty where unknown, not used where there are others.
    """

    name = "relink"

    def __init__(self, relink_s: float, sigmas: Sequence[float] = ()) -> None:
        self._relink_s = relink_s
        self._sigmas = np.asarray(sigmas, np.float64)
        self._cameras: dict[str, _Camera] = {}

    def process(self, batch: list[Poses]) -> list[Poses]:
        """The same people, who was lost under the id that they had.

        Args:
            batch: frames of any cameras; those of one camera in order of time.

        Returns:
            One Poses for each of the batch; only `track_ids` and `ended` differ. An id has ended when the tracker has
            given it up and `relink_s` have passed since the person was seen.
        """
        return [self._relink(poses) for poses in batch]

    def remembered(self, camera: str) -> int:
        """How many people of this camera there is state for."""
        return len(self._cameras[camera].people) if camera in self._cameras else 0

    def close(self) -> None:
        """Forget everybody."""
        self._cameras.clear()

    def _relink(self, poses: Poses) -> Poses:
        frame = poses.frame
        camera = self._cameras.get(frame.camera)
        if camera is None or camera.epoch != frame.epoch:
            camera = self._cameras[frame.camera] = _Camera(frame.epoch, camera.next_id if camera else 1)
        now_s, theirs = frame.time_s, poses.track_ids.tolist()
        camera.given_up.update(poses.ended)
        present = set(theirs)
        lost = [
            person
            for person in camera.people.values()
            if person.track_id not in present and now_s - person.seen_s <= self._relink_s
        ]
        new = [row for row, track_id in enumerate(theirs) if track_id not in camera.by_track]
        for row, person in zip(new, self._who_they_are(poses, new, lost), strict=True):
            camera.take_in(theirs[row], person)
        ids = [camera.by_track[track_id] for track_id in theirs]
        for row, our_id in enumerate(ids):
            if poses.measured[row] or not camera.people[our_id].sights:
                camera.people[our_id].see(now_s, poses, row)
        return replace(poses, track_ids=np.array(ids, np.int64), ended=camera.forget(now_s - self._relink_s))

    def _who_they_are(self, poses: Poses, rows: list[int], lost: list[_Person]) -> list[_Person | None]:
        """For each of these rows, whom of those who are lost it is, or None."""
        found: list[_Person | None] = [None] * len(rows)
        if not rows or not lost:
            return found
        similar = np.stack([self._similarities(poses, rows, person) for person in lost], axis=1)
        for row, column in enumerate(similar.argmax(1)):
            best = similar[row, column]
            others = np.concatenate([np.delete(similar[row], column), np.delete(similar[:, column], row)])
            if best >= _LEAST and best - others.max(initial=0.0) >= _LEAD:
                found[row] = lost[column]
        return found

    def _similarities(self, poses: Poses, rows: list[int], person: _Person) -> Floats:
        """How similar each of these rows is to somebody who is lost, (R,): 1 at the same place at once, 0 elsewhere.

        COCO's object keypoint similarity over the keypoints seen both times and the box's corners. The tolerance grows
        with time, and what is expected at any one place falls as it does.
        """
        last = person.sights[-1]
        gone_s = poses.frame.time_s - last.time_s
        moved = person.speed() * _GOES_ON_S * (1.0 - np.exp(-gone_s / _GOES_ON_S))
        now, now_seen = _points(poses.xyxy[rows], poses.keypoints[rows], poses.keypoint_scores[rows])
        then, then_seen = _points(last.xyxy[None], last.keypoints[None], last.scores[None])
        size2 = (_area(poses.xyxy[rows]) + _area(last.xyxy[None])) / 2.0
        count = poses.keypoints.shape[1]
        per_keypoint = 2.0 * self._sigmas if len(self._sigmas) == count else np.full(count, _OTHER)
        tolerance2 = np.concatenate([per_keypoint, [_OTHER, _OTHER]]) ** 2
        grown2 = tolerance2 + (_OFF_PER_S * gone_s) ** 2
        distance2 = ((now - then - moved) ** 2).sum(-1)
        each = np.sqrt(tolerance2 / grown2) * np.exp(-distance2 / (2.0 * size2[:, None] * grown2))
        seen = now_seen & then_seen
        similar: Floats = (each * seen).sum(1) / seen.sum(1)
        return similar


class _Sight(NamedTuple):
    """Somebody as they were seen once."""

    time_s: float
    xyxy: NDArray[np.float32]  # (4,)
    keypoints: NDArray[np.float32]  # (K, 2)
    scores: NDArray[np.float32]  # (K,)


@dataclass(slots=True)
class _Person:
    """Somebody under our id.

    Attributes:
        our_id: theirs.
        track_id: the tracker's, of who they are now.
        sights: of the last second, the latest last.
    """

    our_id: int
    track_id: int
    sights: deque[_Sight] = field(default_factory=deque)

    @property
    def seen_s(self) -> float:
        return self.sights[-1].time_s

    def see(self, now_s: float, poses: Poses, row: int) -> None:
        self.sights.append(_Sight(now_s, poses.xyxy[row], poses.keypoints[row], poses.keypoint_scores[row]))
        while now_s - self.sights[0].time_s > _SPEED_OF_S:
            self.sights.popleft()

    def speed(self) -> Floats:
        """Of the middle of the box, float64 (2,), pixels a second."""
        times_s = np.array([sight.time_s for sight in self.sights])
        boxes = np.array([sight.xyxy for sight in self.sights], np.float64)
        corners = speed_of(times_s, boxes)
        return (corners[:2] + corners[2:]) / 2.0


class _Camera:
    """Who is known in one epoch of a camera."""

    def __init__(self, epoch: int, next_id: int) -> None:
        self.epoch, self.next_id = epoch, next_id
        self.people: dict[int, _Person] = {}  # by our id
        self.by_track: dict[int, int] = {}  # the tracker's id -> ours
        self.given_up: set[int] = set()  # the tracker's ids that won't come back, of people who may

    def take_in(self, track_id: int, person: _Person | None) -> None:
        """A newcomer to the tracker is this person, or somebody new."""
        if person is None:
            person = self.people[self.next_id] = _Person(self.next_id, track_id)
            self.next_id += 1
        else:
            del self.by_track[person.track_id]  # should the tracker return it, it is a newcomer
            self.given_up.discard(person.track_id)
            person.track_id = track_id
        self.by_track[track_id] = person.our_id

    def forget(self, oldest_s: float) -> tuple[int, ...]:
        """Those whom neither the tracker nor we would find again; their ids have ended."""
        self.given_up.intersection_update(self.by_track)
        over = [track for track in self.given_up if self.people[self.by_track[track]].seen_s < oldest_s]
        ended = tuple(sorted(self.by_track[track_id] for track_id in over))
        for track_id in over:
            del self.people[self.by_track.pop(track_id)]
        self.given_up.difference_update(over)
        return ended


def _points(
    xyxy: NDArray[np.float32], keypoints: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[Floats, NDArray[np.bool_]]:
    """What is compared of N people: the K keypoints and the box's corners, (N, K + 2, 2), and which were seen."""
    points = np.concatenate([keypoints, xyxy.reshape(-1, 2, 2)], axis=1).astype(np.float64)
    return points, np.pad(scores >= _LEAST_SCORE, ((0, 0), (0, 2)), constant_values=True)


def _area(xyxy: NDArray[np.float32]) -> Floats:
    area: Floats = sides_of(xyxy.astype(np.float64)).prod(-1)
    return area
