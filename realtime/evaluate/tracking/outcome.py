"""The results of one tracker on one sequence, on several together, and their means.

`command` makes them, `table` shows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from realtime.evaluate.tracking.metrics import Scores, combine
from realtime.evaluate.tracking.occlusion import OUTCOMES

ALL, MEAN = "COMBINED", "MEAN"
# Counts of all sequences, of which a mean over sequences would say nothing.
_COUNTS = ("IDSW", "FP", "FN", "Frag", "MT", "ML", "looks", *OUTCOMES)

Numbers = dict[str, float | int | None]


@dataclass(frozen=True)
class Outcome:
    """The results of one tracker on one sequence, or on several together.

    Attributes:
        scores: the scores against ground truth.
        seconds: tracking time of each frame; empty if the tracks came from a file.
        hidden: how often a person hidden by `--hide` kept the id, took another person's or got a new one; counts by
            `occlusion.OUTCOMES`. None without `--hide`.
        looks: number of frames on which the detector ran.
    """

    scores: Scores
    seconds: list[float] = field(default_factory=list)
    hidden: Counter[str] | None = None
    looks: int = 0

    def numbers(self) -> Numbers:
        """Return all figures by name: the scores, `ms` per frame, `looks`, and with `--hide` the counts of OUTCOMES.

        `ms` and `looks` are None if no tracker ran.
        """
        ms = 1e3 * float(np.mean(self.seconds)) if self.seconds else None
        looks = self.looks if self.seconds else None
        hidden = {} if self.hidden is None else {key: self.hidden[key] for key in OUTCOMES}
        return {**self.scores.numbers(), "ms": ms, "looks": looks, **hidden}


def numbers_of(by_sequence: Mapping[str, Outcome]) -> dict[str, Numbers]:
    """Return the figures of each sequence, then those of all together (ALL) and, of several, their mean (MEAN).

    ALL sums the counts of all sequences, so a long crowded sequence decides it. MEAN is the mean of the percentages of
    the sequences, which count alike. It has no counts.
    """
    outcomes = list(by_sequence.values())
    hidden = [each.hidden for each in outcomes if each.hidden is not None]
    together = Outcome(
        combine([each.scores for each in outcomes]),
        [s for each in outcomes for s in each.seconds],
        sum(hidden, Counter()) if hidden else None,
        sum(each.looks for each in outcomes),
    )
    numbers = {name: outcome.numbers() for name, outcome in by_sequence.items()}
    mean = {key: None if key in _COUNTS else value for key, value in mean_of(list(numbers.values())).items()}
    return numbers | {ALL: together.numbers()} | ({MEAN: mean} if len(outcomes) > 1 else {})


def mean_of(several: Sequence[Numbers]) -> Numbers:
    """Return the mean of each figure; None for one that is missing in any of them.

    >>> mean_of([{"HOTA": 50.0, "ms": None}, {"HOTA": 60.0, "ms": 2.0}])
    {'HOTA': 55.0, 'ms': None}
    """
    columns = {key: [each[key] for each in several] for key in several[0]}
    return {
        key: None if None in column else float(np.mean(np.array(column, np.float64))) for key, column in columns.items()
    }
