"""The table of docs/reliability.md: how many files of each trait were made, and what became of them.

It has no column for files that were read wrongly, because one of them fails the run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from .combination import Verdict

HEAD = [
    "| trait | made | right | refused with a line | not possible |",
    "| --- | --- | --- | --- | --- |",
]


def table(verdicts: Iterable[tuple[str, Verdict]]) -> list[str]:
    """Return the lines of the table, a row for each trait and one for all.

    Args:
        verdicts: the trait of each file, and what became of it.
    """
    rows: defaultdict[str, Counter[Verdict]] = defaultdict(Counter)
    for group, verdict in verdicts:
        rows[group][verdict] += 1
    rows["all"] = sum(rows.values(), Counter())
    lines = list(HEAD)
    for group, counts in rows.items():
        not_made = counts["not made"]
        cells = [counts.total() - not_made, counts["right"], counts["refused"], not_made]
        lines.append(f"| {group} | {' | '.join(map(str, cells))} |")
    return lines
