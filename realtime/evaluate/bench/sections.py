"""The measurements that `bench` runs, one command of realtime.evaluate each, and the figures that it takes of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# A figure of several rounds.
Figure = Mapping[str, float | None]
_RANGE = ("median", "min", "max")
# Keys of the commands' data that say nothing in the name of a figure.
_SILENT = {"modes", "models", "ours_to_this"}


def ranges(data: Mapping[str, Any], name: str = "") -> dict[str, Figure]:
    """Return every median with its range in the data of a command, by the keys that lead to it.

    >>> ranges({"modes": {"live": {"track": {"ours_to_this": {"speed": {"median": 2, "min": 1, "max": 3}}}}}})
    {'live track speed': {'median': 2, 'min': 1, 'max': 3}}
    """
    found: dict[str, Figure] = {}
    for key, value in data.items():
        if not isinstance(value, Mapping) or key == "ours":  # ours relative to itself
            continue
        inner = name if key in _SILENT else f"{name} {key}".strip()
        found |= {inner: value} if value.keys() == {*_RANGE} else ranges(value, inner)
    return found


def _once(value: float | None) -> Figure:
    """A figure without a range."""
    return dict.fromkeys(_RANGE, value)


def _of_one_liner(data: Mapping[str, Any]) -> dict[str, Figure]:
    people = {
        f"{mode} {side} people per frame": _once(found["figures"]["people"])
        for mode, sides in data["modes"].items()
        for side, found in sides.items()
    }
    return ranges(data) | people


def _of_calls(data: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        f"{f'pose, {people} people' if people != '0' else 'detector'}: one per core over all cores": _once(
            ms["together_ms"] / ms["apart_ms"]
        )
        for people, ms in data["calls"].items()
    }


def _of_precisions(data: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        f"{kind}, {precision} over fp32": _once(times_ms["fp32"] / ms)
        for kind, times_ms in data["times_ms"].items()
        for precision, ms in times_ms.items()
        if precision != "fp32"
    }


def _of_presets(data: Mapping[str, Any]) -> dict[str, Figure]:
    return {
        f"{setting}, {name}": _once(found[name])
        for setting, found in data["settings"].items()
        for name in ("speed", "found")
    }


@dataclass(frozen=True)
class Section:
    """One measurement.

    Attributes:
        name: its name in the file and for `--sections`.
        command: its words after `python -m realtime.evaluate`. "{video}" stands for `--video CLIP`, or for nothing, if
            no clip was given; "{clip}" for the clip or demo.
        size: flags for how much is measured, and those with `--quick`.
        minutes: about how long it takes on two cores, and with `--quick`.
        figures: takes the figures from the data that the command writes as JSON.
    """

    name: str
    command: str
    size: tuple[str, str]
    minutes: tuple[float, float]
    figures: Callable[[Mapping[str, Any]], Mapping[str, Figure]] = ranges

    def words(self, video: str | None, is_quick: bool) -> list[str]:
        """Return the words of the command for a clip; None: the built-in source."""
        clip = shlex.quote(video or "demo")
        filled = self.command.format(video=f"--video {clip}" if video else "", clip=clip)
        return shlex.split(f"{filled} {self.size[is_quick]}")


_BOXES = "compare {video} --pose none --mode throughput"
_VITPOSE = "compare {video} --mode throughput"
_LIVE = "compare {video} --mode live --fps 25"
_SEVERAL = "compare {video} --pose none --mode cameras"
_LINE = "compare {video} --mode one-liner"
SECTIONS = (
    Section("precisions", "precisions", ("", ""), (0.1, 0.1), _of_precisions),
    Section("start", "start {video}", ("--rounds 3", "--rounds 1 --second-only"), (1.5, 0.4)),
    Section("boxes", _BOXES, ("--frames 120 --rounds 3", "--frames 40 --rounds 1"), (3, 0.6)),
    Section("vitpose", _VITPOSE, ("--frames 40 --rounds 3", "--frames 20 --rounds 1"), (2, 0.6)),
    Section("live", _LIVE, ("--live-s 10 --rounds 3", "--live-s 8 --rounds 1"), (2, 0.6)),
    Section("cameras", _SEVERAL, ("--live-s 20 --rounds 2", "--live-s 12 --cameras 2 --rounds 1"), (3.5, 0.7)),
    Section("one-liner", _LINE, ("--frames 70 --rounds 3", "--frames 30 --rounds 1"), (2, 0.5), _of_one_liner),
    Section("calls", "cost calls {video} --device cpu", ("--rounds 5", "--rounds 1"), (0.7, 0.3), _of_calls),
    Section("presets", "presets {clip}", ("--frames 60 --rounds 2", "--frames 30 --rounds 1"), (2, 0.8), _of_presets),
)
