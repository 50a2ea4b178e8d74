"""Our association of detections with tracks, by boxes and scores alone, for one epoch of a camera.

track/stage.py creates one per epoch if `tracker.method` is `bytetrack`. It follows ByteTrack (Zhang et al., "ByteTrack:
Multi-Object Tracking by Associating Every Detection Box", ECCV 2022) in the implementation of boxmot 25, and gives the
same tracks with boxmot's rules (tests/parity/test_bytetrack_parity.py). Our own rules differ as follows;
docs/accuracy.md tells what each difference gains:

- time is real: steps, speeds and the buffer of lost tracks are in seconds
- the motion of the camera is measured by the boxes and moves all predictions (track/camera_motion.py)
- people in view whose box fits well are matched first, so that lost tracks can't take their boxes
- the people and boxes left over are compared again, with boxes that grow with the time since the last detection
- a newcomer is published once there is enough evidence of them, or at once in a new scene (track/scene.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.config import TrackerConfig
from realtime.track.assignment import assign
from realtime.track.camera_motion import camera_motion
from realtime.track.kalman import HEIGHT, MEAN, SPEED, Filter, Noise, Y, boxes_of
from realtime.track.overlaps import overlaps
from realtime.track.scene import Scene
from realtime.types import Detections

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
class Growth:
    """How boxes grow for people whose detection is not where it is expected.

    Attributes:
        at_once: part of its sides by which a box grows on each side.
        per_s: added to it per second since the person was seen.
        most: limit of the sum.
        height_ratio: boxes are not compared if their heights differ by more than this factor, e^0.25.
    """

    at_once: float = 0.2
    per_s: float = 0.3
    most: float = 0.5
    height_ratio: float = 1.284


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds. The first five are keys of the configuration; the others were chosen on MOT sequences.

    Attributes:
        track_score: `tracker.track_score`.
        low_score: `tracker.low_score`.
        match_iou: `tracker.match_iou`, least IoU x score in the first and in the last association.
        buffer_s: `tracker.buffer_s`.
        evidence: `tracker.evidence`, the sum of a newcomer's scores at which they are published.
        least_looks: detections that a newcomer needs besides (boxmot: 2, and no evidence).
        sure_iou: least IoU x score at which people seen in the last frame are matched before all others. None: they are
            matched together.
        slow_s: frames further apart than this are slow: newcomers then take part in the last association. In frames
            that are not slow, people seen within this time also count as seen in the last frame, for `sure_iou`.
        weak_iou: least IoU of a weak detection with a track that was seen in the last frame (boxmot's).
        newcomer_iou: least IoU x score of a newcomer's next detection (boxmot's).
        growth: growth of the boxes in the last association; None: there is none.
        has_camera_motion: measure the camera's motion.
        duplicate_iou: of a lost and a visible track that overlap more than this, drop the younger. None: keep both.
        noise: of the filter. The longer reference frame makes speeds follow less of the jitter of boxes.
        newcomers_wait: don't predict newcomers until their second detection, as boxmot does.
    """

    track_score: float = 0.45
    low_score: float = 0.1
    match_iou: float = 0.2
    buffer_s: float = 2.0
    evidence: float = 1.6
    least_looks: int = 1
    sure_iou: float | None = 0.5
    slow_s: float = 0.1
    weak_iou: float = 0.5
    newcomer_iou: float = 0.3
    growth: Growth | None = field(default_factory=Growth)
    has_camera_motion: bool = True
    duplicate_iou: float | None = None
    noise: Noise = field(default_factory=lambda: Noise(frame_s=1 / 20))
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
        self._see(look, owners, is_new_scene)
        self._begin(look, owners, is_new_scene)
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
            self._motion[MEAN, :, : Y + 1] += camera_motion(seen, look.xyxy[look.is_strong])

    def _owners(self, look: _Look, is_lost: Bools) -> Ints:
        """Return the index of the track that each detection belongs to, int64 (D,); -1: none."""
        rules, tracks, strong = self._rules, self._tracks, look.is_strong
        matching = _Matching(len(tracks), len(look.rows))
        if not len(tracks) or not len(look.rows):
            return matching.owners
        expected = boxes_of(self._motion)
        fit = overlaps(expected, look.xyxy)
        if len(self._codes) > 1:
            fit *= tracks["label"][:, np.newaxis] == look.labels
        scored = fit * look.scores
        gone_s = look.now_s - tracks["seen_s"]
        is_known = tracks["is_published"]

        def grown(rows: Ints, columns: Ints) -> Floats:
            return self._grown_fit(look, expected.take(rows, 0), gone_s.take(rows), rows, columns)

        def grown_and_scored(rows: Ints, columns: Ints) -> Floats:
            return grown(rows, columns) * look.scores[columns]

        if rules.sure_iou is not None:
            is_sure = is_known & (gone_s <= max(rules.slow_s, look.step_s) + _ROUNDING_S)
            matching.match(is_sure, strong, _of(scored), rules.sure_iou)
        matching.match(is_known, strong, _of(scored), rules.match_iou)
        matching.match(is_known & ~is_lost, ~strong, _of(fit), rules.weak_iou)
        if rules.growth is not None:
            matching.match(is_known, strong, grown_and_scored, rules.match_iou)
        matching.match(~is_known, strong, _of(scored), rules.newcomer_iou)
        if rules.growth is not None and look.step_s > rules.slow_s + _ROUNDING_S:
            matching.match(~is_known, strong, grown, rules.match_iou)
        return matching.owners

    def _grown_fit(self, look: _Look, boxes: Floats, gone_s: Floats, rows: Ints, columns: Ints) -> Floats:
        """Return the IoU of boxes that have grown with the time since their person was seen; 0 if they differ."""
        growth, found = self._rules.growth or Growth(), look.xyxy[columns]
        part = np.minimum(growth.at_once + growth.per_s * gone_s, growth.most)
        ratio = (found[:, 3] - found[:, 1]) / (boxes[:, 3] - boxes[:, 1])[:, np.newaxis]
        is_alike = (ratio < growth.height_ratio) & (ratio > 1 / growth.height_ratio)
        is_alike &= self._tracks["label"][rows, np.newaxis] == look.labels[columns]
        return overlaps(boxes, found, part) * is_alike

    def _see(self, look: _Look, owners: Ints, is_new_scene: bool) -> None:
        """Update the tracks that own a detection; publish newcomers with enough evidence, and all in a new scene."""
        found = (owners >= 0).nonzero()[0]
        if not len(found):
            return
        owned, tracks, rules = owners[found], self._tracks, self._rules
        self._filter.correct(self._motion, owned, look.xyxy[found])
        tracks["looks"][owned] += 1
        tracks["evidence"][owned] += look.scores[found]
        tracks["seen_s"][owned] = look.now_s
        is_proven = (tracks["evidence"][owned] >= rules.evidence) & (tracks["looks"][owned] >= rules.least_looks)
        tracks["is_published"][owned] |= is_proven | is_new_scene

    def _begin(self, look: _Look, owners: Ints, is_published: bool) -> None:
        """Begin a track with each strong detection that no track owns, and make it the owner."""
        born = ((owners < 0) & look.is_strong).nonzero()[0]
        if not len(born):
            return
        rules, scores = self._rules, look.scores[born]
        tracks = np.zeros(len(born), _TRACK)
        tracks["id"] = np.arange(self._last_id + 1, self._last_id + 1 + len(born))
        tracks["label"] = look.labels[born]
        tracks["since_s"] = tracks["seen_s"] = look.now_s
        tracks["looks"] = 1
        tracks["evidence"] = scores
        tracks["is_published"] = is_published | ((scores >= rules.evidence) & (rules.least_looks <= 1))
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
        for row, column in zip(*np.nonzero(overlaps(boxes[visible], boxes[lost]) > least), strict=True):
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
