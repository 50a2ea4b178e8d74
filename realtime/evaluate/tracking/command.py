"""Score track identities against ground truth: HOTA, DetA, AssA, MOTA, IDF1 and IDSW on MOTChallenge sequences.

This is `python -m realtime.evaluate tracking`. It runs the program's own tracking stages on detections from a file or
on the images, or it scores the results that another program wrote. `inputs` provides the detections, `trackers` the
trackers, `metrics` the scores.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from realtime.config import AppConfig
from realtime.errors import ConfigError
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.tracking.inputs import (
    Thinning,
    empty_between,
    given_detections,
    load_detect,
    read_frames,
    read_results,
)
from realtime.evaluate.tracking.metrics import Scores, combine, score_tracks
from realtime.evaluate.tracking.mot import MotSequence, find_sequences, open_sequence, write_results
from realtime.evaluate.tracking.occlusion import OUTCOMES, Occlusions
from realtime.evaluate.tracking.trackers import OURS, Timed, run_trackers, tracker_makers
from realtime.home import home_path
from realtime.runtime.activity import Activities

_KEYS = ("device", "detector.", "tracker.", "pose.", "activity.")
_SHOWN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "looks", "ms")
_ALL = "COMBINED"
_HIDDEN_NOTES = ["kept, taken, new: how often a hidden person had the same, another person's or a new id afterwards."]


@dataclass(frozen=True)
class Outcome:
    """The results of one tracker on one sequence, or on several together.

    Attributes:
        scores: the scores against ground truth.
        seconds: tracking time of each frame; empty if the tracks came from a file.
        hidden: how often a person hidden by `--hide` kept the id, took another person's or got a new one; counts by
            `occlusion.OUTCOMES`.
        looks: number of frames on which the detector ran.
    """

    scores: Scores
    seconds: list[float] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)
    looks: int = 0

    @property
    def ms(self) -> float | None:
        """Mean tracking time per frame in milliseconds, or None if it was not measured."""
        return 1e3 * float(np.mean(self.seconds)) if self.seconds else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags, including the configuration keys of the device, the detector, the tracker and the pose model."""
    add = parser.add_argument
    add(
        "folder",
        nargs="+",
        type=home_path,
        metavar="DIR",
        help="a MOTChallenge sequence (with gt/gt.txt), or a folder of sequences",
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument(
        "--detections",
        type=home_path,
        metavar="FILE",
        help="track the detections in this file of each sequence, e.g. det/det.txt",
    )
    origin.add_argument(
        "--video",
        type=home_path,
        metavar="FILE",
        help="run the detector on this video; default: on the images",
    )
    origin.add_argument(
        "--results",
        type=home_path,
        metavar="FOLDER",
        help="score the tracks FOLDER/SEQUENCE.txt; run no tracker",
    )
    add(
        "--against",
        choices=["boxmot", "methods", "naive", "no-relink"],
        help="run other trackers on the same detections: boxmot (its ByteTrack, with both of its sets of defaults), "
        "methods (every other tracker.method), naive (no boxes, or the last boxes, on skipped frames), "
        "no-relink (without tracker.relink_s)",
    )
    add("--hide", type=float, metavar="S", help="hide each person's detections for S seconds at random times")
    add("--every", type=int, default=1, metavar="N", help="keep every Nth frame only; default 1")
    add(
        "--drop", type=float, default=0.0, metavar="SHARE", help="drop this fraction of the frames at random; default 0"
    )
    add("--seed", type=int, default=0, metavar="N", help="random seed of --drop and --hide; default 0")
    add("--rate", type=float, metavar="HZ", help="frames per second; default: from seqinfo.ini or the video")
    add("--write", type=home_path, metavar="FOLDER", help="write our tracks to this folder as MOTChallenge results")
    add_keys(parser, lambda key: key.startswith(_KEYS))


def run(options: argparse.Namespace) -> Report:
    """Track the sequences, or read existing tracks, and score them against ground truth.

    Raises:
        ConfigError: a flag, a folder or a file is wrong.
        SourceError: the images or the video can't be read.
        ModelError: a model can't be loaded.
    """
    _check(options)
    thinning = Thinning(options.every, options.drop, options.seed)
    sequences = [open_sequence(folder, options.rate) for folder in find_sequences(options.folder)]
    if options.video and len(sequences) > 1:
        raise ConfigError(f"--video: got {len(sequences)} sequences, expected one")
    config = load_keys(options)
    notes: list[str] = []
    if options.results:
        scored = [score_tracks(s, read_results(s, options.results), thinning.of(s.frames)) for s in sequences]
        outcomes = {"results": {s.name: Outcome(scores) for s, scores in zip(sequences, scored, strict=True)}}
    else:
        outcomes, notes = _track_all(sequences, thinning, config, options)
    return _report(outcomes, sequences, thinning, options.hide, config, notes)


def _check(options: argparse.Namespace) -> None:
    wrong = {
        "--every: got {every}, expected 1 or more": options.every < 1,
        "--drop: got {drop}, expected 0 or more and less than 1": not 0 <= options.drop < 1,
        "--seed: got {seed}, expected 0 or more": options.seed < 0,
        "--rate: got {rate}, expected more than 0": options.rate is not None and not options.rate > 0,
        "--hide: got {hide}, expected more than 0": options.hide is not None and not options.hide > 0,
        "--hide: got {hide} with --results, expected --detections or images": options.results and options.hide,
        "--pose.*: the pose model needs images; omit --detections and --results": _asks_for_poses(options)
        and (options.detections or options.results),
        "--against: got {against} with --results, expected --detections or images": options.results and options.against,
        "--write: got {write} with --results, expected --detections or images": options.results and options.write,
    }
    if first := next((message for message, is_wrong in wrong.items() if is_wrong), None):
        raise ConfigError(first.format_map(vars(options)))


def _asks_for_poses(options: argparse.Namespace) -> bool:
    return any(value is not None for key, value in vars(options).items() if key.startswith("pose."))


def _track_all(
    sequences: list[MotSequence], thinning: Thinning, config: AppConfig, options: argparse.Namespace
) -> tuple[dict[str, dict[str, Outcome]], list[str]]:
    """Run all trackers on all sequences. Return the outcomes by tracker and sequence, and notes for the report."""
    activities = Activities(config.activity) if config.activity.mode == "on" else None
    if activities and options.detections:
        raise ConfigError("--activity.mode: got on with --detections, but the motion gate needs images")
    makers = tracker_makers(config, options.against, activities)
    detect, notes = None, [f"detections: {options.detections}, of each sequence"]
    if not options.detections:
        detect, networks = load_detect(config, with_poses=_asks_for_poses(options))
        notes = [networks]
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in makers}
    for sequence in sequences:
        kept = thinning.of(sequence.frames)
        if detect is None:
            detections = empty_between(given_detections(sequence, options.detections, kept), config.detector.every)
        else:
            frames = read_frames(sequence, options.video, options.rate, kept, activities)
            detections = (detect(frame) for frame in frames)
        occlusions = Occlusions(sequence, options.hide, options.seed) if options.hide else None
        bar = progress(occlusions.withheld(detections) if occlusions else detections, sequence.name, total=len(kept))
        trackers = {name: Timed(make()) for name, make in makers.items()}
        tracks = run_trackers(bar, trackers)
        for name, tracker in trackers.items():
            hidden = occlusions.outcomes(tracks[name]) if occlusions else Counter()
            scores = score_tracks(sequence, tracks[name], kept)
            outcomes[name][sequence.name] = Outcome(scores, tracker.seconds, hidden, tracker.looks)
        if options.write:
            write_results(options.write / f"{sequence.name}.txt", tracks[OURS])
    return outcomes, notes


