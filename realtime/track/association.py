"""Our association of detections with tracks, by boxes and scores alone, for one epoch of a camera.

track/stage.py creates one per epoch if `tracker.method` is `bytetrack`. It follows ByteTrack (Zhang et al., "ByteTrack:
Multi-Object Tracking by Associating Every Detection Box", ECCV 2022) in the implementation of boxmot 25, and gives the
same tracks with boxmot's rules (tests/parity/test_bytetrack_parity.py). Our own rules differ as follows;
docs/accuracy.md tells what each difference gains:

- time is real: steps, speeds and the buffer of lost tracks are in seconds
- the motion of the camera is measured by the boxes and moves all predictions (track/camera_motion.py)
- people in view whose box fits well are matched first, so that lost tracks can't take their boxes
- the people and boxes left over are compared again by place instead of overlap, with a spread that grows with the time
  since the last detection (track/nearness.py)
- a newcomer is published once there is enough evidence of them, or at once in a new scene (track/scene.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou, largest_cover
from realtime.config import TrackerConfig
from realtime.track.assignment import assign
from realtime.track.camera_motion import camera_motion
from realtime.track.kalman import HEIGHT, MEAN, SPEED, Filter, Noise, Y, boxes_of
from realtime.track.nearness import log_nearness
from realtime.track.scene import Scene
from realtime.types import Detections

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# People change their speed less than DeepSORT assumes, and the height of a box is least certain. Fitted to the places
# where people of the MOT sequences are seen again after a gap: with DeepSORT's numbers, the speed of a lost person
# follows the jitter of their last boxes. A new person's speed is of the order of 1.5 heights per second.
_NOISE = Noise(frame_s=1 / 20, speed=3 / 640, first_speed=16.0, height=1 / 10, height_speed=3 / 3200)
# Someone in front of another person is published late, but is published: at least this part of their box counts.
_LEAST_VISIBLE = 0.25
# No log likelihood exceeds its limit by more than this: the assignment takes similarities up to 1.
_MOST_BEYOND = 20.0
# The part of the camera's motion that its speed takes over from each frame. With all of it, a camera that turns is
# followed at once, but the predictions for one that trembles overshoot in every frame.
_TURNS_ON = 0.5
# In a shorter step (s), the camera's motion tells nothing about its speed: frames that arrive together, or whose
# timestamps repeat, are stamped 1 ms apart (capture/timeline.py), but show the motion of a whole frame.
_LEAST_STEP_S = 0.01
# Timestamps are compared with this tolerance (s).
_ROUNDING_S = 1e-6
_TRACK = np.dtype([
    ("id", np.int64),
    ("label", np.int64),  # code of the class
    ("since_s", np.float64),  # time of the first detection
    ("seen_s", np.float64),  # time of the last detection
    ("looks", np.int64),  # number of detections
    ("evidence", np.float64),  # sum of their scores
    ("is_published", np.bool_),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Nearness:
    """Least likelihoods of pairs whose boxes need not overlap (track/nearness.py), from 0 to 1.

    Attributes:
        seen: of people seen in the last frame; most of them are seen again.
        newcomer: of newcomers, whose speed is not known yet; it is part of the filter's variance.
        lost: of lost people, of whom most are not seen again: most boxes that no one else fits are of newcomers.
        lost_overlapping: of lost people whose box overlaps. A person does not move as far upwards as IoU accepts.
    """

    seen: float = 0.0003
    newcomer: float = 0.005
    lost: float = 0.015
    lost_overlapping: float = 0.001


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds. The first five are keys of the configuration; the others were chosen on MOT sequences.

    Attributes:
        track_score: `tracker.track_score`.
        low_score: `tracker.low_score`.
        match_iou: `tracker.match_iou`, least IoU x score in the first association.
        buffer_s: `tracker.buffer_s`.
        evidence: `tracker.evidence`, the sum of a newcomer's scores at which they are published.
        covering: by how much the covered part of a box lowers the evidence, 0..1 (`_evidence`).
        least_looks: detections that a newcomer needs besides (boxmot: 2, and no evidence).
        sure_iou: least IoU x score at which people seen in the last frame are matched before all others. None: they are
            matched together.
        sure_s: people seen within this time also count as seen in the last frame, for `sure_iou`.
        weak_iou: least IoU of a weak detection with a track that was seen in the last frame (boxmot's).
        weak_height_noise: factor of the noise of a weak detection's height: most are of people cut off by an occlusion.
        newcomer_iou: least IoU x score of a newcomer's next detection (boxmot's).
        nearness: of the last associations, which compare places instead of overlaps; None: there are none.
        has_camera_motion: measure the camera's motion.
        duplicate_iou: of a lost and a visible track that overlap more than this, drop the younger. None: keep both.
        noise: of the filter.
        newcomers_wait: don't predict newcomers until their second detection, as boxmot does.
    """

    track_score: float = 0.45
    low_score: float = 0.1
    match_iou: float = 0.2
    buffer_s: float = 2.0
    evidence: float = 1.6
    covering: float = 1.0
    least_looks: int = 1
    sure_iou: float | None = 0.5
    sure_s: float = 0.1
    weak_iou: float = 0.5
    weak_height_noise: float = 4.0
    newcomer_iou: float = 0.3
    nearness: Nearness | None = field(default_factory=Nearness)
    has_camera_motion: bool = True
    duplicate_iou: float | None = None
    noise: Noise = _NOISE
    newcomers_wait: bool = False

    @classmethod
    def of(cls, config: TrackerConfig) -> Rules:
        """Return the rules with the thresholds of the configuration."""
        return cls(
            track_score=config.track_score,
            low_score=config.low_score,
            match_iou=config.match_iou,
            buffer_s=config.buffer_s,
            evidence=config.evidence,
        )


