"""Tells in a few lines what became of many inputs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from .probe import Outcome

# Seeds named for each finding.
SEEDS = 5


def summary(outcomes: Sequence[Sequence[Outcome]]) -> str:
    """Return how many inputs there were, how they ended, the slowest, and each finding with a few of its seeds."""
    all_of_them = [outcome for own in outcomes for outcome in own]
    slowest = max(all_of_them, key=lambda outcome: outcome.seconds)
    largest = max(all_of_them, key=lambda outcome: outcome.peak_mb)
    lines = [
        f"{len(all_of_them)} inputs, {sum(outcome.frames > 0 for outcome in all_of_them)} with frames; "
        f"ends: {_counts(outcome.end for outcome in all_of_them)}",
        f"slowest: seed {slowest.seed} ({slowest.kind}), {slowest.seconds:.1f} s; "
        f"most memory: seed {largest.seed} ({largest.kind}), {largest.peak_mb:.0f} MB; "
        f"growth of a process: {growth_mb(outcomes):.1f} MB",
    ]
    for what in ("harm", "internal"):
        found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for outcome in all_of_them:
            if text := getattr(outcome, what):
                found[outcome.kind, text[:150]].append(outcome.seed)
        lines += [
            f"{what}: {kind}: {text} ({len(seeds)}: seeds {', '.join(map(str, sorted(seeds)[:SEEDS]))})"
            for (kind, text), seeds in sorted(found.items())
        ]
    return "\n".join(lines)


def growth_mb(outcomes: Sequence[Sequence[Outcome]]) -> float:
    """Return how much the memory of a process grew after its first third, in the mean of all processes."""
    grown = []
    for own in outcomes:
        later = [outcome.resident_mb for outcome in own if outcome.resident_mb][len(own) // 3 :]
        if len(later) >= 6:
            grown.append(np.median(later[-3:]) - np.median(later[:3]))
    return float(np.mean(grown)) if grown else 0.0


def _counts(words: object) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common())
