"""People hidden on purpose: what becomes of their identity when the detector doesn't see them for a while.

`python -m realtime.evaluate tracking --hide S`. Ground truth says where somebody is; what was detected there is
withheld for S seconds, of everybody who is there long enough, at times drawn by `--seed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.evaluate.mot import ID, SCORE, XYWH, MotSequence, iou_of
from realtime.types import Detections

KEPT, TAKEN, NEW = "kept", "taken", "new"
OUTCOMES = (KEPT, TAKEN, NEW)

# Seconds that somebody is seen before the first time and between two, and how much the times are moved by chance.
_SEEN_S, _BY_CHANCE_S = 2.0, 2.0
# A detection that overlaps somebody hidden by so much is withheld; a track that overlaps a person by so much is theirs.
_HIDES_IOU, _SAME_IOU = 0.4, 0.5
# An identity counts that is found within this time of the hiding.
_LOOKED_FOR_S = 2.0


@dataclass(frozen=True)
class _Gap:
    """Somebody hidden: `person` of the ground truth, in frames first..last."""

    person: int
    first: int
    last: int


class Occlusions:
    """Who of a sequence is hidden when.

    Args:
        sequence: with a frame rate.
        seconds: how long.
        seed: of the times.

    Raises:
        ConfigError: nothing says the frame rate.
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
        """The detections without those of people who are hidden; frame.index is the frame's number - 1."""
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

    def outcomes(self, tracks: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Counter[str]:
        """How often somebody had their id again afterwards, one that somebody else had had before, or a new one.

        Args:
            tracks: frame number to ids (N,) and boxes x, y, w, h (N, 4).

        Returns:
            Counts by OUTCOMES; who had no id before or none within 2 s afterwards is not counted.
        """
        begun: dict[int, int] = {}  # id -> the first frame that has it
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

    def _first_id(
        self, tracks: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]], person: int, numbers: Iterable[int]
    ) -> int | None:
        """The id of the track that fits a person best, in the first of these frames that has one."""
        for number in numbers:
            box = self._box_of(number, person)
            ids, boxes = tracks.get(number, (np.zeros(0, np.int64), np.zeros((0, 4))))
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
