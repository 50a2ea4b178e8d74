"""Makes frames of the pictures of one camera, or decides why a picture is dropped.

Used by capture.camera: Picture -> Frame. Everything that happens to a picture before the door is here: its age, its
size, its place on the timeline, the rate limit, the motion gate, and its times.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realtime.capture.clock import WallClock, unix_s
from realtime.capture.clock_bars import draw_clock
from realtime.capture.freshness import Freshness
from realtime.capture.guard import Guard
from realtime.capture.late import LateFrame, image_of
from realtime.capture.mask import beyond, check_mask
from realtime.capture.source import Decoded, Picture, Source, Sparing
from realtime.capture.timeline import Pacer, RateLimit, Timeline
from realtime.capture.view import check_crop, viewed_size
from realtime.capture.watcher import Watcher
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError, SourceReason
from realtime.observe.status import CameraStatus
from realtime.redact import shown
from realtime.runtime.activity import Activities
from realtime.types import Frame, Motion

log = logging.getLogger(__name__)

# Called with the camera's name, the size of its frames (width and height in pixels) and whether it is live, before the
# first frame of that size. The size is None when the camera has ended.
Prepare = Callable[[str, tuple[int, int] | None, bool], None]


class Dropped(Exception):  # noqa: N818 - a verdict on one frame
    """A frame is dropped.

    Attributes:
        cause: the cause under which it is counted.
        error: the fault of the source, or of the configuration, that this frame reveals; None if they are fine.
    """

    def __init__(self, cause: str, error: SourceError | ConfigError | None = None) -> None:
        super().__init__(cause)
        self.cause, self.error = cause, error


class Framer:
    """Makes the frames of one camera, across reconnections.

    Args:
        config: the camera's configuration.
        status: the camera's state and counters.
        guard: makes the calls into the camera's source.
        stop: set when the camera ends, so that no frame is waited for.
        realtime: pace a file like a live camera.
        prepare: called before the first frame of each size (`Prepare`).
        activities: the activity of all cameras; None: no camera has a motion gate.
        timeline: that of the previous camera of this name, to continue it; None: a new one.

    Attributes:
        timeline: gives each frame its epoch and its time.
    """

    def __init__(
        self,
        config: CameraConfig,
        status: CameraStatus,
        guard: Guard,
        stop: threading.Event,
        *,
        realtime: bool,
        prepare: Prepare,
        activities: Activities | None,
        timeline: Timeline | None,
    ) -> None:
        self._name, self._config = config.name, config
        self._status, self._guard = status, guard
        self._realtime, self._prepare, self._activities = realtime, prepare, activities
        self.timeline = timeline or Timeline()
        self._freshness = Freshness()
        self._rate_limit = RateLimit(config.target_fps)
        self._clock = WallClock(config.name, trusts_camera=config.clock == "auto")
        self._pacer = Pacer(stop, config.name)
        self._watcher: Watcher | None = None
        self._has_told_spread = False
        self._mask_size: tuple[int, int] | None = None  # the size of the frames for which `mask` was checked last
        self._failures: list[SourceError] = []  # since the last opening: images that could not be converted

    def reopened(self, source: Source) -> None:
        """Get ready for the pictures of a source that was opened."""
        now_s = time.monotonic()
        self.timeline.reopened(now_s, source.live, source.fps)
        self._freshness.reopened(now_s)
        self._clock.reopened()
        self._watcher = self._new_watcher(source)
        self._failures = []  # a new list: frames of the lost source may still wait at the door

    def check_conversions(self) -> None:
        """Check that the images of all frames that have entered could be converted.

        Raises:
            SourceError: one could not, since the source was opened.
        """
        if self._failures:
            raise self._failures.pop()

    def _new_watcher(self, source: Source) -> Watcher | None:
        """Return the motion gate for a source that was opened; None if it has none."""
        if self._activities is None:
            return None
        mode = self._config.activity or self._activities.mode
        is_on = mode == "on" or (mode == "auto" and source.live)
        return Watcher(self._config, self._activities) if is_on else None

    def frame(self, picture: Picture, source: Source, index: int, arrived_s: float) -> Frame | LateFrame:
        """Make a frame, unless one of these checks drops it; their order decides under which cause it is counted.

        The picture of a live source is converted only when the door lets its frame in.

        Raises:
            Dropped: the frame is dropped.
        """
        if picture.fault is not None or picture.decoded is None:
            if picture.fault == SourceReason.KEY_FRAME.value:
                self._status.explain(picture.fault)
            self._wake(picture, source)
            raise Dropped(picture.fault or "undecodable")
        if self._status.state[0] != "live":  # only now: a camera may answer and send no frame
            was_down = self._status.is_down
            self._status.set_state("live")
            if was_down:
                again = " again" if self._status.reconnects else ""
                log.info("%s: live%s", self._name, again, extra={"camera": self._name, "state": "live"})
        if picture.is_spread and not self._has_told_spread:
            self._has_told_spread = True
            text = "%s: timestamps repeat or go back in places; the frames there are spaced evenly"
            log.info(text, self._name, extra={"camera": self._name})
        captured_s = self._captured_s(picture, source, arrived_s)
        size = self._sized(picture.decoded, source)
        epoch, time_s = self.timeline.place(size, picture.media_s, arrived_s)
        if source.live and not self._rate_limit.admits(epoch, time_s):
            raise Dropped("target_fps")
        if self._realtime and not source.live and not self._pacer.wait(time_s, source.fps):
            raise Dropped("stopping")
        motion = self._motion(picture.decoded, source, epoch, time_s)
        if not source.live:  # a file has no capture time: its frame counts as captured now
            captured_s = time.monotonic()
        captured_unix_s, arrived_unix_s = unix_s(captured_s), unix_s(arrived_s)
        if picture.came_s is not None:  # HLS: the frame arrived earlier and was held back until it was due
            captured_unix_s = arrived_unix_s = unix_s(picture.came_s)
        taken_unix_s, clock = self._clock.read(picture.wall_s, captured_unix_s, arrived_unix_s, picture.clock)
        captured_mono_ns = round(captured_s * 1e9)

        def make(image: NDArray[np.uint8]) -> Frame:
            return Frame(
                camera=self._name,
                epoch=epoch,
                index=index,
                image=image,
                time_s=time_s,
                captured_mono_ns=captured_mono_ns,
                captured_unix_ns=round(taken_unix_s * 1e9),
                clock=clock,
                media_s=picture.media_s,
                motion=motion,
            )

        if source.live:
            failed = functools.partial(self._failed, self._failures)
            return LateFrame(self._name, captured_mono_ns, picture.decoded, self._config, make, self._guard, failed)
        image = self._converted(picture.decoded)
        if picture.shows_clock:
            draw_clock(image, round(taken_unix_s * 1e3))
        return make(image)

    def _motion(self, decoded: Decoded, source: Source, epoch: int, time_s: float) -> Motion | None:
        """Watch for motion. None if this camera has no motion gate.

        Raises:
            Dropped: the camera is empty, and this frame doesn't enter.
        """
        if self._watcher is None:
            return None
        try:
            motion, enters = self._guard.call(self._watcher.see, decoded, epoch, time_s, logs=source.live)
        except SourceError as error:
            raise Dropped("undecodable", error) from None
        self._status.activity = motion.activity
        if isinstance(source, Sparing):
            source.decode_only(self._config.idle_decode if motion.activity == "empty" else "all")
        if not enters:
            raise Dropped("idle")
        return motion

    def _wake(self, picture: Picture, source: Source) -> None:
        """Have all frames decoded again if a run of the detector found people, though no key frame showed motion."""
        if picture.fault == "idle" and self._activities and self._activities.has_people(self._name):
            assert isinstance(source, Sparing)  # no other source leaves out frames
            source.decode_only("all")

    def _converted(self, decoded: Decoded) -> NDArray[np.uint8]:
        """Convert a picture of a file, and return its view.

        Raises:
            Dropped: it can't be converted.
        """
        try:
            return self._guard.call(image_of, decoded, self._config, logs=False)
        except SourceError as error:
            raise Dropped("undecodable", error) from None

    def _failed(self, failures: list[SourceError], error: SourceError) -> None:
        """Note that an image could not be converted, on the thread that took its frame from the door."""
        self._status.count_dropped("undecodable")
        error.cause = "undecodable"
        failures.append(error.with_traceback(None))  # which would keep the picture

    def _captured_s(self, picture: Picture, source: Source, arrived_s: float) -> float:
        """When the frame was captured (monotonic seconds), by its arrival and, if they can be trusted, its timestamps.

        Raises:
            Dropped: the frame is stale, or the camera has fallen behind and should be reopened.
        """
        if not source.prompt:
            return arrived_s
        captured_s, verdict = self._freshness.judge(picture.media_s, arrived_s + picture.lead_s)
        if verdict == "stored":
            raise Dropped("stored before the start")
        if verdict == "behind":
            if not self._freshness.trusts_stamps:
                text = "%s: the camera's timestamps run slow; using arrival times from now on"
                log.warning(text, self._name, extra={"camera": self._name, "cause": "behind"})
            where = shown(self._config.address)
            behind = SourceError(f"{where}: falls behind: frames keep arriving late", SourceReason.BEHIND)
            raise Dropped("behind", behind)
        return min(captured_s, arrived_s)

    def _sized(self, decoded: Decoded, source: Source) -> tuple[int, int]:
        """The size of the frame that the picture becomes. Prepares the stages and updates the status if it is new.

        Raises:
            Dropped: `crop_xyxy` reaches beyond the picture, or `mask` covers all of it.
        """
        try:
            self._guard.call(check_crop, decoded.size, self._config, logs=source.live)
        except SourceError as error:
            raise Dropped("crop_xyxy", error) from None
        size = viewed_size(decoded.size, self._config)
        if size != self._mask_size:
            self._check_mask(size)
        if size != self._status.size:
            self._status.describe(size, source.fps)
            self._prepare(self._name, size, source.live)
            log.info("%s: frame size changed to %dx%d", self._name, *size, extra={"camera": self._name})
        elif source.fps != self._status.source_fps:  # measured by now
            self._status.describe(size, source.fps)
        return size

    def _check_mask(self, size: tuple[int, int]) -> None:
        """Check `mask` against a new size of the frames.

        Raises:
            Dropped: it covers everything. In the camera's first picture, that is a mistake in the configuration.
        """
        is_first = self._mask_size is None
        try:
            check_mask(size, self._config)
        except SourceError as error:
            raise Dropped("mask", ConfigError(str(error)) if is_first else error) from None
        self._mask_size = size
        if is_first and (numbers := beyond(size, self._config)):
            text = "%s: mask: polygon %s: outside the frame of %dx%d"
            shown_numbers = " and ".join(str(number) for number in numbers)
            log.warning(text, self._name, shown_numbers, *size, extra={"camera": self._name})
