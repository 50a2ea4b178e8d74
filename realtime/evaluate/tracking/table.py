"""The tables of the command `tracking`: the scores of each sequence, or those of several choices of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realtime.evaluate.report import Cell, Report
from realtime.evaluate.tracking.inputs import Thinning
from realtime.evaluate.tracking.occlusion import OUTCOMES
from realtime.evaluate.tracking.outcome import ALL, MEAN, Numbers, mean_of

_SHOWN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "looks", "ms")
_SHOWN_THINNED = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")
_MEANS = ("HOTA", "IDF1")
_ABOUT = "HOTA, DetA, AssA, MOTA, IDF1: percent; IDSW: number of id switches"
_ABOUT_LOOKS = "looks: number of frames on which the detector ran; ms: mean tracking time per frame."
_ABOUT_MEAN = "COMBINED sums the counts of the sequences; MEAN is the mean of their percentages."
_ABOUT_HIDDEN = "kept, taken, new: how often a hidden person had the same, another person's or a new id afterwards."

# By the name of the tracker, then by the name of the sequence, ALL or MEAN.
ByTracker = Mapping[str, Mapping[str, Numbers]]


def by_sequence(
    numbers: ByTracker, counted: Mapping[str, int], of: int, is_hidden: bool, data: Mapping[str, object]
) -> Report:
    """Make the table with a row for each sequence and tracker.

    Args:
        numbers: the figures.
        counted: the number of frames that count, by sequence.
        of: the number of frames of all sequences.
        is_hidden: whether people were hidden (`--hide`).
        data: what `--json` writes besides `numbers`.
    """
    hidden = OUTCOMES if is_hidden else ()
    shown = (*_SHOWN, *hidden)
    frames = {**counted, ALL: sum(counted.values())}
    names = list(next(iter(numbers.values())))
    rows: list[list[Cell]] = [
        [name, tracker, frames.get(name), *(of_tracker[name][key] for key in shown)]
        for name in names
        for tracker, of_tracker in numbers.items()
    ]
    return Report(
        title=f"Tracking: {len(counted)} sequences, {frames[ALL]} of {of} frames",
        columns=["sequence", "tracker", "frames", *shown],
        rows=rows,
        data={**data, "trackers": numbers},
        notes=[
            f"{_ABOUT}; {_ABOUT_LOOKS}",
            *([_ABOUT_MEAN] if MEAN in names else []),
            *([_ABOUT_HIDDEN] if hidden else []),
        ],
    )


def by_thinning(
    several: Mapping[str, Sequence[tuple[Thinning, ByTracker]]], sequences: int, data: Mapping[str, object]
) -> Report:
    """Make the table with a row for each choice of frames and each tracker, over all sequences.

    Args:
        several: for each choice, its runs, whose mean is shown: one, or one for each seed.
        sequences: the number of sequences.
        data: what `--json` writes besides the figures.
    """
    rows: list[list[Cell]] = []
    means: dict[str, dict[str, dict[str, Numbers]]] = {}
    for choice, runs in several.items():
        means[choice] = {
            tracker: {name: mean_of([numbers[tracker][name] for _, numbers in runs]) for name in names}
            for tracker, names in runs[0][1].items()
        }
        for tracker, of in means[choice].items():
            switches = of[ALL]["IDSW"]
            together = {**of[ALL], "IDSW": None if switches is None else round(switches)}
            mean = of.get(MEAN, of[ALL])
            cells = [*(together[key] for key in _SHOWN_THINNED), *(mean[key] for key in _MEANS), together["ms"]]
            rows.append([choice, tracker, *cells])
    return Report(
        title=f"Tracking: {sequences} sequences",
        columns=["frames", "tracker", *_SHOWN_THINNED, *(f"mean {key}" for key in _MEANS), "ms"],
        rows=rows,
        data={
            **data,
            "frames": {
                choice: [{"every": t.every, "drop": t.drop, "seed": t.seed} for t, _ in runs]
                for choice, runs in several.items()
            },
            "trackers": means,
        },
        notes=[
            f"{_ABOUT}; ms: mean tracking time per frame.",
            "The figures of all sequences sum their counts; mean HOTA and mean IDF1 are means of their percentages.",
        ],
    )
