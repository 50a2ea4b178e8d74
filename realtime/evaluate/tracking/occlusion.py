"""Artificial occlusions: hide people from the tracker for a while and check which id they have afterwards.

This is `python -m realtime.evaluate tracking --hide S`. Every person visible for long enough is hidden for S
seconds, at times drawn at random with `--seed`: detections that overlap the person's ground truth are withheld.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.evaluate.tracking.mot import ID, NO_BOXES, SCORE, XYWH, Boxes, MotSequence, iou_of
from realtime.types import Detections

KEPT, TAKEN, NEW = "kept", "taken", "new"
OUTCOMES = (KEPT, TAKEN, NEW)

# A person stays visible for at least _SEEN_S before, between and after occlusions. The start of each occlusion is
# delayed at random by up to _BY_CHANCE_S.
_SEEN_S, _BY_CHANCE_S = 2.0, 2.0
# A detection is withheld if its IoU with a hidden person is at least _HIDES_IOU. A track belongs to a person if their
# IoU is at least _SAME_IOU.
_HIDES_IOU, _SAME_IOU = 0.4, 0.5
# A person's id is searched for within this time before and after the occlusion.
_LOOKED_FOR_S = 2.0


@dataclass(frozen=True)
class _Gap:
    """One occlusion: `person` of the ground truth is hidden in the frames first..last."""

    person: int
    first: int
    last: int


class Occlusions:
    """The occlusions of a sequence.

        >>> from pathlib import Path
        >>> frames = range(1, 121)  # one person stands still for 12 s
        >>> truth = {n: np.array([[n, 1, 100.0, 50, 40, 100, 1, 1, 1]]) for n in frames}
        >>> sequence = MotSequence("standing", Path(), frames, 10.0, None, Path(), truth, has_classes=False)
        >>> occlusions = Occlusions(sequence, seconds=3.0, seed=0)
        >>> len(occlusions)
        1
        >>> occlusions.outcomes({n: (np.array([7 if n < 45 else 8]), truth[n][:, XYWH]) for n in frames})
        Counter({'new': 1})

    Args:
        sequence: the sequence, which must have a frame rate.
        seconds: duration of each occlusion.
        seed: seed of the random start times.

    Raises:
        ConfigError: the frame rate is unknown.
    """

    def __init__(self, sequence: MotSequence, seconds: float, seed: int) -> None:
        self._sequence = sequence
        if sequence.rate_hz is None:
            raise ConfigError(f"{sequence.folder}: no frame rate in seqinfo.ini, expected --rate")
        rate_hz = sequence.rate_hz
        length, seen, chance = (max(1, round(s * rate_hz)) for s in (seconds, _SEEN_S, _BY_CHANCE_S))
        self._looked_for = max(1, round(_LOOKED_FOR_S * rate_hz))
        random = np.random.default_rng(seed)
        self._gaps: list[_Gap] = []
        for person in sorted({int(row[ID]) for rows in sequence.truth.values() for row in rows if row[SCORE]}):
            there = [number for number in sequence.frames if self._box_of(number, person) is not None]
            first = there[0] + seen + int(random.integers(chance)) if there else 0
            while there and first + length + seen <= there[-1]:
                self._gaps.append(_Gap(person, first, first + length - 1))
                first += length + seen + int(random.integers(chance))

    def __len__(self) -> int:
        return len(self._gaps)

    def withheld(self, detections: Iterable[Detections]) -> Iterator[Detections]:
        """Yield the detections without those of hidden people. `frame.index` is the frame number minus 1."""
        for item in detections:
            number = item.frame.index + 1
            hidden = [self._box_of(number, gap.person) for gap in self._gaps if gap.first <= number <= gap.last]
            boxes = [box for box in hidden if box is not None]
            if not boxes or not len(item):
                yield item
                continue
            xyxy = item.xyxy.astype(np.float64)
            xywh = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
            stays = (iou_of(np.stack(boxes), xywh) < _HIDES_IOU).all(0)
            keypoints = None if item.keypoints is None else item.keypoints[stays]
            yield replace(item, xyxy=item.xyxy[stays], scores=item.scores[stays], keypoints=keypoints)

    def outcomes(self, tracks: Mapping[int, Boxes]) -> Counter[str]:
        """Count how often a person kept their id through an occlusion, got an id used before it, or got a new one.

        Args:
            tracks: frame number to ids (N,) and boxes x, y, w, h (N, 4).

        Returns:
            Counts by OUTCOMES. An occlusion does not count if the person has no id within 2 s before or after it.
        """
        begun: dict[int, int] = {}  # id -> the first frame with this id
        for number in sorted(tracks):
            for track_id in tracks[number][0].tolist():
                begun.setdefault(track_id, number)
        counts: Counter[str] = Counter()
        for gap in self._gaps:
            before = self._first_id(tracks, gap.person, range(gap.first - 1, gap.first - 1 - self._looked_for, -1))
            after = self._first_id(tracks, gap.person, range(gap.last + 1, gap.last + 1 + self._looked_for))
            if before is not None and after is not None:
                counts[KEPT if after == before else TAKEN if begun[after] < gap.first else NEW] += 1
        return counts

    def _first_id(self, tracks: Mapping[int, Boxes], person: int, numbers: Iterable[int]) -> int | None:
        """Return the id of the person's best matching track in the first of these frames that has a match, or None."""
        for number in numbers:
            box = self._box_of(number, person)
            ids, boxes = tracks.get(number, NO_BOXES)
            if box is not None and len(ids):
                fits = iou_of(box[np.newaxis], boxes)[0]
                if fits.max() >= _SAME_IOU:
                    return int(ids[fits.argmax()])
        return None

    def _box_of(self, number: int, person: int) -> NDArray[np.float64] | None:
        rows = self._sequence.truth.get(number)
        if rows is None:
            return None
        theirs = rows[rows[:, ID] == person]
        return theirs[0, XYWH] if len(theirs) else None
