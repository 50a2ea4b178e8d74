"""How long things took: histograms of bounded size, and one meter for each stage.

Written by the stage runner on every call, read by the run report and the summary.
"""

from __future__ import annotations

import math
import threading
from collections import Counter

# Neighbouring bins differ by 2 %: that is how exact a percentile is. Below the smallest value all is one bin.
_GROWTH = math.log(1.02)
_SMALLEST_MS = 1e-3


class Histogram:
    """Milliseconds in bins of equal ratio: a 24/7 run keeps some hundred numbers, not every sample."""

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
        """The duration that `percent` % of all don't exceed, within 2 %; 0 before the first."""
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
    """Calls, items and time of every stage, and how long items waited for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._items: Counter[str] = Counter()
        self._busy_s: Counter[str] = Counter()
        self._ms: dict[str, Histogram] = {}
        self._wait_ms: dict[str, Histogram] = {}

    def measure(self, stage: str, items: int, seconds: float) -> None:
        """One call of a stage."""
        with self._lock:
            self._calls[stage] += 1
            self._items[stage] += items
            self._busy_s[stage] += seconds  # type: ignore[assignment]  # Counter adds floats as well
            self._ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def waited(self, stage: str, seconds: float) -> None:
        """An item was ready for so long before the stage began with it."""
        with self._lock:
            self._wait_ms.setdefault(stage, Histogram()).add(seconds * 1e3)

    def summary(self) -> dict[str, dict[str, object]]:
        """Per stage: calls, items, busy_s and the percentiles of one call's ms and of an item's wait before it."""
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
