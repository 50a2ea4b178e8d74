"""Score track identities against ground truth: HOTA, DetA, AssA, MOTA, IDF1 and IDSW on MOTChallenge sequences.

This is `python -m realtime.evaluate tracking`. It runs the program's own tracking stages on detections from a file or
on the images, or it scores the results that another program wrote. `mot` reads and writes the files, `mot_metrics`
computes the scores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from realtime.capture.open import open_source
from realtime.capture.timeline import Timeline
from realtime.config import AppConfig, CameraConfig, TrackerConfig, TrackerMethod
from realtime.detect.cadence import Cadence
from realtime.errors import ConfigError
from realtime.evaluate.config_flags import add_keys, load_keys
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.tracking.metrics import Scores, combine, score
from realtime.evaluate.tracking.mot import (
    ID,
    SCORE,
    XYWH,
    MotSequence,
    compare,
    find_sequences,
    open_sequence,
    read_rows,
    write_results,
)
from realtime.evaluate.tracking.occlusion import OUTCOMES, Occlusions
from realtime.pose.stage import with_keypoints
from realtime.skeleton import COCO17
from realtime.track.relink import RelinkStage
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Tracks

_KEYS = ("device", "detector.", "tracker.", "pose.")
_SHOWN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "ms")
_ALL = "COMBINED"
_HIDDEN_NOTES = ["kept, taken, new: how often a hidden person had the same, another person's or a new id afterwards."]
OURS = "ours"

# The tracks of one frame: ids int64 (N,) and boxes x, y, w, h float64 (N, 4) in pixels.
Boxes = tuple[NDArray[np.int64], NDArray[np.float64]]
_NOBODY: Boxes = np.zeros(0, np.int64), np.zeros((0, 4))


class Tracker(Protocol):
    """Anything that tracks the people of one sequence, frame by frame."""

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame.

        Returns:
            Ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) in pixels.
        """


