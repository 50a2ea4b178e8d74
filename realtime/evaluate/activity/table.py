"""The report of the command `activity`: a row per recording, its wake-ups, and the people whom the gate missed.

Used by `command`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

import numpy as np

from realtime.config import AppConfig
from realtime.evaluate.activity.clips import Clip
from realtime.evaluate.activity.missed import Comparison, Person
from realtime.evaluate.activity.sides import PARTS, Cost
from realtime.evaluate.activity.wake_ups import WakeUp, WakeUps
from realtime.evaluate.report import Cell, Report
from realtime.types import Activity

_STATES: tuple[Activity, ...] = get_args(Activity)
_COLUMNS = [
    "recording", "length", *(f"{state} %" for state in _STATES), "wake-ups", "false", "false/h", "people", "missed",
    "late p50 ms", "late p95 ms", "CPU off", "CPU on", "saved %",
]  # fmt: skip
_MEANING = [
    "false: wake-ups after which no people were published until the camera was empty again; false/h: per hour.",
    "people: tracks without the gate; missed: those that the gate's run never published; late: delay of the others.",
    "CPU: CPU-seconds per second of the recording (decode, gate, convert, detect, track), without and with the gate.",
]
# At most this many wake-ups, and people, of a recording are listed below the table. `--json` has them all.
_MOST_LINES = 20
# People who come later than this (s) are listed.
_LATE_S = 0.3
_CAUSES = {
    "look": "the detector looked and found a person",
    "light": "the whole picture changed",
}


@dataclass(frozen=True)
class Outcome:
    """The results of one recording.

    Attributes:
        name: of the recording.
        clip: the recording, which was read.
        wake_ups: its states and wake-ups.
        comparison: with the run without the gate; None if that didn't run.
        on: cost with the gate.
        off: cost without it; estimated if that didn't run.
    """

    name: str
    clip: Clip
    wake_ups: WakeUps
    comparison: Comparison | None
    on: Cost
    off: Cost

    @property
    def length_s(self) -> float:
        """Length of the recording, as far as it was read (s)."""
        return sum(self.wake_ups.seconds.values())


def make_report(outcomes: Sequence[Outcome], config: AppConfig, detector: str) -> Report:
    """Make the report of all recordings.

    Args:
        outcomes: the results.
        config: the configuration.
        detector: name of the detector's model.
    """
    notes = [*_MEANING]
    if outcomes[0].comparison is None:
        notes.append("--fast: CPU off is estimated, and missed people were not looked for.")
    for outcome in outcomes:
        notes += [f"{outcome.name}: {line}" for line in _remarks(outcome, config)]
    return Report(
        title=f"Motion gate: {detector.partition(' (')[0]}, empty after {config.activity.empty_s:g} s, a look every "
        f"{config.activity.look_s:g} s",
        columns=_COLUMNS,
        rows=[_row(outcome.name, [outcome]) for outcome in outcomes]
        + ([_row("ALL", outcomes)] if len(outcomes) > 1 else []),
        data={"detector": detector, "recordings": [_data(outcome) for outcome in outcomes]},
        notes=notes,
    )


def _row(name: str, outcomes: Sequence[Outcome]) -> list[Cell]:
    length_s = sum(outcome.length_s for outcome in outcomes)
    seconds = {state: sum(outcome.wake_ups.seconds[state] for outcome in outcomes) for state in _STATES}
    false_alarms = sum(outcome.wake_ups.false_alarms for outcome in outcomes)
    compared = [outcome.comparison for outcome in outcomes if outcome.comparison is not None]
    delays_s = [delay_s for comparison in compared for delay_s in comparison.delays_s]
    off_s, on_s = (
        sum(cost.total_s for cost in costs) for costs in zip(*((o.off, o.on) for o in outcomes), strict=True)
    )
    return [
        name,
        clock(length_s),
        *(round(100 * seconds[state] / length_s) if length_s else None for state in _STATES),
        sum(len(outcome.wake_ups.all) for outcome in outcomes),
        false_alarms,
        false_alarms / length_s * 3600 if length_s else None,
        sum(len(comparison.people) for comparison in compared) if compared else None,
        sum(len(comparison.missed) for comparison in compared) if compared else None,
        *(round(1e3 * float(np.percentile(delays_s, share))) if delays_s else None for share in (50, 95)),
        off_s / length_s if length_s else None,
        on_s / length_s if length_s else None,
        round(100 * (1 - on_s / off_s)) if length_s and off_s else None,
    ]


def _remarks(outcome: Outcome, config: AppConfig) -> Iterator[str]:
    """The lines about one recording."""
    clip, wake_ups = outcome.clip, outcome.wake_ups
    if clip.trouble is not None:
        yield f"it was read up to {clock(outcome.length_s)}: {clip.trouble}"
    if clip.damaged:
        yield f"{clip.damaged} frames were damaged, and left out"
    if clip.has_gaps:
        yield "its timestamps jump; the gaps don't count"
    if not clip.frames:
        yield "no frame could be used"
    elif outcome.length_s <= config.activity.empty_s:
        yield (
            f"it is not longer than activity.empty_s ({config.activity.empty_s:g} s), so the camera is never empty; "
            "to see more, lower --activity.empty-s"
        )
    elif not wake_ups.all:
        yield "the camera never woke up" if wake_ups.seconds["empty"] else "the camera was never empty"
    yield from _limited([_of_wake_up(each) for each in wake_ups.all], "wake-ups")
    if outcome.comparison is None:
        return
    if not outcome.comparison.people:
        yield "the detector found no people, even without the gate"
    late = [each for each in outcome.comparison.people if each.late_s is None or each.late_s > _LATE_S]
    yield from _limited([_of_person(each) for each in late], "people, missed or late")


def _limited(lines: list[str], kind: str) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more {kind}; --json has them all"] if more > 0 else [])]


def _of_wake_up(wake_up: WakeUp) -> str:
    cause = f"motion in {list(wake_up.xyxy)}" if wake_up.xyxy is not None else _CAUSES[wake_up.cause]
    if wake_up.people_after_s is not None:
        end = f"people after {wake_up.people_after_s:.1f} s"
    else:
        end = "no people: a false alarm" if wake_up.is_over else "no people until the recording ended"
    picture = f" ({wake_up.picture})" if wake_up.picture else ""
    return f"{clock(wake_up.at_s)} woke up: {cause}; {end}{picture}"


def _of_person(person: Person) -> str:
    seen = f"at {list(person.xyxy)}, visible for {person.last_s - person.first_s:.1f} s"
    what = "missed a person" if person.late_s is None else f"a person {person.late_s:.1f} s late"
    return f"{clock(person.first_s)} {what} {seen}"


def _data(outcome: Outcome) -> Mapping[str, object]:
    """The results of one recording for `--json`."""
    wake_ups, comparison, length_s = outcome.wake_ups, outcome.comparison, outcome.length_s
    delays_s = comparison.delays_s if comparison else []
    return {
        "name": outcome.name,
        "length_s": length_s,
        "frames": outcome.clip.frames,
        "damaged": outcome.clip.damaged,
        "trouble": outcome.clip.trouble,
        "size": outcome.clip.size,
        "seconds": {state: wake_ups.seconds[state] for state in _STATES},
        "wake_ups": [{**asdict(each), "is_false_alarm": each.is_false_alarm} for each in wake_ups.all],
        "false_alarms": wake_ups.false_alarms,
        "false_alarms_per_hour": wake_ups.false_alarms / length_s * 3600 if length_s else None,
        "people": None if comparison is None else [{**asdict(p), "late_s": p.late_s} for p in comparison.people],
        "missed": None if comparison is None else len(comparison.missed),
        "late_ms": {f"p{share}": 1e3 * float(np.percentile(delays_s, share)) for share in (50, 95)}
        if delays_s
        else None,
        "cpu_s": {
            side: {part: cost.seconds[part] for part in PARTS if part in cost.seconds}
            for side, cost in (("off", outcome.off), ("on", outcome.on))
        },
        "calls": {
            side: {part: cost.calls[part] for part in PARTS if part in cost.calls}
            for side, cost in (("off", outcome.off), ("on", outcome.on))
        },
        "is_off_estimated": comparison is None,
    }


def clock(seconds: float) -> str:
    """Format a position in a recording.

    >>> clock(3723.46)
    '1:02:03.5'
    """
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes // 60}:{minutes % 60:02}:{tenths // 10:02}.{tenths % 10}"
