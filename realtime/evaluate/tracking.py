"""Identities against ground truth: HOTA, DetA, AssA, MOTA, IDF1 and IDSW of MOTChallenge sequences.

`python -m realtime.evaluate tracking`. Runs the program's own stages, from given detections or from the pictures, or
reads results that another program wrote; `mot` knows the files, `mot_metrics` the scores.
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
from realtime.evaluate.keys import add_keys, load_keys
from realtime.evaluate.mot import (
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
from realtime.evaluate.mot_metrics import Scores, combine, score
from realtime.evaluate.occlusion import OUTCOMES, Occlusions
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.pose.stage import with_keypoints
from realtime.skeleton import COCO17
from realtime.track.relink import RelinkStage
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Tracks

_KEYS = ("device", "detector.", "tracker.", "pose.")
_SHOWN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "ms")
_ALL = "COMBINED"
_HIDDEN_NOTES = ["Of those hidden, afterwards: kept their id, had one taken from somebody else, or a new one."]
OURS = "ours"

# One frame's tracks: ids int64 (N,) and boxes x, y, w, h float64 (N, 4) in pixels.
Boxes = tuple[NDArray[np.int64], NDArray[np.float64]]
_NOBODY: Boxes = np.zeros(0, np.int64), np.zeros((0, 4))


class Tracker(Protocol):
    """What follows the people of one sequence."""

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4) of the people in this frame, in pixels."""


class OurTracker:
    """The program's tracking stage over one sequence, and the second chance by the detections' keypoints or boxes."""

    def __init__(self, config: TrackerConfig) -> None:
        self._stage = TrackStage(config)
        self._relink = RelinkStage(config.relink_s, COCO17.sigmas) if config.relink_s else None

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As in Tracker."""
        tracks = self._stage.process([detections])[0]
        keypoints = np.zeros((len(tracks), 0, 3), np.float32) if tracks.keypoints is None else tracks.keypoints
        poses = with_keypoints(tracks, keypoints)
        if self._relink is not None:
            poses = self._relink.process([poses])[0]
        return poses.track_ids, poses.xyxy.astype(np.float64)


class Timed:
    """A tracker, and how long it took.

    Attributes:
        seconds: of each frame, in order.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.seconds: list[float] = []

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As in Tracker."""
        began_s = time.perf_counter()
        tracks = self._tracker.follow(detections)
        self.seconds.append(time.perf_counter() - began_s)
        return tracks


@dataclass(frozen=True)
class Outcome:
    """What a tracker made of one sequence, or of several.

    Attributes:
        scores: against ground truth.
        seconds: for each frame; none where the tracks came from a file.
        hidden: what became of those that `--hide` hid, by occlusion.OUTCOMES.
    """

    scores: Scores
    seconds: list[float] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)

    @property
    def ms(self) -> float | None:
        """Mean milliseconds a frame."""
        return 1e3 * float(np.mean(self.seconds)) if self.seconds else None


@dataclass(frozen=True)
class Thinning:
    """Which frames of a sequence are kept; ground truth is compared on these alone.

    Attributes:
        every: each so many-th one, beginning with the first.
        drop: share of these, 0..1, that is left out at random.
        seed: of that chance.
    """

    every: int = 1
    drop: float = 0.0
    seed: int = 0

    def of(self, frames: range) -> list[int]:
        """The numbers that are kept, rising."""
        candidates = frames[:: self.every]
        kept = np.random.default_rng(self.seed).random(len(candidates)) >= self.drop
        return [number for number, is_kept in zip(candidates, kept, strict=True) if is_kept]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags, the configuration's keys of detector and tracker among them."""
    add = parser.add_argument
    add("folder", nargs="+", type=Path, metavar="DIR", help="a folder with gt/gt.txt, or a folder of such")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--detections", type=Path, metavar="FILE", help="track these, e.g. det/det.txt in each folder")
    origin.add_argument("--video", type=Path, metavar="FILE", help="the sequence's pictures; else its folder img1")
    origin.add_argument("--results", type=Path, metavar="FOLDER", help="score tracks that are there: FOLDER/NAME.txt")
    add(
        "--against",
        choices=["boxmot", "methods", "naive", "no-relink"],
        help="on the same detections: boxmot's own ByteTrack with both its defaults, every other tracker.method, no "
        "boxes and boxes held still between the frames that detector.every looks at, or ours without tracker.relink_s",
    )
    add("--hide", type=float, metavar="S", help="withhold everybody's detections for S seconds, now and then")
    add("--every", type=int, default=1, metavar="N", help="keep each Nth frame only")
    add("--drop", type=float, default=0.0, metavar="SHARE", help="leave out this share of the frames, at random")
    add("--seed", type=int, default=0, metavar="N", help="another N, other frames are dropped, other people hidden")
    add("--rate", type=float, metavar="HZ", help="frames per second; default: seqinfo.ini's, or the video's times")
    add("--write", type=Path, metavar="FOLDER", help="write our tracks there as MOTChallenge results")
    add_keys(parser, lambda key: key.startswith(_KEYS))


