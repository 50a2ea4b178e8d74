"""Sequences with their detections, and trackers run on all of them at several choices of frames."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from realtime.evaluate.tracking.inputs import Thinning, given_detections
from realtime.evaluate.tracking.metrics import score_tracks
from realtime.evaluate.tracking.mot import MotSequence, find_sequences, open_sequence
from realtime.evaluate.tracking.occlusion import OUTCOMES, Occlusions
from realtime.evaluate.tracking.outcome import ALL, MEAN, Numbers, Outcome, mean_of, numbers_of
from realtime.evaluate.tracking.trackers import Timed, Tracker, run_trackers
from realtime.types import Detections

Makers = Mapping[str, Callable[[], Tracker]]
# By the name of a tracker, then by the name of a sequence, ALL or MEAN.
Found = dict[str, dict[str, Numbers]]

ALL_FRAMES, EVERY_5TH = "all", "every 5th"
DROPPED = "30 % dropped"
# The three choices of frames of `evaluate tracking --thinned`.
CHOICES: dict[str, list[Thinning]] = {
    ALL_FRAMES: [Thinning()],
    EVERY_5TH: [Thinning(every=5)],
    DROPPED: [Thinning(drop=0.3, seed=seed) for seed in range(3)],
}


@dataclass(frozen=True)
class Clip:
    """A sequence, and what was detected in each of its frames.

    Attributes:
        sequence: the sequence.
        detections: one item for each frame.
        choice: the frames that count, in place of the choice that is run on other clips.
    """

    sequence: MotSequence
    detections: Sequence[Detections]
    choice: Thinning | None = None

    @property
    def name(self) -> str:
        return self.sequence.name

    def of(self, numbers: Iterable[int]) -> list[Detections]:
        """The detections in these frames."""
        wanted = set(numbers)
        return [item for item in self.detections if item.frame.index + 1 in wanted]


def read_clips(folder: Path, file: str = "det/det.txt") -> list[Clip]:
    """Read all sequences of a folder, with their detections in this file of each."""
    clips = []
    for each in find_sequences([folder]):
        sequence = open_sequence(each)
        clips.append(Clip(sequence, list(given_detections(sequence, Path(file), list(sequence.frames)))))
    return clips


def at_most(rate_hz: float) -> Callable[[MotSequence], Thinning]:
    """Return a choice of frames: every Nth, N by the sequence, such that they have about this rate or less."""
    return lambda sequence: Thinning(every=max(1, round((sequence.rate_hz or rate_hz) / rate_hz)))


def run_one(clip: Clip, makers: Makers, thinning: Thinning, hide_s: float | None = None) -> dict[str, Outcome]:
    """Run trackers on one clip and score them."""
    kept = (clip.choice or thinning).of(clip.sequence.frames)
    occlusions = Occlusions(clip.sequence, hide_s, thinning.seed) if hide_s else None
    detections: Iterable[Detections] = clip.of(kept)
    trackers: dict[str, Timed] = {name: Timed(make()) for name, make in makers.items()}
    tracks = run_trackers(occlusions.withheld(detections) if occlusions is not None else detections, trackers)
    return {
        name: Outcome(
            score_tracks(clip.sequence, tracks[name], kept),
            timed.seconds,
            occlusions.outcomes(tracks[name]) if occlusions is not None else None,
            timed.looks,
        )
        for name, timed in trackers.items()
    }


class Runner:
    """Runs trackers on clips, in several processes if asked to: one task for each clip and choice of frames.

    Args:
        jobs: the number of processes.
    """

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs

    def outcomes(
        self, clips: Sequence[Clip], makers: Makers, thinnings: Sequence[Thinning], hide_s: float | None = None
    ) -> list[dict[str, dict[str, Outcome]]]:
        """Run every tracker on every clip: for each choice of frames, the outcomes by tracker and sequence."""
        global _work
        _work = clips, makers, thinnings, hide_s
        tasks = [(which, clip) for which in range(len(thinnings)) for clip in range(len(clips))]
        # Long clips first, so that no process waits for one at the end.
        tasks.sort(key=lambda task: -sum(map(len, clips[task[1]].detections)))
        if self._jobs > 1:
            with multiprocessing.get_context("fork").Pool(self._jobs) as pool:
                done = dict(zip(tasks, pool.map(_task, tasks, chunksize=1), strict=True))
        else:
            done = dict(zip(tasks, map(_task, tasks), strict=True))
        return [
            {name: {clip.name: done[which, k][name] for k, clip in enumerate(clips)} for name in makers}
            for which in range(len(thinnings))
        ]

    def found(
        self, clips: Sequence[Clip], makers: Makers, thinnings: Sequence[Thinning], hide_s: float | None = None
    ) -> Found:
        """Run every tracker on every clip. The figures are means over the choices of frames; counts with them."""
        several = [
            {name: numbers_of(of_tracker) for name, of_tracker in one.items()}
            for one in self.outcomes(clips, makers, thinnings, hide_s)
        ]
        return {name: {of: mean_of([one[name][of] for one in several]) for of in several[0][name]} for name in makers}


_work: tuple[Sequence[Clip], Makers, Sequence[Thinning], float | None]


def _task(task: tuple[int, int]) -> dict[str, Outcome]:
    clips, makers, thinnings, hide_s = _work
    which, clip = task
    return run_one(clips[clip], makers, thinnings[which], hide_s)


def backwards(clip: Clip) -> Clip:
    """The clip played backwards: the same pictures, with other occlusions, entries and exits."""
    last = clip.sequence.frames[-1] + clip.sequence.frames[0]
    end_s = clip.detections[-1].frame.time_s + clip.detections[0].frame.time_s
    truth = {}
    for number, rows in clip.sequence.truth.items():
        rows = rows.copy()
        rows[:, 0] = last - number
        truth[last - number] = rows
    detections = []
    for item in reversed(clip.detections):
        time_s = end_s - item.frame.time_s
        frame = replace(item.frame, index=last - item.frame.index - 2, time_s=time_s)
        detections.append(replace(item, frame=frame))
    return Clip(replace(clip.sequence, truth=truth), detections)


def value(numbers: Numbers, key: str) -> float:
    """A figure that must be there."""
    figure = numbers[key]
    assert figure is not None, key
    return float(figure)


def four(of_tracker: Mapping[str, Numbers], name: str = ALL, mean: str | None = MEAN) -> str:
    """A cell: HOTA / MOTA / IDF1 / switches, and the mean HOTA over the sequences in brackets."""
    of = of_tracker[name]
    cell = " / ".join(f"{value(of, key):.1f}" for key in ("HOTA", "MOTA", "IDF1")) + f" / {value(of, 'IDSW'):.0f}"
    return cell + (f" ({value(of_tracker[mean], 'HOTA'):.1f})" if mean and mean in of_tracker else "")


def hidden(of_tracker: Mapping[str, Numbers]) -> str:
    """A cell: how often a hidden person kept the id, got another person's, got a new one."""
    return " / ".join(f"{value(of_tracker[ALL], key):.0f}" for key in OUTCOMES)


def people_of(clip: Clip) -> float:
    """The mean number of detections per frame."""
    return float(np.mean([len(item) for item in clip.detections]))
