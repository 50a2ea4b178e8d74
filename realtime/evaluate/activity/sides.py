"""Processes a recording twice at once: with the motion gate, and without it, as if it were a live camera.

Used by `command`: Shot -> Seen. Both sides run the program's own parts, one after the other on one thread. What both
need of a picture is computed once, and its CPU time is counted for both.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime.capture.late import image_of
from realtime.capture.watcher import Watcher
from realtime.config import AppConfig, CameraConfig
from realtime.detect.cadence import Cadence
from realtime.evaluate.activity.clips import Shot
from realtime.runtime.activity import Activities
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Motion, Tracks

PARTS = ("decode", "gate", "convert", "detect", "track")
# The detector: runs on every frame that it gets.
Detect = Callable[[Frame], Detections]
_Result = TypeVar("_Result")


@dataclass
class Cost:
    """CPU time of one side by part (PARTS).

    Attributes:
        seconds: CPU time (s).
        calls: how often each part ran.
    """

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def total_s(self) -> float:
        """CPU time of all parts (s)."""
        return sum(self.seconds.values())

    def add(self, part: str, spent_s: float) -> None:
        """Add a call of a part."""
        self.seconds[part] += spent_s
        self.calls[part] += 1


class Seen(NamedTuple):
    """The results of both sides for one picture.

    Attributes:
        motion: the gate's verdict.
        on: with the gate: the people; None if the frame is not published.
        off: without the gate: the people; None if this side doesn't run.
        has_found: whether the detector ran for the gate, and found a person good enough to start a track.
    """

    motion: Motion
    on: Tracks | None
    off: Tracks | None
    has_found: bool


class Sides:
    """Both sides of one recording.

    Args:
        config: the sections `activity`, `detector` and `tracker` are used.
        camera: the camera, with its mask and sensitivity.
        detect: the detector.
        is_fast: don't run the side without the gate; estimate its cost from the other one's.

    Attributes:
        on: cost with the gate.
        off: cost without it.
    """

    def __init__(self, config: AppConfig, camera: CameraConfig, detect: Detect, is_fast: bool) -> None:
        self._camera, self._detect, self._is_fast = camera, detect, is_fast
        activities = Activities(config.activity)
        self._watcher = Watcher(camera, activities)
        self._with, self._without = _Side(config), _Side(config)
        self._with.track.looked = activities.looked
        self._warm: set[tuple[int, int]] = set()  # sizes of the frames on which the detector has run
        self._every = config.detector.every
        self.on, self.off = self._with.cost, self._without.cost

    def process(self, shot: Shot) -> Seen:
        """Process the next picture.

        Raises:
            SourceError: it can't be converted.
        """
        for side in (self.on, self.off):
            side.add("decode", shot.decode_s)
        verdict, spent_s = _timed(lambda: self._watcher.see(shot.decoded, shot.epoch, shot.time_s))
        self.on.add("gate", spent_s)
        picture = _Picture(shot, self._camera, self._detect, self._warm)
        on = self._with.process(picture, verdict.motion) if verdict.enters else None
        off = None if self._is_fast else self._without.process(picture, None)
        if self._is_fast:
            self._estimate()
        return Seen(verdict.motion, on, off, on is not None and self._with.has_found)

    def _estimate(self) -> None:
        """Count the parts that the side without the gate would run for a frame, at their mean cost with it."""
        for part, share in (("convert", 1.0), ("detect", 1.0 / self._every), ("track", 1.0)):
            self.off.calls[part] += 1
            if self.on.calls[part]:
                mean_s = self.on.seconds[part] / self.on.calls[part]
                self.off.seconds[part] = self.off.calls[part] * share * mean_s


class _Picture:
    """What both sides need of one picture."""

    def __init__(self, shot: Shot, camera: CameraConfig, detect: Detect, warm: set[tuple[int, int]]) -> None:
        self._shot, self._camera, self._detect, self._warm = shot, camera, detect, warm
        self._image: tuple[NDArray[np.uint8], float] | None = None
        self._found: tuple[Detections, float] | None = None

    def frame(self, motion: Motion | None) -> tuple[Frame, float]:
        """Return the frame, and the CPU time (s) that the conversion took."""
        self._image = self._image or _timed(lambda: image_of(self._shot.decoded, self._camera))
        shot, (image, spent_s) = self._shot, self._image
        at_ns = round(shot.elapsed_s * 1e9)
        return Frame("clip", shot.epoch, shot.number, image, shot.time_s, at_ns, at_ns, motion=motion), spent_s

    def detections(self, frame: Frame) -> tuple[Detections, float]:
        """Return the people in the frame, and the CPU time (s) that the detector took."""
        if self._found is None:
            if frame.size not in self._warm:  # a network may be compiled for each size, which cameras do only once
                self._warm.add(frame.size)
                self._detect(frame)
            self._found = _timed(lambda: self._detect(frame))
        found, spent_s = self._found
        return replace(found, frame=frame), spent_s


class _Side:
    def __init__(self, config: AppConfig) -> None:
        self._cadence = Cadence(config.detector.every)
        self._likely = config.tracker.track_score
        self.track = TrackStage(config.tracker)
        self.cost = Cost()
        self.has_found = False  # in the last frame

    def process(self, picture: _Picture, motion: Motion | None) -> Tracks:
        """Convert the picture, and find and track its people."""
        frame, spent_s = picture.frame(motion)
        self.cost.add("convert", spent_s)
        if self._cadence.is_due(frame):
            found, spent_s = picture.detections(frame)
            self.cost.add("detect", spent_s)
        else:
            found = Detections.empty(frame, looked=False)
        self.has_found = bool((found.scores >= self._likely).any())
        tracks, spent_s = _timed(lambda: self.track.process([found])[0])
        self.cost.add("track", spent_s)
        return tracks


def _timed(call: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return the result of a call, and the CPU time (s) that the whole process spent on it."""
    began_s = time.process_time()
    result = call()
    return result, time.process_time() - began_s
