"""Score track identities against ground truth: HOTA, DetA, AssA, MOTA, IDF1 and IDSW on MOTChallenge sequences.

This is `python -m realtime.evaluate tracking`. It runs the program's own tracking stages on detections from a file or
on the images, or it scores the results that another program wrote. `inputs` provides the detections, `trackers` the
trackers, `metrics` the scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from realtime.config import AppConfig
from realtime.errors import ConfigError
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Report
from realtime.evaluate.tracking.inputs import (
    Thinning,
    empty_between,
    given_detections,
    load_detect,
    read_frames,
    read_results,
)
from realtime.evaluate.tracking.metrics import score_tracks
from realtime.evaluate.tracking.mot import MotSequence, find_sequences, open_sequence, write_results
from realtime.evaluate.tracking.occlusion import Occlusions
from realtime.evaluate.tracking.outcome import ALL, Outcome, numbers_of
from realtime.evaluate.tracking.table import ByTracker, by_sequence, by_thinning
from realtime.evaluate.tracking.trackers import OURS, Timed, run_trackers, tracker_makers
from realtime.home import home_path
from realtime.runtime.activity import Activities
from realtime.types import Detections, Frame

_KEYS = ("device", "detector.", "tracker.", "pose.", "activity.")
_THINNED_EVERY, _THINNED_DROP, _SEEDS = 5, 0.3, 3


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
        choices=["boxmot", "libraries", "methods", "naive", "no-relink"],
        help="run other trackers on the same detections: boxmot (its ByteTrack, with both of its sets of defaults), "
        "libraries (also boxmot's BoT-SORT and OC-SORT and Roboflow's ByteTrack, with their defaults), "
        "methods (every other tracker.method), naive (no boxes, or the last boxes, on skipped frames), "
        "no-relink (without tracker.relink_s)",
    )
    add("--hide", type=float, metavar="S", help="hide each person's detections for S seconds at random times")
    add("--every", type=int, default=1, metavar="N", help="keep every Nth frame only; default 1")
    add(
        "--drop", type=float, default=0.0, metavar="SHARE", help="drop this fraction of the frames at random; default 0"
    )
    add("--seed", type=int, default=0, metavar="N", help="random seed of --drop and --hide; default 0")
    add(
        "--thinned",
        action="store_true",
        help=f"one table of all frames, of every {_THINNED_EVERY}th frame, and of frames of which "
        f"{100 * _THINNED_DROP:.0f} %% were dropped (mean of {_SEEDS} seeds), with means over the sequences",
    )
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
    sequences = [open_sequence(folder, options.rate) for folder in find_sequences(options.folder)]
    if options.video and len(sequences) > 1:
        raise ConfigError(f"--video: got {len(sequences)} sequences, expected one")
    config = load_keys(options)
    runs = _Results(sequences, options) if options.results else _Runs(sequences, config, options)
    data = {
        "hidden_s": options.hide,
        "detector_every": config.detector.every,
        "tracker_config": config.tracker.model_dump(mode="json"),
    }
    if options.thinned:
        several = {
            choice: [(each, runs.numbers(each)) for each in thinnings]
            for choice, thinnings in _thinnings(options.seed).items()
        }
        report = by_thinning(several, len(sequences), data)
    else:
        thinning = Thinning(options.every, options.drop, options.seed)
        counted = {sequence.name: len(thinning.of(sequence.frames)) for sequence in sequences}
        chosen = {"every": thinning.every, "drop": thinning.drop, "seed": thinning.seed}
        frames = chosen | {"counted": counted | {ALL: sum(counted.values())}}
        report = by_sequence(
            runs.numbers(thinning),
            counted,
            of=sum(len(sequence.frames) for sequence in sequences),
            is_hidden=options.hide is not None,
            data={"frames": frames} | data,
        )
    return replace(report, notes=[*report.notes, *runs.notes])


def _thinnings(seed: int) -> dict[str, list[Thinning]]:
    """Return the choices of frames of `--thinned`; the last one for several seeds, from `seed` on."""
    dropped = [Thinning(drop=_THINNED_DROP, seed=seed + k) for k in range(_SEEDS)]
    return {
        "all": [Thinning()],
        f"every {_THINNED_EVERY}th": [Thinning(every=_THINNED_EVERY)],
        f"{100 * _THINNED_DROP:.0f} % dropped": dropped,
    }


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
        "--thinned: chooses the frames; omit --every and --drop": options.thinned
        and (options.every, options.drop) != (1, 0),
        "--thinned: runs the trackers several times; omit --hide, --results and --write": options.thinned
        and (options.hide or options.results or options.write),
    }
    if first := next((message for message, is_wrong in wrong.items() if is_wrong), None):
        raise ConfigError(first.format_map(vars(options)))


def _asks_for_poses(options: argparse.Namespace) -> bool:
    return any(value is not None for key, value in vars(options).items() if key.startswith("pose."))


class _Results:
    """The tracks that another program wrote, scored.

    Attributes:
        notes: lines for the report.
    """

    def __init__(self, sequences: list[MotSequence], options: argparse.Namespace) -> None:
        self._sequences = sequences
        self._folder: Path = options.results
        self.notes: list[str] = []

    def numbers(self, thinning: Thinning) -> ByTracker:
        """Return the figures of these frames."""
        scored = {
            s.name: Outcome(score_tracks(s, read_results(s, self._folder), thinning.of(s.frames)))
            for s in self._sequences
        }
        return {"results": numbers_of(scored)}


class _Runs:
    """Runs all trackers on all sequences, and scores their tracks.

    Attributes:
        notes: lines for the report.
    """

    def __init__(self, sequences: list[MotSequence], config: AppConfig, options: argparse.Namespace) -> None:
        self._sequences, self._config, self._options = sequences, config, options
        self._activities = Activities(config.activity) if config.activity.mode == "on" else None
        if self._activities and options.detections:
            raise ConfigError("--activity.mode: got on with --detections, but the motion gate needs images")
        self._makers = tracker_makers(config, options.against, not options.detections, self._activities)
        self._detect: Callable[[Frame], Detections] | None = None
        self.notes = [f"detections: {options.detections}, of each sequence"]
        if not options.detections:
            self._detect, networks = load_detect(config, with_poses=_asks_for_poses(options))
            self.notes = [networks]

    def numbers(self, thinning: Thinning) -> ByTracker:
        """Track these frames of all sequences with new trackers, and return the figures."""
        outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in self._makers}
        for sequence in self._sequences:
            for name, outcome in self._outcomes(sequence, thinning.of(sequence.frames)).items():
                outcomes[name][sequence.name] = outcome
        return {name: numbers_of(of_tracker) for name, of_tracker in outcomes.items()}

    def _outcomes(self, sequence: MotSequence, kept: list[int]) -> dict[str, Outcome]:
        options = self._options
        occlusions = Occlusions(sequence, options.hide, options.seed) if options.hide else None
        detections = self._detections(sequence, kept)
        bar = progress(
            occlusions.withheld(detections) if occlusions is not None else detections, sequence.name, total=len(kept)
        )
        trackers: dict[str, Timed] = {name: Timed(make()) for name, make in self._makers.items()}
        tracks = run_trackers(bar, trackers)
        if options.write:
            write_results(options.write / f"{sequence.name}.txt", tracks[OURS])
        return {
            name: Outcome(
                score_tracks(sequence, tracks[name], kept),
                tracker.seconds,
                occlusions.outcomes(tracks[name]) if occlusions is not None else None,
                tracker.looks,
            )
            for name, tracker in trackers.items()
        }

    def _detections(self, sequence: MotSequence, kept: list[int]) -> Iterator[Detections]:
        options, detect = self._options, self._detect
        if detect is None:
            return empty_between(given_detections(sequence, options.detections, kept), self._config.detector.every)
        frames = read_frames(sequence, options.video, options.rate, kept, self._activities)
        return (detect(frame) for frame in frames)
