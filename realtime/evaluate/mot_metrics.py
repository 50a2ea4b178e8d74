"""HOTA, CLEAR and identity scores of one sequence, and of several together.

Behind evaluate.tracking. The arithmetic is Roboflow's `trackers.eval`, a port of TrackEval; this is the only file that
imports it. HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. MOTA,
IDSW: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008. IDF1: Ristani et al., 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
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

from realtime.evaluate.mot import Compared

_Numbers = dict[str, Any]  # Any: floats, whole numbers and, for combining, arrays over HOTA's thresholds

# Shown in percent, by family and in this order.
_HOTA = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")
_CLEAR = ("MOTA", "MOTP")
_IDENTITY = ("IDF1", "IDR", "IDP")
_COUNTS = {"IDSW": "IDSW", "FP": "CLR_FP", "FN": "CLR_FN", "Frag": "Frag", "MT": "MT", "ML": "ML"}


@dataclass(frozen=True)
class Scores:
    """All scores of one sequence, or of several, in the form that can be combined further."""

    hota: _Numbers
    clear: _Numbers
    identity: _Numbers

    def numbers(self) -> dict[str, float | int]:
        """By name: HOTA (mean over IoU thresholds .05, .10, ..., .95) and its parts, MOTA, MOTP, IDF1, IDR, IDP (at
        IoU 0.5) in percent; IDSW, FP, FN, Frag, MT, ML as counts.
        """
        shares = [(self.hota, _HOTA), (self.clear, _CLEAR), (self.identity, _IDENTITY)]
        percent = {name: 100.0 * float(family[name]) for family, names in shares for name in names}
        return percent | {name: int(self.clear[key]) for name, key in _COUNTS.items()}


def score(frames: Sequence[Compared]) -> Scores:
    """The scores of one sequence.

    Args:
        frames: in order of time.
    """
    lists = [f.truth_ids for f in frames], [f.track_ids for f in frames], [f.iou for f in frames]
    return Scores(compute_hota_metrics(*lists), compute_clear_metrics(*lists), compute_identity_metrics(*lists))


def combine(scores: Sequence[Scores]) -> Scores:
    """The scores of several sequences as one: counts are summed, not percentages averaged, as TrackEval's COMBINED."""
    return Scores(
        aggregate_hota_metrics([s.hota for s in scores]),
        aggregate_clear_metrics([s.clear for s in scores]),
        aggregate_identity_metrics([s.identity for s in scores]),
    )
