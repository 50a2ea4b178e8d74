"""Re-identification by pose: a lost person who reappears as a new track gets their id back. Poses -> Poses.

This stage sits between the pose model and the smoother, if `tracker.relink_s` is above 0. The tracker compares boxes
and finds no match if a person's box does not overlap the place where it expects them. This stage compares each new
track with each lost person by pose. The measure is COCO's object keypoint similarity (OKS) to the person's last pose,
extrapolated at the speed of their box. The tolerance grows with the time since then. Only tracks of the same class are
compared. The decision is made in the track's first frame and never revised, because its id is published with that
frame.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import sides_of, speed_of
from realtime.runtime.epochs import PerEpoch
from realtime.types import Poses

Floats = NDArray[np.float64]

# OKS constant (COCO's are twice the sigmas) of a box's corners, and of all keypoints if their sigmas are unknown.
_OTHER = 0.1
# Growth of the tolerance per second since the person was last seen, relative to their size (root of the box's area).
_OFF_PER_S = 0.2
# The speed of a lost person is assumed to decay exponentially with this time constant.
_GOES_ON_S = 1.0
# The speed is fitted to a person's last boxes, which span at most this time.
_SPEED_OF_S = 1.0
# Accept a track's best match if its similarity is at least _LEAST, and at least _LEAD above that of every other pair
# with the same track or the same lost person.
_LEAST, _LEAD = 0.2, 0.1
# Keypoints with a lower score are not compared.
_LEAST_SCORE = 0.3


class RelinkStage:
    """Gives lost people their id back when the tracker reports them as new tracks.

    The stage issues its own ids, from 1 in order of appearance, and never reuses one within a camera. Its memory is
    bounded by the people seen within `relink_s` and those that the tracker still knows.

    Here the tracker loses track 4 and finds the same person again as track 9. Both get id 1:

    >>> from realtime.types import Frame, Tracks
    >>> image, relink = np.zeros((480, 640, 3), np.uint8), RelinkStage(relink_s=3.0)
    >>> for index, track_id in [(0, 4), (1, 4), (20, 9)]:
    ...     frame, box = Frame("cam0", 0, index, image, index / 25, 0, 0), np.float32([[100, 100, 160, 260]])
    ...     tracks = Tracks(frame, box, np.float32([0.9]), np.array([track_id]), np.array([True]))
    ...     poses = Poses.of(tracks, np.float32([[[130, 110]]]), np.float32([[0.8]]))
    ...     print(relink.process([poses])[0].track_ids)
    [1]
    [1]
    [1]

    Args:
        relink_s: how long after they were last seen a lost person can be re-identified, in seconds.
        sigmas: OKS sigmas of the K keypoints, as in skeleton.Skeleton. Empty if unknown; ignored for poses with another
            number of keypoints.
    """

    name = "relink"

    def __init__(self, relink_s: float, sigmas: Sequence[float] = ()) -> None:
        self._relink_s = relink_s
        self._sigmas = np.asarray(sigmas, np.float64)
        # By camera; outside its state, because ids are not reused when the state is dropped.
        self._new_ids: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self._cameras = PerEpoch(lambda frame: _Camera(self._new_ids[frame.camera]))

    def process(self, batch: list[Poses]) -> list[Poses]:
        """Replace the tracker's ids with this stage's ids.

        Args:
            batch: poses of any cameras; each camera's in chronological order.

        Returns:
            One Poses per item, in order; only `track_ids` and `ended` differ from the input. An id has ended once the
            tracker has given up the person's track and the person has not been seen for `relink_s`.
        """
        return [self._relink(poses) for poses in batch]

    def remembered(self, camera: str) -> int:
        """Return the number of people of this camera whose state is kept."""
        state = self._cameras.get(camera)
        return len(state.people) if state else 0

    def forget(self, camera: str) -> None:
        """Forget the people of a camera, once no frame of it is in the pipeline. Their ids are still not reused."""
        self._cameras.forget(camera)

    def close(self) -> None:
        """Forget all people of all cameras."""
        self._cameras.clear()

    def _relink(self, poses: Poses) -> Poses:
        camera = self._cameras.of(poses.frame)
        now_s, theirs = poses.frame.time_s, poses.track_ids.tolist()
        camera.given_up.update(poses.ended)
        present = set(theirs)
        lost = [
            person
            for person in camera.people.values()
            if person.track_id not in present and now_s - person.seen_s <= self._relink_s
        ]
        new = [row for row, track_id in enumerate(theirs) if track_id not in camera.by_track]
        for row, person in zip(new, self._who_they_are(poses, new, lost), strict=True):
            camera.take_in(theirs[row], person, _label(poses, row))
        ids = [camera.by_track[track_id] for track_id in theirs]
        is_known = poses.measured | poses.is_still  # the pose of a still person counts, however long it is repeated
        for row, our_id in enumerate(ids):
            if is_known[row] or not camera.people[our_id].sights:
                camera.people[our_id].see(now_s, poses, row)
        return replace(poses, track_ids=np.array(ids, np.int64), ended=camera.forget(now_s - self._relink_s))

    def _who_they_are(self, poses: Poses, rows: list[int], lost: list[_Person]) -> list[_Person | None]:
        """Return the lost person that each of these rows of `poses` is re-identified as, or None."""
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
        """Compare rows of `poses` with a lost person.

        The measure is COCO's object keypoint similarity (OKS) over two corners of the box and the keypoints visible
        in both poses. The tolerance grows with the time since the person was last seen. The similarity is lowered in
        proportion, because the longer a person is lost, the less likely they are to be at any one place.

        Returns:
            float64 (R,), 0..1, for R rows. 1: the same pose at the expected position, right after the person was last
            seen. 0: far away, or of another class.
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
        same_class = np.array([_label(poses, row) == person.label for row in rows])
        return np.where(same_class, similar, 0.0)


