"""Leave one sequence out: choose every number on the other sequences, and apply the choice to the one left out.

Each number is chosen alone, with the others as they are in the program, from its few values in parts.GRID. The choice
is by CRITERION, and differs from the program's only if it gains LEAST_GAIN there. Then all choices together run on the
sequence left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from realtime.evaluate.tracking.inputs import Thinning
from realtime.evaluate.tracking.metrics import combine
from realtime.evaluate.tracking.outcome import Outcome, mean_of, numbers_of

from .measure import Clip, Found, Runner
from .parts import GRID, Changes, Variant, chosen

CRITERION = "the mean of the combined HOTA and of the mean HOTA over the sequences, over all three choices of frames"

# A smaller gain is noise (a single switch moves HOTA by more), so it changes no number, as for the program.
LEAST_GAIN = 0.1

# For each run, the outcomes by sequence. Runs of one choice of frames (one for each seed) are together.
Runs = Sequence[Sequence[Mapping[str, Outcome]]]


@dataclass(frozen=True)
class LeftOut:
    """The result.

    Attributes:
        found: by choice of frames, the figures of "chosen" (as in the program) and of "left out".
        taken: for each number, how often each of its values was taken.
        gained: for each number and value, what it changes on all sequences: the criterion, and the switches of the
            three choices of frames together.
    """

    found: dict[str, Found]
    taken: dict[str, Counter[object]]
    gained: dict[str, dict[object, tuple[float, float]]]


def criterion(runs: Runs, names: Sequence[str]) -> float:
    """Judge a variant on these sequences (CRITERION)."""
    choices = []
    for of_choice in runs:
        combined = [combine([run[name].scores for name in names]).numbers()["HOTA"] for run in of_choice]
        each = [run[name].scores.numbers()["HOTA"] for run in of_choice for name in names]
        choices.append((np.mean(combined) + np.mean(each)) / 2)
    return float(np.mean(choices))


def switches(runs: Runs) -> float:
    """The switches of all choices of frames together; of several seeds, the mean."""
    return float(
        sum(
            np.mean([sum(int(each.scores.numbers()["IDSW"]) for each in run.values()) for run in of_choice])
            for of_choice in runs
        )
    )


def leave_one_out(
    clips: Sequence[Clip],
    runner: Runner,
    choices: Mapping[str, Sequence[Thinning]],
    grid: Mapping[str, Sequence[object]] = GRID,
) -> LeftOut:
    """Choose anew with each sequence left out."""
    start = {number: chosen(number) for number in grid}
    variants: dict[str, Changes] = {"chosen": {}}
    variants |= {_name(n, v): {n: v} for n, values in grid.items() for v in values if v != start[n]}
    runs = _runs(clips, runner, choices, variants)
    names = [clip.name for clip in clips]
    taken: dict[str, Counter[object]] = {number: Counter() for number in grid}
    left_out: dict[str, Changes] = {}
    for name in names:
        others = [other for other in names if other != name]
        changes = {}
        for number in grid:
            values = [start[number], *(value for value in grid[number] if value != start[number])]
            judged = [criterion(runs[_name(number, v) if k else "chosen"], others) for k, v in enumerate(values)]
            best = values[int(np.argmax(judged))]
            if max(judged) - judged[0] < LEAST_GAIN:
                best = values[0]  # the program's
            taken[number][best] += 1
            if best != start[number]:
                changes[number] = best
        left_out[name] = changes
    applied = {
        clip.name: _runs([clip], runner, choices, {"left out": left_out[clip.name]})["left out"] for clip in clips
    }
    found: dict[str, Found] = {}
    for k, choice in enumerate(choices):
        together = [{name: applied[name][k][run][name] for name in names} for run in range(len(choices[choice]))]
        found[choice] = {"chosen": _mean(runs["chosen"][k]), "left out": _mean(together)}
    at = criterion(runs["chosen"], names), switches(runs["chosen"])
    gained: dict[str, dict[object, tuple[float, float]]] = {number: {start[number]: (0.0, 0.0)} for number in grid}
    for name, changes in variants.items():
        for number, new in changes.items():
            gained[number][new] = criterion(runs[name], names) - at[0], switches(runs[name]) - at[1]
    return LeftOut(found, taken, gained)


def _runs(
    clips: Sequence[Clip],
    runner: Runner,
    choices: Mapping[str, Sequence[Thinning]],
    variants: Mapping[str, Changes],
) -> dict[str, list[list[dict[str, Outcome]]]]:
    makers = {name: partial(Variant, changes) for name, changes in variants.items()}
    flat = [thinning for thinnings in choices.values() for thinning in thinnings]
    done = iter(runner.outcomes(clips, makers, flat))
    by_choice = [[next(done) for _ in thinnings] for thinnings in choices.values()]
    return {name: [[run[name] for run in of_choice] for of_choice in by_choice] for name in variants}


def _mean(runs: Sequence[Mapping[str, Outcome]]) -> dict[str, dict[str, float | int | None]]:
    several = [numbers_of(run) for run in runs]
    return {name: mean_of([one[name] for one in several]) for name in several[0]}


def _name(number: str, value: object) -> str:
    return f"{number} {value}"
