"""The inputs of the command `tracking`: detections from a file or from the detector, and the results of other programs.

Timestamps are those that the program itself would assign. `mot` parses the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.capture.open import open_source
from realtime.capture.timeline import Timeline
from realtime.capture.watcher import Watcher
from realtime.config import AppConfig, CameraConfig
from realtime.detect.cadence import Cadence
from realtime.errors import ConfigError
from realtime.evaluate.processor import computed_with
from realtime.evaluate.tracking.mot import ID, SCORE, XYWH, Boxes, MotSequence, read_rows
from realtime.runtime.activity import Activities
from realtime.types import Detections, Frame, Tracks


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


def empty_between(detections: Iterable[Detections], every: int) -> Iterator[Detections]:
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


def read_frames(
    sequence: MotSequence,
    video: Path | None,
    rate_hz: float | None,
    kept: list[int],
    activities: Activities | None = None,
) -> Iterator[Frame]:
    """Read the frames of a sequence, with the timestamps that the program itself would assign.

    With a motion gate, frames that it doesn't let in are left out.

    Args:
        sequence: the sequence.
        video: a video file with its frames; None: the sequence's folder of images.
        rate_hz: frames per second; None: a video's own timestamps, or the rate in seqinfo.ini for images.
        kept: numbers of the frames to return, in ascending order.
        activities: the activity of the sequence, for a motion gate; None: no gate.

    Raises:
        ConfigError: the folder of images is missing, or the source ends before the last kept frame.
        SourceError: the source can't be read.
    """
    if video is None and not sequence.images.is_dir():
        raise ConfigError(f"{sequence.images}: no such folder; add the images, or use --video or --detections")
    config = CameraConfig(name="evaluated", source=str(video or sequence.images))
    source = open_source(config)
    # The name of a sequence may be one that a camera can't have.
    watcher = Watcher(config.model_copy(update={"name": sequence.name}), activities) if activities else None
    timeline = Timeline()
    timeline.reopened(0.0, live=False, fps=rate_hz or (source.fps if video else sequence.rate_hz))
    wanted = set(kept)
    try:
        for number in range(1, max(kept, default=0) + 1):
            picture = source.read()
            if picture is None:
                raise ConfigError(f"{video or sequence.images}: ends after {number - 1} frames, expected {kept[-1]}")
            _, time_s = timeline.place(source.size, picture.media_s if rate_hz is None else None, 0.0)
            if number not in wanted or picture.decoded is None:
                continue
            motion, enters = watcher.see(picture.decoded, 0, time_s) if watcher else (None, True)
            if enters:
                yield replace(_frame(sequence.name, number, picture.decoded.bgr(), time_s), motion=motion)
    finally:
        source.close()


def load_detect(config: AppConfig, with_poses: bool) -> tuple[Callable[[Frame], Detections], str]:
    """Load the detector.

    Args:
        config: the configuration.
        with_poses: also run the pose model, so that the detections carry its keypoints and not the detector's own.

    Returns:
        A function from a frame to its detections, and a note about the networks for the report.
    """
    from realtime.loading import load_detector, load_models
    from realtime.runtime.device import resolve_device

    if not with_poses:
        stage, name = load_detector(config)
        device = str(resolve_device(config.device))
        return lambda frame: stage.process([frame])[0], computed_with(device, {f"detector {name}": stage.engine_name})
    models = load_models(config, concurrency=1)

    def detect_with_poses(frame: Frame) -> Detections:
        found = models.detect.process([frame])[0]
        numbers = np.arange(1, len(found) + 1)  # placeholder ids: the pose model takes tracks
        people = Tracks(frame, found.xyxy, found.scores, numbers, np.ones(len(found), np.bool_), found.keypoints)
        poses = models.pose.process([people])[0]
        return replace(found, keypoints=np.dstack([poses.keypoints, poses.keypoint_scores]))

    detector, pose = f"detector {models.detector_name}", f"pose model {models.pose_name}"
    engines = {detector: models.detect.engine_name, pose: models.pose.engine_name}
    return detect_with_poses, computed_with(str(models.device), engines)


def _frame(camera: str, number: int, image: NDArray[np.uint8], time_s: float) -> Frame:
    time_ns = round(time_s * 1e9)
    return Frame(camera, 0, number - 1, image, time_s, captured_mono_ns=time_ns, captured_unix_ns=time_ns)