class _Look(NamedTuple):
    """The detections of one frame that are at least weak, D of them.

    Attributes:
        now_s: time of the frame.
        step_s: time since the last look; 0 in the first.
        rows: int64 (D,), their rows in the Detections.
        xyxy: float64 (D, 4).
        scores: float64 (D,).
        labels: int64 (D,), codes of their classes.
        is_strong: bool (D,), whether the score is at least `track_score`.
    """

    now_s: float
    step_s: float
    rows: Ints
    xyxy: Floats
    scores: Floats
    labels: Ints
    is_strong: Bools


class Association:
    """Gives the detections of one camera's epoch to tracks.

    >>> from realtime.types import Frame
    >>> association, image = Association(Rules()), np.zeros((480, 640, 3), np.uint8)
    >>> for k in range(3):
    ...     boxes = np.float32([[100 + 5 * k, 100, 160 + 5 * k, 280], [400, 100, 460, 280]][: 1 + k])
    ...     frame = Frame("cam0", 0, k, image, k / 25, 0, 0)
    ...     print(association.update(Detections(frame, boxes, np.full(len(boxes), 0.9, np.float32))))
    (array([0]), array([1]))
    (array([0]), array([1]))
    (array([0, 1]), array([1, 2]))
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._filter = Filter(rules.noise)
        self._motion = np.zeros((5, 0, 4))  # state of the filter
        self._tracks = np.zeros(0, _TRACK)
        self._codes: dict[str, int] = {}  # number of each class, by its name
        self._scene = Scene()
        self._last_s: float | None = None  # time of the last look
        self._last_id = 0

    def known(self) -> set[int]:
        """Return the ids of all tracks that may still be returned: lost ones, and newcomers not published yet."""
        return set(self._tracks["id"].tolist())

    def update(self, detections: Detections) -> tuple[Ints, Ints]:
        """Assign the detections of the next frame to tracks.

        Returns:
            Two arrays, int64 (M,): the rows of `detections` that belong to a published track, in ascending order, and
            the track id of each. Ids are from 1 and never reused.
        """
        look = self._look(detections)
        is_new_scene = self._scene.is_new(detections.frame.image)
        is_lost = self._tracks["seen_s"] < (look.now_s if self._last_s is None else self._last_s)
        self._last_s = look.now_s
        if look.step_s > 0 and len(self._tracks):
            self._predict(look, is_lost)
        owners = self._owners(look, is_lost)
        evidence = self._evidence(look, owners)
        self._see(look, owners, evidence, is_new_scene)
        self._begin(look, owners, evidence, is_new_scene)
        return self._report(look, owners)

    def _look(self, detections: Detections) -> _Look:
        now_s, scores = detections.frame.time_s, detections.scores
        rows = (scores >= self._rules.low_score).nonzero()[0]
        scores = scores[rows]
        labels = np.zeros(len(rows), np.int64)
        if detections.labels is not None:
            names = detections.labels[rows].tolist()
            labels[:] = [self._codes.setdefault(name, len(self._codes)) for name in names]
        return _Look(
            now_s,
            0.0 if self._last_s is None else now_s - self._last_s,
            rows,
            detections.xyxy[rows].astype(np.float64),
            scores.astype(np.float64),
            labels,
            scores >= self._rules.track_score,
        )

    def _predict(self, look: _Look, is_lost: Bools) -> None:
        """Move all tracks to the time of the look, then by the camera's motion."""
        rules, tracks, before = self._rules, self._tracks, self._motion
        before[SPEED, is_lost, HEIGHT] = 0.0  # as ByteTrack does: no one grows or shrinks unseen
        self._motion = self._filter.predict(before, look.step_s)
        if rules.newcomers_wait:
            is_new = ~tracks["is_published"]
            self._motion[:, is_new] = before[:, is_new]
        if rules.has_camera_motion:
            seen = boxes_of(self._motion[:, ~is_lost & (tracks["looks"] >= 2)])
            moved = camera_motion(seen, look.xyxy[look.is_strong])
            self._motion[MEAN, :, : Y + 1] += moved
            if look.step_s >= _LEAST_STEP_S:  # a camera that turns goes on turning
                self._motion[SPEED, :, : Y + 1] += _TURNS_ON * moved / look.step_s

    def _owners(self, look: _Look, is_lost: Bools) -> Ints:
        """Return the index of the track that each detection belongs to, int64 (D,); -1: none."""
        rules, tracks, strong = self._rules, self._tracks, look.is_strong
        matching = _Matching(len(tracks), len(look.rows))
        if not len(tracks) or not len(look.rows):
            return matching.owners
        expected = boxes_of(self._motion)
        fit = iou(expected, look.xyxy)
        if len(self._codes) > 1:
            fit *= tracks["label"][:, np.newaxis] == look.labels
        scored = fit * look.scores
        gone_s = look.now_s - tracks["seen_s"]
        is_known = tracks["is_published"]

        if rules.sure_iou is not None:
            is_sure = is_known & (gone_s <= max(rules.sure_s, look.step_s) + _ROUNDING_S)
            matching.match(is_sure, strong, _of(scored), rules.sure_iou)
        if rules.nearness is not None and is_lost.any():
            lost, everyone = is_lost.nonzero()[0], np.arange(len(look.rows))
            scored[lost] *= self._near(look, lost, everyone) >= np.log(rules.nearness.lost_overlapping)
        matching.match(is_known, strong, _of(scored), rules.match_iou)
        matching.match(is_known & ~is_lost, ~strong, _of(fit), rules.weak_iou)
        if rules.nearness is not None:
            limits = np.log(np.where(is_lost, rules.nearness.lost, rules.nearness.seen))
            matching.match(
                is_known, strong, self._beyond(look, limits, np.log(np.maximum(look.scores, _ROUNDING_S))), 0.0
            )
        matching.match(~is_known, strong, _of(scored), rules.newcomer_iou)
        if rules.nearness is not None:
            limits[:] = np.log(rules.nearness.newcomer)
            matching.match(~is_known, strong, self._beyond(look, limits, np.zeros(len(look.rows))), 0.0)
        return matching.owners

    def _near(self, look: _Look, rows: Ints, columns: Ints) -> Floats:
        """Return the log likelihood of these pairs, -inf between classes."""
        near = log_nearness(self._motion.take(rows, 1), look.xyxy.take(columns, 0))
        if len(self._codes) > 1:
            near[self._tracks["label"][rows, np.newaxis] != look.labels[columns]] = -np.inf
        return near

    def _beyond(self, look: _Look, limits: Floats, bonus: Floats) -> Callable[[Ints, Ints], Floats]:
        """Return a function: by how much log likelihoods plus a bonus of the detections exceed limits of the tracks."""
        return lambda rows, columns: (
            (self._near(look, rows, columns) + bonus[columns] - limits[rows, np.newaxis]) / _MOST_BEYOND
        )

    def _evidence(self, look: _Look, owners: Ints) -> Floats:
        """Return the evidence of newcomers in each detection, float64 (D,).

        It is the score, times the part of the box that no published person's box of the same class covers: parts of
        people and boxes around two people are detected beside the people themselves.
        """
        is_published = (owners >= 0) & self._tracks["is_published"][owners] if len(self._tracks) else owners >= 0
        evidence = look.scores.copy()
        for label in np.unique(look.labels[~is_published]):
            is_of = look.labels == label
            rows = (is_of & ~is_published).nonzero()[0]
            cover = largest_cover(look.xyxy[rows], look.xyxy[is_of & is_published])
            evidence[rows] *= np.maximum(1.0 - self._rules.covering * cover, _LEAST_VISIBLE)
        return evidence

    def _see(self, look: _Look, owners: Ints, evidence: Floats, is_new_scene: bool) -> None:
        """Update the tracks that own a detection; publish newcomers with enough evidence, and all in a new scene."""
        found = (owners >= 0).nonzero()[0]
        if not len(found):
            return
        owned, tracks, rules = owners[found], self._tracks, self._rules
        height_noise = np.where(look.is_strong[found], 1.0, rules.weak_height_noise)
        self._filter.correct(self._motion, owned, look.xyxy[found], height_noise)
        tracks["looks"][owned] += 1
        tracks["evidence"][owned] += evidence[found]
        tracks["seen_s"][owned] = look.now_s
        is_proven = (tracks["evidence"][owned] >= rules.evidence) & (tracks["looks"][owned] >= rules.least_looks)
        tracks["is_published"][owned] |= is_proven | is_new_scene

    def _begin(self, look: _Look, owners: Ints, evidence: Floats, is_published: bool) -> None:
        """Begin a track with each strong detection that no track owns, and make it the owner."""
        born = ((owners < 0) & look.is_strong).nonzero()[0]
        if not len(born):
            return
        rules, evidence = self._rules, evidence[born]
        tracks = np.zeros(len(born), _TRACK)
        tracks["id"] = np.arange(self._last_id + 1, self._last_id + 1 + len(born))
        tracks["label"] = look.labels[born]
        tracks["since_s"] = tracks["seen_s"] = look.now_s
        tracks["looks"] = 1
        tracks["evidence"] = evidence
        tracks["is_published"] = is_published | ((evidence >= rules.evidence) & (rules.least_looks <= 1))
        owners[born] = np.arange(len(self._tracks), len(self._tracks) + len(born))
        self._last_id += len(born)
        self._tracks = np.concatenate([self._tracks, tracks])
        self._motion = np.concatenate([self._motion, self._filter.begin(look.xyxy[born])], axis=1)

    def _report(self, look: _Look, owners: Ints) -> tuple[Ints, Ints]:
        """Drop the tracks that are over, and return the rows and ids of the published ones that own a detection.

        A track is over if its person has been lost for longer than the buffer, or as a newcomer at all.
        """
        rules, tracks = self._rules, self._tracks
        unseen_s = look.now_s - tracks["seen_s"]
        stays = unseen_s <= np.where(tracks["is_published"], rules.buffer_s, 0.0) + _ROUNDING_S
        if rules.duplicate_iou is not None:
            stays &= ~self._is_duplicate(stays, unseen_s > 0, rules.duplicate_iou)
        owned = (owners >= 0).nonzero()[0]
        theirs = owners[owned]
        told = (tracks["is_published"] & stays)[theirs]
        rows, ids = look.rows[owned[told]], tracks["id"][theirs[told]]
        if not stays.all():
            self._tracks, self._motion = tracks[stays], self._motion[:, stays]
        return rows, ids

    def _is_duplicate(self, stays: Bools, is_lost: Bools, least: float) -> Bools:
        """Return which tracks are one of a lost and a visible track of nearly the same box, the younger one."""
        is_over = np.zeros(len(stays), np.bool_)
        boxes = boxes_of(self._motion)
        lost, visible = (stays & is_lost).nonzero()[0], (stays & ~is_lost).nonzero()[0]
        age_s = self._tracks["seen_s"] - self._tracks["since_s"]
        for row, column in zip(*np.nonzero(iou(boxes[visible], boxes[lost]) > least), strict=True):
            this, other = visible[row], lost[column]
            is_over[other if age_s[this] > age_s[other] + _ROUNDING_S else this] = True
        return is_over