class _Sight(NamedTuple):
    """Box and pose of a person in one frame."""

    time_s: float
    xyxy: NDArray[np.float32]  # (4,)
    keypoints: NDArray[np.float32]  # (K, 2)
    scores: NDArray[np.float32]  # (K,)


@dataclass(slots=True)
class _Person:
    """A person with an id of this stage.

    Attributes:
        our_id: the id that this stage issued.
        track_id: the tracker's current id for this person.
        label: the name of their class.
        sights: their boxes and poses of the last _SPEED_OF_S, oldest first.
    """

    our_id: int
    track_id: int
    label: str
    sights: deque[_Sight] = field(default_factory=deque)

    @property
    def seen_s(self) -> float:
        return self.sights[-1].time_s

    def see(self, now_s: float, poses: Poses, row: int) -> None:
        self.sights.append(_Sight(now_s, poses.xyxy[row], poses.keypoints[row], poses.keypoint_scores[row]))
        while now_s - self.sights[0].time_s > _SPEED_OF_S:
            self.sights.popleft()

    def speed(self) -> Floats:
        """Return the velocity of the box's centre, float64 (2,), in pixels per second."""
        times_s = np.array([sight.time_s for sight in self.sights])
        boxes = np.array([sight.xyxy for sight in self.sights], np.float64)
        corners = speed_of(times_s, boxes)
        return (corners[:2] + corners[2:]) / 2.0


class _Camera:
    """The people known in one epoch of a camera. New people take their ids from `new_ids`."""

    def __init__(self, new_ids: Iterator[int]) -> None:
        self._new_ids = new_ids
        self.people: dict[int, _Person] = {}  # by our id
        self.by_track: dict[int, int] = {}  # the tracker's id -> ours
        self.given_up: set[int] = set()  # ids that the tracker gave up, of people who can still be re-identified

    def take_in(self, track_id: int, person: _Person | None, label: str) -> None:
        """Link a new track to a known person, or to a new person of this class if `person` is None."""
        if person is None:
            person = _Person(next(self._new_ids), track_id, label)
            self.people[person.our_id] = person
        else:
            del self.by_track[person.track_id]  # if the tracker returns this id later, it is a new track
            self.given_up.discard(person.track_id)
            person.track_id = track_id
        self.by_track[track_id] = person.our_id

    def forget(self, oldest_s: float) -> tuple[int, ...]:
        """Forget people last seen before `oldest_s` whose track the tracker has given up.

        Returns:
            Their ids in ascending order; these have ended.
        """
        self.given_up.intersection_update(self.by_track)
        over = [track for track in self.given_up if self.people[self.by_track[track]].seen_s < oldest_s]
        ended = tuple(sorted(self.by_track[track_id] for track_id in over))
        for track_id in over:
            del self.people[self.by_track.pop(track_id)]
        self.given_up.difference_update(over)
        return ended


def _label(poses: Poses, row: int) -> str:
    return "" if poses.labels is None else str(poses.labels[row])


def _points(
    xyxy: NDArray[np.float32], keypoints: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Collect the points by which N people are compared: K keypoints, then the box's top left and bottom right corners.

    Returns:
        Coordinates, float64 (N, K + 2, 2) in pixels, and visibility, bool (N, K + 2). Corners are always visible.
    """
    points = np.concatenate([keypoints, xyxy.reshape(-1, 2, 2)], axis=1).astype(np.float64)
    return points, np.pad(scores >= _LEAST_SCORE, ((0, 0), (0, 2)), constant_values=True)


def _area(xyxy: NDArray[np.float32]) -> Floats:
    area: Floats = sides_of(xyxy.astype(np.float64)).prod(-1)
    return area
