"""HOTA, CLEAR and identity scores of one sequence, or of several sequences together.

The arithmetic is that of Roboflow's `trackers.eval`, a port of TrackEval, which only this file imports. HOTA: Luiten et
al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. MOTA and IDSW: Bernardin and
Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008. IDF1: Ristani et al., 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackers.eval import (
    aggregate_clear_metrics,
    aggregate_hota_metrics,
    aggregate_identity_metrics,
    compute_clear_metrics,
    compute_hota_metrics,
    compute_identity_metrics,
)

from realtime.errors import ConfigError
from realtime.evaluate.tracking.mot import NO_BOXES, Boxes, Compared, MotSequence, compare_frame

_Numbers = dict[str, Any]  # Any: floats, integers, and the arrays over HOTA's thresholds that `combine` needs

# The scores that are reported in percent, by family and in this order.
_HOTA = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")
_CLEAR = ("MOTA", "MOTP")
_IDENTITY = ("IDF1", "IDR", "IDP")
_COUNTS = {"IDSW": "IDSW", "FP": "CLR_FP", "FN": "CLR_FN", "Frag": "Frag", "MT": "MT", "ML": "ML"}


@dataclass(frozen=True)
class Scores:
    """All scores of one sequence, or of several together, in a form that `combine` accepts."""

    hota: _Numbers
    clear: _Numbers
    identity: _Numbers

    def numbers(self) -> dict[str, float | int]:
        """Return the scores by name.

        HOTA and its parts are means over the IoU thresholds .05, .10, ..., .95; all other scores use IoU 0.5. HOTA and
        its parts, MOTA, MOTP, IDF1, IDR and IDP are percentages. IDSW, FP, FN, Frag, MT and ML are counts.
        """
        shares = [(self.hota, _HOTA), (self.clear, _CLEAR), (self.identity, _IDENTITY)]
        percent = {name: 100.0 * float(family[name]) for family, names in shares for name in names}
        return percent | {name: int(self.clear[key]) for name, key in _COUNTS.items()}


def score(frames: Sequence[Compared]) -> Scores:
    """Compute the scores of one sequence.

        >>> import numpy as np
        >>> frame = Compared(truth_ids=np.array([1]), track_ids=np.array([7]), iou=np.array([[1.0]]))
        >>> missed = Compared(np.array([1]), np.zeros(0, np.int64), np.zeros((1, 0)))
        >>> numbers = score([frame, frame, frame, missed]).numbers()
        >>> numbers["HOTA"], numbers["MOTA"], numbers["IDSW"]
        (75.0, 75.0, 0)

    Args:
        frames: the frames in temporal order.
    """
    lists = [f.truth_ids for f in frames], [f.track_ids for f in frames], [f.iou for f in frames]
    return Scores(compute_hota_metrics(*lists), compute_clear_metrics(*lists), compute_identity_metrics(*lists))


def combine(scores: Sequence[Scores]) -> Scores:
    """Combine the scores of several sequences as TrackEval's COMBINED does: sum the counts, don't average percentages.

    >>> import numpy as np
    >>> short = score([Compared(np.array([1]), np.zeros(0, np.int64), np.zeros((1, 0)))])
    >>> long = score([Compared(np.array([1]), np.array([7]), np.array([[1.0]]))] * 4)
    >>> combine([short, long]).numbers()["MOTA"]
    80.0
    """
    return Scores(
        aggregate_hota_metrics([s.hota for s in scores]),
        aggregate_clear_metrics([s.clear for s in scores]),
        aggregate_identity_metrics([s.identity for s in scores]),
    )


def score_tracks(sequence: MotSequence, tracks: Mapping[int, Boxes], kept: list[int]) -> Scores:
    """Score tracks against ground truth.

    Args:
        sequence: the sequence with its ground truth.
        tracks: frame number to ids and boxes; a missing frame has no tracks.
        kept: numbers of the frames that count.

    Raises:
        ConfigError: an id occurs twice in a frame.
    """
    try:
        return score([compare_frame(sequence, number, *tracks.get(number, NO_BOXES)) for number in kept])
    except ValueError as error:
        raise ConfigError(str(error)) from None
