"""The reference of the command `smoothing`: the paper's One-Euro filter, swept over its two parameters.

`Curve` keeps the lowest jitter that any setting reaches at each lag. The other filters are compared with this curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime.evaluate.progress import progress
from realtime.evaluate.smoothing.clips import Clip, Floats
from realtime.evaluate.smoothing.filters import paper_one_euro
from realtime.evaluate.smoothing.motion import Score, lag_ms, measure

# The grid of the reference's two parameters, min_cutoff in Hz and beta in Hz per (pixel per second). It ranges from a
# filter that hardly moves to one that hardly filters.
SWEEP_MIN_CUTOFF_HZ = np.geomspace(0.1, 25.6, 11)
SWEEP_BETA = np.concatenate([[0.0], np.geomspace(4e-4, 0.8, 20)])
# (min_cutoff, beta) of well-known settings: the authors' default, a common one in pose demos, a good one of the sweep.
KNOWN = ((1.0, 0.0), (1.0, 0.007), (0.5, 0.02))


@dataclass(frozen=True)
class Setting:
    """A setting of the reference, and its mean score over the clips in which the person moves."""

    min_cutoff_hz: float
    beta: float
    score: Score


@dataclass(frozen=True, eq=False)
class Curve:
    """The lowest jitter that the reference reaches at each lag.

    Attributes:
        lag_ms: float64 (C,), increasing.
        jitter_px: float64 (C,), decreasing.
    """

    lag_ms: Floats
    jitter_px: Floats

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> Curve:
        """Build the curve from the settings that no other setting beats in both lag and jitter."""
        points = sorted((setting.score.lag_ms, setting.score.jitter_px) for setting in settings)
        best: list[tuple[float, float]] = []
        for lag, jitter in points:
            if not best or jitter < best[-1][1]:
                best.append((lag, jitter))
        lags, jitters = np.array(best, np.float64).reshape(-1, 2).T
        return cls(lags, jitters)

    def jitter_ratio(self, score: Score) -> float:
        """A filter's jitter divided by the reference's at the same lag; NaN beyond the ends of the curve."""
        return score.jitter_px / float(np.interp(score.lag_ms, self.lag_ms, self.jitter_px, left=np.nan, right=np.nan))

    def later_ms(self, score: Score) -> float:
        """A filter's lag minus the reference's at the same jitter; NaN beyond the ends of the curve."""
        at = np.interp(score.jitter_px, self.jitter_px[::-1], self.lag_ms[::-1], left=np.nan, right=np.nan)
        return score.lag_ms - float(at)


def sweep(clips: Sequence[Clip]) -> list[Setting]:
    """Score the reference at every setting of its grid, on the clips whose ground truth moves."""
    cutoffs, betas = (grid.ravel() for grid in np.meshgrid(SWEEP_MIN_CUTOFF_HZ, SWEEP_BETA, indexing="ij"))
    scores: list[list[Score]] = [[] for _ in betas]
    for clip in progress([clip for clip in clips if moves(clip)], "reference", unit="clips"):
        for own, output in zip(scores, paper_one_euro(clip, cutoffs, betas), strict=True):
            own.append(measure(clip, output))
    named = zip(cutoffs.tolist(), betas.tolist(), scores, strict=True)
    return [Setting(cutoff, beta, Score.mean(own)) for cutoff, beta, own in named if own]


def one_setting(min_cutoff_hz: float, beta: float, clip: Clip) -> Floats:
    """Filter a clip with the reference at one setting: float64 (T, K, 2)."""
    [output] = paper_one_euro(clip, np.array([min_cutoff_hz]), np.array([beta]))
    return np.asarray(output)


def moves(clip: Clip) -> bool:
    """Return whether the ground truth of the clip moves, so that lag is defined."""
    return clip.truth is not None and not np.isnan(lag_ms(clip.truth, clip.truth, clip.times_s))