class _Matching:
    """Which track owns each detection of a look, filled in by one association after the other.

    Attributes:
        owners: int64 (D,), indices of tracks; -1: none yet.
    """

    def __init__(self, tracks: int, detections: int) -> None:
        self.owners = np.full(detections, -1, np.int64)
        self._is_free = np.ones(tracks, np.bool_)

    def match(self, tracks: Bools, detections: Bools, similar: Callable[[Ints, Ints], Floats], least: float) -> None:
        """Assign some of the detections that have no owner to some of the tracks that have no detection.

        Args:
            tracks: bool (N,), the tracks that take part.
            detections: bool (D,), the detections that take part.
            similar: returns the similarity of these rows and columns, float64 (R, C).
            least: pairs that are less similar are not formed.
        """
        rows = (tracks & self._is_free).nonzero()[0]
        columns = (detections & (self.owners < 0)).nonzero()[0]
        if not len(rows) or not len(columns):
            return
        chosen, taken = assign(similar(rows, columns), least)
        self.owners[columns[taken]] = rows[chosen]
        self._is_free[rows[chosen]] = False


def _of(similar: Floats) -> Callable[[Ints, Ints], Floats]:
    """Return a function that picks rows and columns of this matrix."""
    return lambda rows, columns: similar.take(rows, 0).take(columns, 1)