class OurTracker:
    """The program's tracking stage for one sequence, with re-identification by the detections' keypoints or boxes."""

    def __init__(self, config: TrackerConfig) -> None:
        self._stage = TrackStage(config)
        self._relink = RelinkStage(config.relink_s, COCO17.sigmas) if config.relink_s else None

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame, as described in `Tracker.follow`."""
        tracks = self._stage.process([detections])[0]
        keypoints = np.zeros((len(tracks), 0, 3), np.float32) if tracks.keypoints is None else tracks.keypoints
        poses = with_keypoints(tracks, keypoints)
        if self._relink is not None:
            poses = self._relink.process([poses])[0]
        return poses.track_ids, poses.xyxy.astype(np.float64)


class Timed:
    """A tracker whose time per frame is measured.

    Attributes:
        seconds: duration of each call of `follow`, in order.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds: list[float] = []

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame and record the time this takes."""
        began_s = time.perf_counter()
        tracks = self._tracker.follow(detections)
        self.seconds.append(time.perf_counter() - began_s)
        return tracks


@dataclass(frozen=True)
class Outcome:
    """The results of one tracker on one sequence, or on several together.

    Attributes:
        scores: the scores against ground truth.
        seconds: tracking time of each frame; empty if the tracks came from a file.
        hidden: how often a person hidden by `--hide` kept the id, took another person's or got a new one; counts by
            `occlusion.OUTCOMES`.
    """

    scores: Scores
    seconds: list[float] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)

    @property
    def ms(self) -> float | None:
        """Mean tracking time per frame in milliseconds, or None if it was not measured."""
        return 1e3 * float(np.mean(self.seconds)) if self.seconds else None


@dataclass(frozen=True)
class Thinning:
    """The choice of the frames that are tracked and scored. Ground truth of other frames does not count.

    Attributes:
        every: keep every Nth frame, starting with the first.
        drop: fraction of these frames that is dropped at random, 0 <= drop < 1.
        seed: seed of the random choice.
    """

    every: int = 1
    drop: float = 0.0
    seed: int = 0

    def of(self, frames: range) -> list[int]:
        """Return the frame numbers that are kept, in ascending order."""
        candidates = frames[:: self.every]
        kept = np.random.default_rng(self.seed).random(len(candidates)) >= self.drop
        return [number for number, is_kept in zip(candidates, kept, strict=True) if is_kept]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags, including the configuration keys of the device, the detector, the tracker and the pose model."""
    add = parser.add_argument
    add(
        "folder",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a MOTChallenge sequence (with gt/gt.txt), or a folder of sequences",
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="track the detections in this file of each sequence, e.g. det/det.txt",
    )
    origin.add_argument(
        "--video", type=Path, metavar="FILE", help="run the detector on this video; default: on the sequence's images"
    )
    origin.add_argument(
        "--results", type=Path, metavar="FOLDER", help="score the existing tracks FOLDER/SEQUENCE.txt; run no tracker"
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
    add("--write", type=Path, metavar="FOLDER", help="write our tracks to this folder as MOTChallenge results")
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
    if options.results:
        scored = [score_tracks(s, read_results(s, options.results), thinning.of(s.frames)) for s in sequences]
        outcomes = {"results": {s.name: Outcome(scores) for s, scores in zip(sequences, scored, strict=True)}}
    else:
        outcomes = _track_all(sequences, thinning, config, options)
    return _report(outcomes, sequences, thinning, options.hide, config)


def track(detections: Iterable[Detections], trackers: Mapping[str, Tracker]) -> dict[str, dict[int, Boxes]]:
    """Run every tracker on the same detections, frame by frame.

    Args:
        detections: detections of the kept frames, in order; `frame.index` is the frame number minus 1.
        trackers: new trackers by name.

    Returns:
        For each tracker name, a mapping from frame number to the tracks of that frame.
    """
    tracks: dict[str, dict[int, Boxes]] = {name: {} for name in trackers}
    for item in detections:
        for name, tracker in trackers.items():
            ids, xyxy = tracker.follow(item)
            tracks[name][item.frame.index + 1] = ids, np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
    return tracks


def score_tracks(sequence: MotSequence, tracks: Mapping[int, Boxes], kept: list[int]) -> Scores:
    """Score tracks against ground truth.

    Args:
        sequence: the sequence with its ground truth.
        tracks: frame number to ids and boxes; a missing frame has no tracks.
        kept: numbers of the frames that count.

    Raises:
        ConfigError: an id occurs twice in a frame.
    """
    try:
        return score([compare(sequence, number, *tracks.get(number, _NOBODY)) for number in kept])
    except ValueError as error:
        raise ConfigError(str(error)) from None


def given_detections(sequence: MotSequence, file: Path, kept: list[int]) -> Iterator[Detections]:
    """Read detections from a file, in the form in which the detector returns them. Boxes without area are skipped.

    Args:
        sequence: the sequence; timestamps follow from its frame rate.
        file: MOTChallenge detections (frame, -1, x, y, w, h, score), relative to the sequence's folder.
        kept: numbers of the frames to return, in ascending order.

    Raises:
        ConfigError: the file can't be read, or the frame rate is unknown.
    """
    rows = read_rows(sequence.folder / file)
    if sequence.rate_hz is None:
        raise ConfigError(f"{sequence.folder}: no frame rate in seqinfo.ini, expected --rate")
    # Methods that use the image receive a black one. It has the size of the sequence or, if that is
    # unknown, a size that contains all boxes.
    ends = [row[:, XYWH][:, :2] + row[:, XYWH][:, 2:] for row in rows.values()]
    width, height = sequence.size or np.concatenate([*ends, np.ones((1, 2))]).max(axis=0).astype(int) + 1
    image = np.zeros((height, width, 3), np.uint8)
    for number in kept:
        frame = _frame(sequence.name, number, image, (number - 1) / sequence.rate_hz)
        found = rows.get(number, np.zeros((0, SCORE + 1)))
        xyxy = np.hstack([found[:, XYWH][:, :2], found[:, XYWH][:, :2] + found[:, XYWH][:, 2:]]).astype(np.float32)
        has_area = (xyxy[:, 2:] > xyxy[:, :2]).all(1)
        yield Detections(frame, xyxy[has_area], found[has_area, SCORE].clip(0, 1).astype(np.float32))


def seen(detections: Iterable[Detections], every: int) -> Iterator[Detections]:
    """Empty the detections of all but every Nth frame, as DetectStage does with `detector.every`."""
    cadence = Cadence(every)
    for item in detections:
        yield item if cadence.is_due(item.frame) else Detections.empty(item.frame, looked=False)


def read_results(sequence: MotSequence, folder: Path) -> dict[int, Boxes]:
    """Read the tracks that an earlier run or another program wrote.

    Args:
        sequence: the sequence; its name is the name of the file.
        folder: the folder that holds the file.

    Returns:
        Frame number to ids and boxes.

    Raises:
        ConfigError: the file can't be read.
    """
    rows = read_rows(folder / f"{sequence.name}.txt")
    return {number: (row[:, ID].astype(np.int64), row[:, XYWH]) for number, row in rows.items()}


def frames(sequence: MotSequence, video: Path | None, rate_hz: float | None, kept: list[int]) -> Iterator[Frame]:
    """Read the frames of a sequence, with the timestamps that the program itself would assign.

    Args:
        sequence: the sequence.
        video: a video file with its frames; None: the sequence's folder of images.
        rate_hz: frames per second; None: a video's own timestamps, or the rate in seqinfo.ini for images.
        kept: numbers of the frames to return, in ascending order.

    Raises:
        ConfigError: the folder of images is missing, or the source ends before the last kept frame.
        SourceError: the source can't be read.
    """
    if video is None and not sequence.images.is_dir():
        raise ConfigError(f"{sequence.images}: no such folder; add the images, or use --video or --detections")
    source = open_source(CameraConfig(name="evaluated", source=str(video or sequence.images)))
    timeline = Timeline()
    timeline.reopened(0.0, live=False, fps=rate_hz or (source.fps if video else sequence.rate_hz))
    wanted = set(kept)
    try:
        for number in range(1, max(kept, default=0) + 1):
            picture = source.read()
            if picture is None:
                raise ConfigError(f"{video or sequence.images}: ends after {number - 1} frames, expected {kept[-1]}")
            _, time_s = timeline.place(source.size, picture.media_s if rate_hz is None else None, 0.0)
            if number in wanted and picture.image is not None:
                yield _frame(sequence.name, number, picture.image, time_s)
    finally:
        source.close()


def _frame(camera: str, number: int, image: NDArray[np.uint8], time_s: float) -> Frame:
    time_ns = round(time_s * 1e9)
    return Frame(camera, 0, number - 1, image, time_s, captured_mono_ns=time_ns, captured_unix_ns=time_ns)


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
) -> dict[str, dict[str, Outcome]]:
    """Run all trackers on all sequences and return the outcomes by tracker and sequence."""
    makers = _makers(config, options.against)
    detect = None if options.detections else _detector(config, with_poses=_asks_for_poses(options))
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in makers}
    for sequence in sequences:
        kept = thinning.of(sequence.frames)
        if detect is None:
            detections = seen(given_detections(sequence, options.detections, kept), config.detector.every)
        else:
            detections = (detect(frame) for frame in frames(sequence, options.video, options.rate, kept))
        occlusions = Occlusions(sequence, options.hide, options.seed) if options.hide else None
        bar = progress(occlusions.withheld(detections) if occlusions else detections, sequence.name, total=len(kept))
        trackers = {name: Timed(make()) for name, make in makers.items()}
        tracks = track(bar, trackers)
        for name, tracker in trackers.items():
            hidden = occlusions.outcomes(tracks[name]) if occlusions else Counter()
            outcomes[name][sequence.name] = Outcome(score_tracks(sequence, tracks[name], kept), tracker.seconds, hidden)
        if options.write:
            write_results(options.write / f"{sequence.name}.txt", tracks[OURS])
    return outcomes


