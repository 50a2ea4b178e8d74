"""Plots of the results of `compare` and `cost`, drawn with `--plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.errors import OutputError


def plot_ratios(file: Path, data: Mapping[str, Any]) -> None:
    """Plot our speed relative to that of each other side, as bars in one group per mode.

    Args:
        file: the image file to write.
        data: `Report.data` of `compare`.

    Raises:
        OutputError: the file can't be written.
    """
    bars = [
        (f"{mode}\n{side}", found["ours_to_this"]["speed"])
        for mode, sides in data["modes"].items()
        for side, found in sides.items()
        if side != "ours"
    ]
    figure, axes = _figure(height=1 + 0.5 * len(bars))
    middles = [ratio["median"] for _, ratio in bars]
    reach = [[r["median"] - r["min"] for _, r in bars], [r["max"] - r["median"] for _, r in bars]]
    axes.barh([name for name, _ in bars], middles, xerr=reach, capsize=3)
    axes.axvline(1, color="0.4", ls="--")
    axes.invert_yaxis()
    axes.set(xlabel="our speed relative to theirs, median and range of the rounds", xlim=0)
    _save(figure, file)


def plot_costs(file: Path, panels: Sequence[tuple[str, Mapping[int, float], float, float]]) -> None:
    """Plot milliseconds against the number of cameras or people, with a straight line in each panel.

    Args:
        file: the image file to write.
        panels: for each panel the label of the x axis, milliseconds by number, and slope and intercept of the line.

    Raises:
        OutputError: the file can't be written.
    """
    figure, all_axes = _figure(columns=len(panels))
    for axes, (label, ms, slope, start) in zip(all_axes if len(panels) > 1 else [all_axes], panels, strict=True):
        counts = list(ms)
        axes.plot(counts, list(ms.values()), "o")
        axes.plot(counts, [start + slope * n for n in counts], color="0.4", label=f"{start:.1f} + {slope:.2f} n")
        axes.set(xlabel=label, ylabel="ms", xlim=0, ylim=0)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, file)


def _figure(height: float = 4.0, columns: int = 1) -> tuple[Any, Any]:  # Any: one Axes or an array of them
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7, 5 * columns), height), layout="tight")
    return figure, figure.subplots(1, columns)


def _save(figure: Any, file: Path) -> None:  # noqa: ANN401 - matplotlib is imported in _figure only
    try:
        figure.savefig(file, dpi=100)
    except (OSError, ValueError) as error:
        raise OutputError(f"--plot: can't write {file}: {getattr(error, 'strerror', None) or error}") from None