def run(options: argparse.Namespace) -> Report:
    """Track or read, and score.

    Raises:
        ConfigError: a flag, a folder or a file is wrong.
        SourceError: pictures can't be read.
        ModelError: the detector can't be had.
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
    """Let every tracker see the same detections, frame by frame.

    Args:
        detections: of the frames that are kept, in order; frame.index is the frame's number - 1.
        trackers: by name; none has seen a frame yet.

    Returns:
        Of each tracker: frame number to its tracks.
    """
    tracks: dict[str, dict[int, Boxes]] = {name: {} for name in trackers}
    for item in detections:
        for name, tracker in trackers.items():
            ids, xyxy = tracker.follow(item)
            tracks[name][item.frame.index + 1] = ids, np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
    return tracks


def score_tracks(sequence: MotSequence, tracks: Mapping[int, Boxes], kept: list[int]) -> Scores:
    """Compare with ground truth.

    Args:
        sequence: with its ground truth.
        tracks: frame number to ids and boxes; a frame that is missing has none.
        kept: numbers of the frames that count.

    Raises:
        ConfigError: an id stands twice in a frame.
    """
    try:
        return score([compare(sequence, number, *tracks.get(number, _NOBODY)) for number in kept])
    except ValueError as error:
        raise ConfigError(str(error)) from None


def given_detections(sequence: MotSequence, file: Path, kept: list[int]) -> Iterator[Detections]:
    """Detections from a file as the detector would give them. Boxes without an area are left out.

    Args:
        sequence: whose frame rate gives the times.
        file: MOTChallenge detections: frame, -1, x, y, w, h, score. Relative to the sequence's folder.
        kept: numbers of the frames, rising.

    Raises:
        ConfigError: the file can't be read, or nothing says the frame rate.
    """
    rows = read_rows(sequence.folder / file)
    if sequence.rate_hz is None:
        raise ConfigError(f"{sequence.folder}: no frame rate in seqinfo.ini, expected --rate")
    # There are no pictures: a method that looks at them sees a black one, as large as the boxes reach.
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
    """What is left of them when the detector looks at each so many-th frame only, as in DetectStage."""
    cadence = Cadence(every)
    for item in detections:
        yield item if cadence.is_due(item.frame) else Detections.empty(item.frame, looked=False)


def read_results(sequence: MotSequence, folder: Path) -> dict[int, Boxes]:
    """Tracks that another run wrote: frame number to ids and boxes.

    Args:
        sequence: whose; the file is called after it.
        folder: where the file is.

    Raises:
        ConfigError: the file can't be read.
    """
    rows = read_rows(folder / f"{sequence.name}.txt")
    return {number: (row[:, ID].astype(np.int64), row[:, XYWH]) for number, row in rows.items()}


def frames(sequence: MotSequence, video: Path | None, rate_hz: float | None, kept: list[int]) -> Iterator[Frame]:
    """The pictures of a sequence, read and timed as the program does.

    Args:
        sequence: whose pictures.
        video: the file with them; None: the sequence's folder of images.
        rate_hz: frames per second; None: a video's own time stamps, and seqinfo.ini for images.
        kept: numbers of the frames, rising.

    Raises:
        ConfigError: there are no pictures, or fewer than frames of ground truth.
        SourceError: the pictures can't be read.
    """
    if video is None and not sequence.images.is_dir():
        raise ConfigError(f"{sequence.images}: no such folder, expected pictures there, --video or --detections")
    source = open_source(CameraConfig(name="evaluated", source=str(video or sequence.images)))
    timeline = Timeline()
    timeline.reopened(0.0, live=False, fps=rate_hz or (source.fps if video else sequence.rate_hz))
    wanted = set(kept)
    try:
        for number in range(1, max(kept, default=0) + 1):
            picture = source.read()
            if picture is None:
                raise ConfigError(f"{video or sequence.images}: ends after {number - 1} pictures, expected {kept[-1]}")
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
        "--hide: got {hide} with --results, expected detections or pictures": options.results and options.hide,
        "--pose.*: got a key with --detections or --results, expected pictures": _asks_for_poses(options)
        and (options.detections or options.results),
        "--against: got {against} with --results, expected detections or pictures": options.results and options.against,
        "--write: got {write} with --results, expected detections or pictures": options.results and options.write,
    }
    if first := next((message for message, is_wrong in wrong.items() if is_wrong), None):
        raise ConfigError(first.format_map(vars(options)))


def _asks_for_poses(options: argparse.Namespace) -> bool:
    return any(value is not None for key, value in vars(options).items() if key.startswith("pose."))


def _track_all(
    sequences: list[MotSequence], thinning: Thinning, config: AppConfig, options: argparse.Namespace
) -> dict[str, dict[str, Outcome]]:
    """What came out, by tracker and sequence."""
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
    """What makes a fresh tracker, by its name in the table."""
    makers: dict[str, Callable[[], Tracker]] = {OURS: partial(OurTracker, config.tracker)}
    if against == "methods":
        others = [method for method in get_args(TrackerMethod) if method != config.tracker.method]
        changed = {method: {**config.tracker.model_dump(), "method": method, "reid": None} for method in others}
        makers |= {method: partial(OurTracker, TrackerConfig(**keys)) for method, keys in changed.items()}
    elif against == "naive":
        from realtime.evaluate.baseline import Naive

        makers["nothing between"] = lambda: Naive(OurTracker(config.tracker), holds=False)
        makers["held between"] = lambda: Naive(OurTracker(config.tracker), holds=True)
    elif against == "no-relink":
        makers["without relink"] = partial(OurTracker, config.tracker.model_copy(update={"relink_s": 0.0}))
    elif against == "boxmot":
        from realtime.evaluate.baseline import DEFAULTS, PlainByteTrack

        makers |= {name: partial(PlainByteTrack, *defaults) for name, defaults in DEFAULTS.items()}
    return makers


def _detector(config: AppConfig, with_poses: bool) -> Callable[[Frame], Detections]:
    """The program's detector, loaded: one frame to its people, with the pose model's keypoints or its own."""
    from realtime.loading import load_detector, load_models

    if not with_poses:
        stage, _ = load_detector(config)
        return lambda frame: stage.process([frame])[0]
    models = load_models(config)

    def look(frame: Frame) -> Detections:
        found = models.detect.process([frame])[0]
        numbers = np.arange(1, len(found) + 1)  # nobody's id: the pose model wants people with one
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
        title=f"Tracking of {len(sequences)} sequences, {counted[_ALL]} of {of} frames",
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
            "HOTA, DetA, AssA, MOTA, IDF1 in percent; IDSW: identity switches; ms: of the tracker, mean of a frame.",
            *(_HIDDEN_NOTES if hidden else []),
        ],
    )


if __name__ == "__main__":
    from realtime.evaluate.__main__ import main

    sys.exit(main(["tracking", *sys.argv[1:]]))