def _together(outcomes: list[Outcome]) -> Outcome:
    return Outcome(
        combine([each.scores for each in outcomes]),
        [s for each in outcomes for s in each.seconds],
        sum((each.hidden for each in outcomes), Counter()),
        sum(each.looks for each in outcomes),
    )


def _report(
    outcomes: Mapping[str, dict[str, Outcome]],
    sequences: list[MotSequence],
    thinning: Thinning,
    hidden_s: float | None,
    config: AppConfig,
    notes: list[str],
) -> Report:
    hidden = OUTCOMES if hidden_s else ()
    shown = (*_SHOWN, *hidden)
    numbers = {
        tracker: {
            name: {
                **outcome.scores.numbers(),
                "ms": outcome.ms,
                "looks": outcome.looks if outcome.seconds else None,
                **{key: outcome.hidden[key] for key in hidden},
            }
            for name, outcome in (by_sequence | {_ALL: _together(list(by_sequence.values()))}).items()
        }
        for tracker, by_sequence in outcomes.items()
    }
    counted = {sequence.name: len(thinning.of(sequence.frames)) for sequence in sequences}
    counted[_ALL] = sum(counted.values())
    rows: list[list[Cell]] = [
        [name, tracker, counted[name], *(by_sequence[name][key] for key in shown)]
        for name in counted
        for tracker, by_sequence in numbers.items()
    ]
    of = sum(len(sequence.frames) for sequence in sequences)
    return Report(
        title=f"Tracking: {len(sequences)} sequences, {counted[_ALL]} of {of} frames",
        columns=["sequence", "tracker", "frames", *shown],
        rows=rows,
        data={
            "frames": {"every": thinning.every, "drop": thinning.drop, "seed": thinning.seed, "counted": counted},
            "hidden_s": hidden_s,
            "detector_every": config.detector.every,
            "tracker_config": config.tracker.model_dump(mode="json"),
            "trackers": numbers,
        },
        notes=[
            "HOTA, DetA, AssA, MOTA, IDF1: percent; IDSW: number of id switches; "
            "looks: number of frames on which the detector ran; ms: mean tracking time per frame.",
            *(_HIDDEN_NOTES if hidden else []),
            *notes,
        ],
    )
