"""Time measurements: a histogram of bounded size, and the meter of all stages.

Not part of the data path. The loops that run the stages write to the meter; the run report and the summary read it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter

# Neighbouring bins differ by 2 %, which is the accuracy of a percentile. Values below the smallest share one bin.
_GROWTH = math.log(1.02)
_SMALLEST_MS = 1e-3


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


class StageMeter:
    """Calls, items and busy time of each stage, and how long items waited for it. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._items: Counter[str] = Counter()
        self._busy_s: Counter[str] = Counter()
        self._ms: dict[str, Histogram] = {}
        self._wait_ms: dict[str, Histogram] = {}

    def measure(self, stage: str, items: int, seconds: float) -> None:
        """Record one call of a stage: how many items it processed, and in what time."""
        with self._lock:
            self._calls[stage] += 1
            self._items[stage] += items
            self._busy_s[stage] += seconds  # type: ignore[assignment]  # Counter adds floats as well
            self._ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def waited(self, stage: str, seconds: float) -> None:
        """Record how long an item waited before the stage started on it."""
        with self._lock:
            self._wait_ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def summary(self) -> dict[str, dict[str, object]]:
        """By stage: calls, items, busy_s, and percentiles in ms of a call's duration and of an item's wait for it."""
        with self._lock:
            return {
                stage: {
                    "calls": self._calls[stage],
                    "items": self._items[stage],
                    "busy_s": round(float(self._busy_s[stage]), 3),
                    "ms": histogram.summary(),
                    "wait_ms": self._wait_ms.get(stage, Histogram()).summary(),
                }
                for stage, histogram in self._ms.items()
            }
