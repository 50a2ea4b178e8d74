"""The figures of two machines side by side: `bench --compare A B`."""

from __future__ import annotations

import math
from pathlib import Path

from realtime.evaluate.bench.files import Bench, read
from realtime.evaluate.report import Cell, Report


def compared(first: Path, second: Path) -> Report:
    """Compare two files that `bench --json` wrote.

    Raises:
        ConfigError: one can't be read, or has another format.
    """
    one, other = read(first), read(second)
    rows: list[list[Cell]] = []
    data: dict[str, dict[str, dict[str, float | None]]] = {}
    for section, name in dict.fromkeys([*_names(one), *_names(other)]):
        a, b = (_median(bench, section, name) for bench in (one, other))
        factor = b / a if a and b is not None else None
        rows.append([section, name, a, b, factor if factor is None or math.isfinite(factor) else None])
        data.setdefault(section, {})[name] = {"a": a, "b": b, "b_over_a": factor}
    failed = [
        f"{side}: {section} failed: {result.error}"
        for side, bench in (("A", one), ("B", other))
        for section, result in bench.sections.items()
        if result.error is not None
    ]
    return Report(
        title="Two machines side by side, medians",
        columns=["section", "figure", "A", "B", "B / A"],
        rows=rows,
        data={"a": str(first), "b": str(second), "sections": data},
        notes=[f"A: {first}: {one.machine.in_words()}", f"B: {second}: {other.machine.in_words()}", *failed],
        warnings=_differences(one, other),
    )


def _names(bench: Bench) -> list[tuple[str, str]]:
    return [(section, name) for section, result in bench.sections.items() for name in result.figures]


def _median(bench: Bench, section: str, name: str) -> float | None:
    result = bench.sections.get(section)
    figure = result.figures.get(name) if result else None
    return figure.median if figure else None


def _differences(one: Bench, other: Bench) -> list[str]:
    """What besides the processor may explain a difference."""
    found = []
    if one.quick != other.quick:
        found.append("only one of the files was measured with --quick, so some figures have different conditions")
    if one.machine.cores != other.machine.cores:
        found.append(f"the machines have {one.machine.cores} and {other.machine.cores} cores")
    libraries = [
        f"{name} {ours} and {theirs}"
        for name, ours in one.machine.libraries.items()
        if (theirs := other.machine.libraries.get(name, "none")) != ours
    ]
    return found + ([f"the versions of libraries differ: {', '.join(libraries)}"] if libraries else [])
