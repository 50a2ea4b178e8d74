"""Re-identification: a lost person who reappears as a new track gets their id back. Poses -> Poses.

This stage sits between the pose model and the smoother, if `tracker.relink_s` is above 0. The tracker compares boxes
and finds no match if a person's box does not overlap the place where it expects them. This stage compares each new
track with each lost person, in the track's first frame, because its id is published with that frame:

- by pose: COCO's object keypoint similarity (OKS) to the person's last pose, extrapolated at the speed of their box.
  The tolerance grows with the time since then.
- by the colours of their clothes (track/colours.py), among the lost people who can have walked there.

A track that returns after more than a second is a new one if its colours are not those of its person: the tracker has
given it to another one, because it expects a box there. Colours also show later that an id went to another person
(track/swaps.py). Then the two ids are exchanged, which `Poses.swapped` says.

Only tracks of the same class are compared.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import largest_cover, sides_of
from realtime.runtime.epochs import PerEpoch
from realtime.track.colours import Floats, colours_of
from realtime.track.known import Known, Person, place_of
from realtime.track.swaps import CLEARLY, displaced, swapped
from realtime.types import Poses

# OKS constant (COCO's are twice the sigmas) of a box's corners, and of all keypoints if their sigmas are unknown.
_OTHER = 0.1
# Growth of the tolerance per second since the person was last seen, relative to their size (root of the box's area).
_OFF_PER_S = 0.2
# The speed of a lost person is assumed to decay exponentially with this time constant.
_GOES_ON_S = 1.0
# Accept a track's best match if its similarity is at least _LEAST, and at least _LEAD above that of every other pair
# with the same track or the same lost person.
_LEAST, _LEAD = 0.2, 0.1
# Beyond this time (s), the pose and the place of a person who walks say nothing any more.
_POSE_S = 3.0
# Keypoints with a lower score are not compared.
_LEAST_SCORE = 0.3

# The same for colours. On PETS09-S2L1, after 1 to 3 s, 95 % of the pairs of different people are below 0.95, and so are
# 5 % of the pairs of one person; on MOT17-04, after a quarter of a second, 99 % and less than 1 %. The lost person must
# also be more alike than all other people known to the camera: little can be concluded where many are dressed alike.
_LEAST_COLOUR, _LEAD_COLOUR = 0.94, 0.02
# With less, two looks are not at one person, whatever the pose: on PETS09-S2L1, 3 of 5 wrong matches by pose are below,
# and none of 20 right ones.
_UNLIKE = 0.85
# A track that was away for longer than this (s) must look like its person; in a shorter time, the place tells more. On
# PETS09-S2L1 with hidden people, 19 of 24 tracks that came back to another person are found so, and 2 of 102 others are
# refused. If frames come more slowly than that, a track was away if it is missing for longer than this many times the
# step between the last two frames.
_AWAY_S, _AWAY_STEPS = 1.0, 1.5
# A person walks at most this far from where they were last seen, in heights of their box: at once, and per second.
# (Walking is 0.8 heights per second.)
_REACH, _REACH_PER_S = 0.5, 1.0
# A person has left if they moved towards an edge of the frame that was closer to them than this part of their box.
_NEAR_EDGE = 0.25
# A box of which another one covers more than this shows two people's colours.
_MOST_COVERED = 0.3


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
        relink_s: how long after they were last seen a lost person can be re-identified, in seconds; by pose, at most 3.
        sigmas: OKS sigmas of the K keypoints, as in skeleton.Skeleton. Empty if unknown; ignored for poses with another
            number of keypoints.
    """

    name = "relink"

    def __init__(self, relink_s: float, sigmas: Sequence[float] = ()) -> None:
        self._relink_s = relink_s
        self._sigmas = np.asarray(sigmas, np.float64)
        # By camera; outside its state, because ids are not reused when the state is dropped.
        self._new_ids: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self._cameras = PerEpoch(lambda frame: Known(self._new_ids[frame.camera]))

    def process(self, batch: list[Poses]) -> list[Poses]:
        """Replace the tracker's ids with this stage's ids.

        Args:
            batch: poses of any cameras; each camera's in chronological order.

        Returns:
            One Poses per item, in order; only `track_ids`, `ended` and `swapped` differ from the input. An id has ended
            once the tracker has given up the person's track and the person has not been seen for `relink_s`.
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
        known = self._cameras.of(poses.frame)
        now_s, theirs = poses.frame.time_s, poses.track_ids.tolist()
        known.given_up.update(poses.ended)
        present = set(theirs)
        looks = _look(poses, known)
        refused = _refused(poses, known, looks)
        lost = [
            person
            for person in known.people.values()
            if person.track_id not in present and now_s - person.seen_s <= self._relink_s
        ]
        new = [row for row, track_id in enumerate(theirs) if track_id not in known.by_track]
        newcomers = []
        for row, person in zip(new, self._who_they_are(poses, new, lost, looks, refused), strict=True):
            known.take_in(theirs[row], person, poses.label(row))
            if person is None:
                newcomers.append(row)
        swaps = displaced(known, poses, [row for row in newcomers if looks.is_clear[row]], looks.colours, _LEAST_COLOUR)
        is_known = poses.measured | poses.is_still  # the pose of a still person counts, however long it is repeated
        people = [known.people[known.by_track[track_id]] for track_id in theirs]
        for row, person in enumerate(people):
            person.there_s = now_s
            if is_known[row] or not person.sights:
                person.see(now_s, poses, row)
            if looks.is_clear[row]:
                person.colours.add(now_s, looks.colours[row])
            elif looks.colours[row].any():
                person.colours.skip(now_s)
        if looks.is_clear.any():
            swaps += swapped(known, now_s, [people[row] for row in np.flatnonzero(looks.is_clear)])
        known.pass_frame(now_s)
        ids = np.array([person.our_id for person in people], np.int64)
        return replace(poses, track_ids=ids, ended=known.forget(now_s - self._relink_s), swapped=tuple(swaps))

    def _who_they_are(
        self, poses: Poses, rows: list[int], lost: list[Person], looks: _Looks, refused: dict[int, Person]
    ) -> list[Person | None]:
        """Return the lost person that each of these rows of `poses` is re-identified as, or None.

        Args:
            poses: the people of the frame.
            rows: the rows of new tracks.
            lost: the people of the camera that the frame does not show.
            looks: the colours of the people of the frame.
            refused: by row, a person that it is known not to be.
        """
        if not rows or not lost:
            return [None] * len(rows)
        now_s = poses.frame.time_s
        alike = _alike(looks, rows, lost)
        similar = np.zeros(alike.shape)
        for column, person in enumerate(lost):
            if now_s - person.seen_s <= _POSE_S:
                similar[:, column] = self._similarities(poses, rows, person)
        other = (alike > 0.0) & (alike < _UNLIKE)
        other |= [[refused.get(row) is person for person in lost] for row in rows]
        similar[other] = 0.0
        found = _best(similar, _LEAST, _LEAD)
        everyone = _alike(looks, rows, self._cameras.of(poses.frame).people.values())
        alike[alike < everyone.max(1, keepdims=True)] = 0.0
        alike[other | ~_within_reach(poses, rows, lost)] = 0.0
        alike[found >= 0] = 0.0
        alike[:, found[found >= 0]] = 0.0
        found = np.maximum(found, _best(alike, _LEAST_COLOUR, _LEAD_COLOUR))
        return [lost[column] if column >= 0 else None for column in found.tolist()]

    def _similarities(self, poses: Poses, rows: list[int], person: Person) -> Floats:
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
        same_class = np.array([poses.label(row) == person.label for row in rows])
        return np.where(same_class, similar, 0.0)


class _Looks(NamedTuple):
    """The colours of the N people of a frame.

    Attributes:
        colours: float64 (N, C); 0 if they were not measured.
        is_distinct: bool (N,), whether they were measured and differ from the ground.
        is_clear: bool (N,), whether no other person covers them either.
    """

    colours: Floats
    is_distinct: NDArray[np.bool_]
    is_clear: NDArray[np.bool_]


def _look(poses: Poses, known: Known) -> _Looks:
    """Measure the colours of new tracks, and of people whose last look was a while ago."""
    now_s, is_new, is_due = poses.frame.time_s, poses.measured.copy(), poses.measured.copy()
    for row, track_id in enumerate(poses.track_ids.tolist()):
        if (our_id := known.by_track.get(track_id)) is not None:
            is_new[row] = False
            is_due[row] &= known.people[our_id].colours.is_due(now_s)
    is_free = largest_cover(poses.xyxy.astype(np.float64)) <= _MOST_COVERED if is_due.any() else is_due
    rows = np.flatnonzero(is_new | (is_due & is_free))
    colours, is_distinct = colours_of(poses.frame.image, poses.xyxy[rows])
    every, distinct = np.zeros((len(poses), colours.shape[1])), np.zeros(len(poses), np.bool_)
    every[rows], distinct[rows] = colours, is_distinct
    return _Looks(every, distinct, distinct & is_free)


def _refused(poses: Poses, known: Known, looks: _Looks) -> dict[int, Person]:
    """Separate people from tracks that came back to another person. Return them by the rows of these tracks."""
    refused = {}
    away_s = max(_AWAY_S, _AWAY_STEPS * known.step_s)
    for row, track_id in enumerate(poses.track_ids.tolist()):
        our_id = known.by_track.get(track_id)
        if our_id is None or not looks.is_distinct[row]:
            continue
        person = known.people[our_id]
        if poses.frame.time_s - person.there_s <= away_s or person.colours.whole() is None:
            continue
        everyone = [person, *(other for other in known.people.values() if other is not person)]
        alike = _alike(looks, [row], everyone)[0]
        if alike[0] < max(_UNLIKE, alike[1:].max(initial=0.0) - CLEARLY):
            known.part(person)
            refused[row] = person
    return refused


def _best(similar: Floats, least: float, lead: float) -> NDArray[np.int64]:
    """Return the column that matches each row, or -1: at least `least`, and this much above all in its row and column.

    >>> _best(np.array([[0.9, 0.2], [0.85, 0.7]]), 0.2, 0.1).tolist()
    [-1, -1]
    >>> _best(np.array([[0.9, 0.2], [0.3, 0.7]]), 0.2, 0.1).tolist()
    [0, 1]
    """
    found = np.full(len(similar), -1)
    for row, column in enumerate(similar.argmax(1)):
        best = similar[row, column]
        others = np.concatenate([np.delete(similar[row], column), np.delete(similar[:, column], row)])
        if best >= least and best - others.max(initial=0.0) >= lead:
            found[row] = column
    return found


def _alike(looks: _Looks, rows: list[int], people: Collection[Person]) -> Floats:
    """Compare the colours of rows of a frame with those of P people: float64 (R, P), 0..1; 0: not known."""
    alike = np.zeros((len(rows), len(people)))
    for column, person in enumerate(people):
        if (colours := person.colours.whole()) is not None:
            alike[:, column] = looks.colours[rows] @ colours
    alike[~looks.is_distinct[rows]] = 0.0
    return alike


def _within_reach(poses: Poses, rows: list[int], lost: list[Person]) -> NDArray[np.bool_]:
    """Whether each lost person can have walked to the place of each of these rows: bool (R, L).

    Not if they left the frame: the next person who enters there is mostly another one, perhaps in a similar coat.
    """
    places, heights = place_of(poses.xyxy[rows])
    there, tall = place_of(np.stack([person.sights[-1].xyxy for person in lost]))
    far = np.linalg.norm(places[:, None] - there, axis=2) / ((heights[:, None] + tall) / 2.0)
    gone_s = np.array([poses.frame.time_s - person.seen_s for person in lost])
    near: NDArray[np.bool_] = far <= _REACH + _REACH_PER_S * gone_s
    for column in np.flatnonzero(near.any(0)):
        near[:, column] &= [poses.label(row) == lost[column].label for row in rows]
        near[:, column] &= not _has_left(lost[column], poses.frame.size)
    return near


def _has_left(person: Person, size: tuple[int, int]) -> bool:
    """Whether the person moved out of the frame, whose width and height are given, when they were last seen."""
    x1, y1, x2, y2 = person.sights[-1].xyxy.tolist()
    to_right, down = person.speed()
    margin_x, margin_y = _NEAR_EDGE * (x2 - x1), _NEAR_EDGE * (y2 - y1)
    return bool(
        (x1 <= margin_x and to_right < 0)
        or (x2 >= size[0] - margin_x and to_right > 0)
        or (y1 <= margin_y and down < 0)
        or (y2 >= size[1] - margin_y and down > 0)
    )


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
