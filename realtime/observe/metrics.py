"""Time measurements: a histogram of bounded size, and the meter of all stages.

Not part of the data path. The loops that run the stages write to the meter; the run report, the summary and
StatusMessage read it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter

# Neighbouring bins differ by 2 %, which is the accuracy of a percentile. Values below the smallest share one bin.
_GROWTH = math.log(1.02)
_SMALLEST_MS = 1e-3
# `StageMeter.recent` covers the last one to two of these periods (s): what StatusMessage calls the last few seconds.
WINDOW_S = 3.0


class Histogram:
    """Durations in milliseconds, counted in logarithmic bins.

    A run that never ends keeps a few hundred counts instead of every sample.

    Attributes:
        count: number of durations.
        max: the longest one in ms, exact.
    """

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self.count = 0
        self.max = 0.0

    def add(self, ms: float) -> None:
        """Count one duration."""
        self._bins[math.floor(math.log(max(ms, _SMALLEST_MS) / _SMALLEST_MS) / _GROWTH)] += 1
        self.count += 1
        self.max = max(self.max, ms)

    def include(self, other: Histogram) -> None:
        """Count all durations of another histogram too."""
        self._bins.update(other._bins)
        self.count += other.count
        self.max = max(self.max, other.max)

    def percentile(self, percent: float) -> float:
        """The `percent`-th percentile in ms, accurate to 2 %; 0 if the histogram is empty."""
        rank, seen = percent / 100 * self.count, 0
        for index in sorted(self._bins):
            seen += self._bins[index]
            if seen >= rank:
                return min(_SMALLEST_MS * math.exp((index + 0.5) * _GROWTH), self.max)
        return 0.0

    def summary(self) -> dict[str, float]:
        """p50, p95 and p99 in ms."""
        return {f"p{percent}": round(self.percentile(percent), 3) for percent in (50, 95, 99)}


class _Times:
    """Durations by stage: of calls, and of waits."""

    def __init__(self) -> None:
        self.ms: dict[str, Histogram] = {}
        self.wait_ms: dict[str, Histogram] = {}

    def include(self, other: _Times) -> None:
        """Count all durations of another one too."""
        for mine, others in ((self.ms, other.ms), (self.wait_ms, other.wait_ms)):
            for stage, histogram in others.items():
                mine.setdefault(stage, Histogram()).include(histogram)


class StageMeter:
    """Calls, items and busy time of each stage, and how long items waited for it. Safe to use from any thread.

    >>> meter = StageMeter()
    >>> meter.measure("detect", items=1, seconds=0.025)
    >>> meter.summary()["detect"]["busy_s"]
    0.025
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._items: Counter[str] = Counter()
        self._busy_s: Counter[str] = Counter()
        # A duration is counted once, in the window; a window that has ended is added to the whole.
        self._whole, self._last, self._window = _Times(), _Times(), _Times()
        self._ends_s = time.monotonic() + WINDOW_S

    def measure(self, stage: str, items: int, seconds: float) -> None:
        """Record one call of a stage: how many items it processed, and in what time."""
        with self._lock:
            self._turn()
            self._calls[stage] += 1
            self._items[stage] += items
            self._busy_s[stage] += seconds  # type: ignore[assignment]  # Counter adds floats as well
            self._window.ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def waited(self, stage: str, seconds: float) -> None:
        """Record how long an item waited before the stage started on it."""
        with self._lock:
            self._turn()
            self._window.wait_ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def summary(self) -> dict[str, dict[str, object]]:
        """By stage: calls, items, busy_s, and percentiles in ms of a call's duration and of an item's wait for it."""
        with self._lock:
            times = _together(self._whole, self._window)
            return {
                stage: {
                    "calls": self._calls[stage],
                    "items": self._items[stage],
                    "busy_s": round(float(self._busy_s[stage]), 3),
                    "ms": histogram.summary(),
                    "wait_ms": times.wait_ms.get(stage, Histogram()).summary(),
                }
                for stage, histogram in times.ms.items()
            }

    def recent(self) -> dict[str, dict[str, float]]:
        """By stage that ran in the last WINDOW_S to 2 * WINDOW_S seconds, all in ms.

        `p50` and `p95` of a call's duration, and `wait_p95` of an item's wait for the stage, 0 if none waited.
        """
        with self._lock:
            self._turn()
            times = _together(self._last, self._window)
        return {
            stage: {
                "p50": round(histogram.percentile(50), 3),
                "p95": round(histogram.percentile(95), 3),
                "wait_p95": round(times.wait_ms.get(stage, Histogram()).percentile(95), 3),
            }
            for stage, histogram in times.ms.items()
        }

    def _turn(self) -> None:
        """Begin another window if this one has ended. One that ended long ago is not recent any more."""
        now_s = time.monotonic()
        if now_s < self._ends_s:
            return
        self._whole.include(self._window)
        self._last = self._window if now_s < self._ends_s + WINDOW_S else _Times()
        self._window, self._ends_s = _Times(), now_s + WINDOW_S


def _together(*several: _Times) -> _Times:
    whole = _Times()
    for each in several:
        whole.include(each)
    return whole
