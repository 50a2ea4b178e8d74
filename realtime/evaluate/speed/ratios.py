"""The ratios of our figures to those of the other sides, as the rows and the data of the report of `compare`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from realtime.evaluate.report import Cell
from realtime.evaluate.speed.runs import Run

# The side that is compared with each of the others.
OURS = "ours"
COLUMNS = ("mode", "side", "speed", "age p50", "age p95", "first", "people/s", "frames/s", "p50 ms", "p95 ms", "people",
           "lost", "first s", "found by ours")  # fmt: skip
NOTES = (
    "speed, age, first: ours divided by that side's; speed is people/s live, else frames/s. people: mean per frame.",
    "first s: from the start of the process to its first result. track, track-as-shipped and sequential warm up first.",
    "found by ours: share of that side's boxes that ours has (IoU 0.7), in frames that both published.",
    "lost: frames neither published nor counted as dropped. "
    "In throughput mode, the age of sides that call YOLO.track starts at the request for a frame.",
)
_FIGURES = ("people_per_s", "fps", "p50_ms", "p95_ms", "people", "thrown_away", "first_s")


def ratios(
    runs: Mapping[str, Mapping[str, Sequence[Run]]], live: Collection[str]
) -> tuple[list[list[Cell]], dict[str, dict[str, object]]]:
    """Return the rows of the table, with the columns COLUMNS, and the same as data by mode and side.

    Args:
        runs: by mode and side, one run per round. Each mode has OURS.
        live: the modes with a live source.
    """
    rows: list[list[Cell]] = []
    data: dict[str, dict[str, object]] = {}
    for mode, sides in runs.items():
        ours = [run.figures() for run in sides[OURS]]
        data[mode] = {}
        for side, theirs in sides.items():
            figures = [run.figures() for run in theirs]
            of_each = {
                "speed": _ratio(ours, figures, "people_per_s" if mode in live else "fps"),
                "age_p50": _ratio(ours, figures, "p50_ms"),
                "age_p95": _ratio(ours, figures, "p95_ms"),
                "first": _ratio(ours, figures, "first_s"),
            }
            shares = [theirs[i].share_found_by(sides[OURS][i]) for i in range(len(theirs))]
            medians = {name: float(np.median([f[name] for f in figures])) for name in _FIGURES}
            found = float(np.median(shares))
            rows.append([mode, side, *(r["median"] for r in of_each.values()), *medians.values(), found])
            data[mode][side] = {
                "engine": theirs[0].engine,
                "ours_to_this": of_each,
                "figures": medians,
                "found_by_ours": found,
                "rounds": figures,
            }
    return rows, data


def _ratio(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], name: str) -> dict[str, float]:
    """Return the median, minimum and maximum over the rounds of our figure divided by theirs."""
    found = [a[name] / b[name] if b[name] else float("nan") for a, b in zip(ours, theirs, strict=True)]
    return {"median": float(np.median(found)), "min": min(found), "max": max(found)}