def _makers(config: AppConfig, against: str | None) -> dict[str, Callable[[], Tracker]]:
    """Return functions that create a new tracker, by the tracker's name in the table."""
    makers: dict[str, Callable[[], Tracker]] = {OURS: partial(OurTracker, config.tracker)}
    if against == "methods":
        others = [method for method in get_args(TrackerMethod) if method != config.tracker.method]
        changed = {method: {**config.tracker.model_dump(), "method": method, "reid": None} for method in others}
        makers |= {method: partial(OurTracker, TrackerConfig(**keys)) for method, keys in changed.items()}
    elif against == "naive":
        from realtime.evaluate.tracking.trackers import Naive

        makers["nothing between"] = lambda: Naive(OurTracker(config.tracker), holds=False)
        makers["held between"] = lambda: Naive(OurTracker(config.tracker), holds=True)
    elif against == "no-relink":
        makers["without relink"] = partial(OurTracker, config.tracker.model_copy(update={"relink_s": 0.0}))
    elif against == "boxmot":
        from realtime.evaluate.tracking.trackers import DEFAULTS, PlainByteTrack

        makers |= {name: partial(PlainByteTrack, *defaults) for name, defaults in DEFAULTS.items()}
    return makers


def _detector(config: AppConfig, with_poses: bool) -> Callable[[Frame], Detections]:
    """Load the detector and return a function from a frame to its detections.

    Args:
        config: the configuration.
        with_poses: also run the pose model, so that the detections carry its keypoints and not the detector's own.
    """
    from realtime.loading import load_detector, load_models

    if not with_poses:
        stage, _ = load_detector(config)
        return lambda frame: stage.process([frame])[0]
    models = load_models(config)

    def look(frame: Frame) -> Detections:
        found = models.detect.process([frame])[0]
        numbers = np.arange(1, len(found) + 1)  # placeholder ids: the pose model takes tracks
        people = Tracks(frame, found.xyxy, found.scores, numbers, np.ones(len(found), np.bool_), found.keypoints)
        poses = models.pose.process([people])[0]
        return replace(found, keypoints=np.dstack([poses.keypoints, poses.keypoint_scores]))

    return look


def _together(outcomes: list[Outcome]) -> Outcome:
    return Outcome(
        combine([each.scores for each in outcomes]),
        [s for each in outcomes for s in each.seconds],
        sum((each.hidden for each in outcomes), Counter()),
    )


def _report(
    outcomes: Mapping[str, dict[str, Outcome]],
    sequences: list[MotSequence],
    thinning: Thinning,
    hidden_s: float | None,
    config: AppConfig,
) -> Report:
    hidden = OUTCOMES if hidden_s else ()
    shown = (*_SHOWN, *hidden)
    numbers = {
        tracker: {
            name: {**outcome.scores.numbers(), "ms": outcome.ms, **{key: outcome.hidden[key] for key in hidden}}
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
            "HOTA, DetA, AssA, MOTA, IDF1: percent; IDSW: number of id switches; ms: mean tracking time per frame.",
            *(_HIDDEN_NOTES if hidden else []),
        ],
    )


if __name__ == "__main__":
    from realtime.evaluate.__main__ import main

    sys.exit(main(["tracking", *sys.argv[1:]]))
