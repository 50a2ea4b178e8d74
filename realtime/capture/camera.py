"""The body of one capture thread: opens a source, puts its frames at the door and reopens the source when it is lost.

Source -> Frame -> runtime.door. The faults of a camera (a lost source, late or damaged frames, and any exception that
capture.guard catches) are handled here. An error that ends the camera is raised to capture.fleet.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realtime.capture import open as opening
from realtime.capture.backoff import Backoff
from realtime.capture.clock import WallClock, unix_s
from realtime.capture.clock_bars import draw_clock
from realtime.capture.freshness import Freshness
from realtime.capture.guard import Guard
from realtime.capture.kind import kind_of
from realtime.capture.late import LateFrame, image_of
from realtime.capture.mask import beyond, check_mask
from realtime.capture.source import Decoded, Picture, Source, Sparing
from realtime.capture.timeline import Pacer, RateLimit, Timeline
from realtime.capture.view import check_crop, viewed_size
from realtime.capture.watcher import Watcher
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError, SourceReason, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.redact import shown
from realtime.runtime.activity import Activities
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.runtime.memory import give_back_memory
from realtime.types import Frame, Motion

log = logging.getLogger(__name__)

# A camera that stayed open this long counts as reachable, even if it sent no frame, so the backoff restarts when it is
# lost. Shorter than the default read timeout (2 s), so that a camera that opens and then stalls is retried after the
# shortest wait.
HEALTHY_S = 1.5
# A live source silent for this much longer than its read timeout is reported as lost, though its read hasn't returned.
GRACE_S = 0.5

# Called with the camera's name, the size of its frames (width and height in pixels) and whether it is live, before the
# first frame of that size. The size is None when the camera has ended.
Prepare = Callable[[str, tuple[int, int] | None, bool], None]


class _Dropped(Exception):  # noqa: N818 - a verdict on one frame
    """A frame is dropped.

    Attributes:
        cause: the cause under which it is counted.
        error: the fault of the source that this frame reveals; None if the source is fine.
    """

    def __init__(self, cause: str, error: SourceError | None = None) -> None:
        super().__init__(cause)
        self.cause, self.error = cause, error


class Camera:
    """One camera. Only the thread that calls `run` opens, reads and closes its source.

    Args:
        config: the camera's name, source and options.
        realtime: pace a file like a live camera; the newest frame wins.
        loop: restart a file at its end.
        max_frames: end after this many source frames; None: no limit.
        fail_fast: end the run if a network camera can't be opened the first time.
        door: where the frames are put.
        status: the camera's state and counters.
        stop: ends this camera. The caller must also call `door.stop` or `door.evict`, which release a thread that waits
            at the door.
        prepare: called before the first frame of each size, and at the end (`Prepare`).
        open_source: opens the camera's source; tests pass a fake.
        activities: the activity of all cameras; None: no camera has a motion gate.
        after: the previous camera of this name, whose thread has ended. Indices and epochs continue from it.
    """

    def __init__(
        self,
        config: CameraConfig,
        *,
        realtime: bool,
        loop: bool,
        max_frames: int | None,
        fail_fast: bool,
        door: Door,
        status: CameraStatus,
        stop: threading.Event,
        prepare: Prepare = lambda camera, size, live: None,
        open_source: Callable[[CameraConfig], Source] | None = None,
        activities: Activities | None = None,
        after: Camera | None = None,
    ) -> None:
        self._name = config.name
        self._config = config
        self._realtime = realtime
        self._loop = loop
        self._door = door
        self._status = status
        self._stop = stop
        self._prepare = prepare
        self._guard = Guard(config.name, config.address)
        self._open_source = open_source or functools.partial(opening.open_source, stop=stop)
        self._retries_first_open = kind_of(config.address) == "network" and not fail_fast
        self._timeline: Timeline = after._timeline if after else Timeline()
        self._freshness = Freshness()
        self._rate_limit = RateLimit(config.target_fps)
        self._clock = WallClock(config.name, trusts_camera=config.clock == "auto")
        self._pacer = Pacer(stop, config.name)
        self._backoff = Backoff()
        self._index: int = after._index if after else 0
        self._last_index = self._index + max_frames if max_frames else None
        self._was_open = self._has_told_spread = self._has_checked_mask = False
        self._trouble: SourceReason | None = None  # the fault reported last, None once the source is open again
        self._pause_s = 0.0  # wait before the next attempt to open the source
        self._activities = activities
        self._watcher: Watcher | None = None
        self._failures: list[SourceError] = []  # since the last opening: images that could not be converted

    def run(self) -> None:
        """Capture until the source ends, `max_frames` is reached or this camera is stopped.

        Raises:
            ConfigError: `mask` covers the whole frame. Only raised when the source is opened for the first time; later
                it is the camera's trouble.
            SourceError: the source can't be opened, or `crop_xyxy` reaches beyond the image of a file.
            TruncatedError: a file ended early, is damaged or could not be read to its end; its good frames were put at
                the door.
        """
        try:
            self._capture()
            if not self._stop.is_set():  # the caller that stops it sets the next state
                self._status.set_state("ended")
        except Closed:
            pass
        except SourceError as error:
            self._status.set_state("failed", error.reason.value)
            raise type(error)(f"{self._name}: {error}", error.reason) from None
        except ConfigError as error:
            self._status.set_state("failed", SourceReason.MODE.value)
            raise ConfigError(f"{self._name}: {error}") from None
        except BaseException:
            self._status.set_state("failed", "internal error")
            raise
        finally:
            self._prepare(self._name, None, False)
            self._door.finish(self._name)

    def _capture(self) -> None:
        while (source := self._open()) is not None:
            try:
                goes_on = self._play(source)
            finally:
                with contextlib.suppress(SourceError):  # the guard has logged it, and the source is given up anyway
                    self._guard.call(source.close, logs=True)
            del source
            give_back_memory()
            if not goes_on:
                return

    def _open(self) -> Source | None:
        """Open the source, with retries; None when the camera is stopping."""
        while not self._stop.wait(self._pause_s):
            began_s = time.monotonic()
            retries = self._was_open or self._retries_first_open
            try:
                source = self._guard.call(self._open_source, self._config, logs=retries)
            except SourceError as error:
                if self._stop.is_set():  # stopping a pipe that is still empty raises this error
                    return None
                # A truncated file stays truncated, also over HTTP, so it isn't tried again.
                if isinstance(error, TruncatedError) or not retries:
                    raise
                self._reconnect(error, time.monotonic() - began_s)
            else:
                self._pause_s = 0.0
                self._announce(source)
                return source
        return None

    def _announce(self, source: Source) -> None:
        """Update the status, door, timeline and log for a source that was opened."""
        size = viewed_size(source.size, self._config)
        self._status.describe(size, source.fps)
        self._prepare(self._name, size, source.live)
        self._door.attach(self._name, newest_wins=source.live or self._realtime)
        self._timeline.reopened(time.monotonic(), source.live, source.fps)
        self._freshness.reopened(time.monotonic())
        self._clock.reopened()
        self._watcher = self._new_watcher(source)
        self._failures = []  # a new list: frames of the lost source may still wait at the door
        if not self._was_open or self._trouble is not None:
            rate = f"{source.fps:.4g} fps" if source.fps else "unknown frame rate"
            again = " again" if self._was_open else ""
            where, extra = shown(self._config.address), {"camera": self._name}
            log.info("%s: opened %s%s, %dx%d, %s", self._name, where, again, *source.size, rate, extra=extra)
        self._was_open, self._trouble = True, None

    def _new_watcher(self, source: Source) -> Watcher | None:
        """Return the motion gate for a source that was opened; None if it has none."""
        if self._activities is None:
            return None
        mode = self._config.activity or self._activities.mode
        is_on = mode == "on" or (mode == "auto" and source.live)
        return Watcher(self._config, self._activities) if is_on else None

    def _play(self, source: Source) -> bool:
        """Put frames at the door until the source ends or is lost; True if the source should be opened again."""
        if not source.live:
            self._door.wait_until_open()
        opened_s = time.monotonic()
        # A single image may be requested once a minute. Not by `source.fps`: a stream may declare any rate.
        interval_s = 1 / self._config.target_fps if self._config.target_fps else 0.0
        self._status.expect(self._config.silence_s + interval_s + GRACE_S if source.live else None)
        try:
            self._check_mask(viewed_size(source.size, self._config))
            while not self._stop.is_set():
                picture = self._guard.call(source.read, logs=source.live)
                self._status.heard()
                if self._stop.is_set():
                    break
                if self._failures:
                    raise self._failures.pop()
                if picture is None:
                    return self._loop
                self._bring(picture, source)
                if self._index == self._last_index:
                    return False
        except SourceError as error:
            if not source.live:
                if error.reason is SourceReason.MODE or isinstance(error, TruncatedError):
                    raise
                # Its other frames were intact, so the other cameras continue, as with a damaged file.
                raise TruncatedError(str(error), error.reason) from None
            was_open_s = time.monotonic() - opened_s
            if was_open_s >= HEALTHY_S:
                self._backoff.reset()
            self._reconnect(error, was_open_s)
            return True
        finally:
            self._status.expect(None)
            self._status.activity = None
        return False

    def _check_mask(self, size: tuple[int, int]) -> None:
        """Check `mask` against the size of the frames.

        Raises:
            ConfigError: it covers everything, and the source was opened for the first time.
            SourceError: the same, later.
        """
        is_first, self._has_checked_mask = not self._has_checked_mask, True
        try:
            check_mask(size, self._config)
        except SourceError as error:
            if is_first:
                raise ConfigError(str(error)) from None
            raise
        if is_first and (numbers := beyond(size, self._config)):
            text = "%s: mask: polygon %s outside of the frame of %dx%d"
            shown_numbers = " and ".join(str(number) for number in numbers)
            log.warning(text, self._name, shown_numbers, *size, extra={"camera": self._name})

    def _bring(self, picture: Picture, source: Source) -> None:
        """Make a `Frame` of the picture and put it at the door, or count why it was dropped."""
        arrived_s = time.monotonic()
        index, self._index = self._index, self._index + 1
        self._status.count_captured()
        try:
            frame = self._frame(picture, source, index, arrived_s)
        except _Dropped as dropped:
            self._status.count_dropped(dropped.cause)
            error = dropped.error
        else:
            self._door.put(frame)
            return
        if error is not None:
            # Raised outside of the `except` block: inside, the error and the verdict would refer to each other, and
            # keep the closed source's memory until the garbage collector runs.
            try:
                raise error
            finally:
                del error

    def _frame(self, picture: Picture, source: Source, index: int, arrived_s: float) -> Frame | LateFrame:
        """Make a frame, unless one of these checks drops it; their order decides under which cause it is counted.

        That of a live source is converted only when the door lets it in.

        Raises:
            _Dropped: the frame is dropped.
        """
        if picture.fault is not None or picture.decoded is None:
            if picture.fault == SourceReason.KEY_FRAME.value:
                self._status.explain(picture.fault)
            raise _Dropped(picture.fault or "undecodable")
        if self._status.state[0] != "live":  # only now: a camera may answer and send no frame
            self._status.set_state("live")
        if picture.is_spread and not self._has_told_spread:
            self._has_told_spread = True
            text = "%s: timestamps repeat or go back in places; the frames there are spaced evenly"
            log.info(text, self._name, extra={"camera": self._name})
        captured_s = self._captured_s(picture, source, arrived_s)
        size = self._sized(picture.decoded, source)
        epoch, time_s = self._timeline.place(size, picture.media_s, arrived_s)
        if source.live and not self._rate_limit.admits(epoch, time_s):
            raise _Dropped("target_fps")
        if self._realtime and not source.live and not self._pacer.wait(time_s, source.fps):
            raise _Dropped("stopping")
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
            _Dropped: the camera is empty, and this frame doesn't enter.
        """
        if self._watcher is None:
            return None
        try:
            motion, enters = self._guard.call(self._watcher.see, decoded, epoch, time_s, logs=source.live)
        except SourceError as error:
            raise _Dropped("undecodable", error) from None
        self._status.activity = motion.activity
        if isinstance(source, Sparing):
            source.decode_only(self._config.idle_decode if motion.activity == "empty" else "all")
        if not enters:
            raise _Dropped("idle")
        return motion

    def _converted(self, decoded: Decoded) -> NDArray[np.uint8]:
        """Convert a picture of a file, and return its view.

        Raises:
            _Dropped: it can't be converted.
        """
        try:
            return self._guard.call(image_of, decoded, self._config, logs=False)
        except SourceError as error:
            raise _Dropped("undecodable", error) from None

    def _failed(self, failures: list[SourceError], error: SourceError) -> None:
        """Note that an image could not be converted, on the thread that took its frame from the door."""
        self._status.count_dropped("undecodable")
        failures.append(error.with_traceback(None))  # which would keep the picture

    def _captured_s(self, picture: Picture, source: Source, arrived_s: float) -> float:
        """When the frame was captured (monotonic seconds), by its arrival and, if they can be trusted, its timestamps.

        Raises:
            _Dropped: the frame is stale, or the camera has fallen behind and should be reopened.
        """
        if not source.prompt:
            return arrived_s
        captured_s, verdict = self._freshness.judge(picture.media_s, arrived_s + picture.lead_s)
        if verdict == "stored":
            raise _Dropped("stored before the start")
        if verdict == "behind":
            if not self._freshness.trusts_stamps:
                text = "%s: the camera's timestamps run slow; using arrival times from now on"
                log.warning(text, self._name, extra={"camera": self._name})
            where = shown(self._config.address)
            behind = SourceError(f"{where}: falls behind: frames keep arriving late", SourceReason.BEHIND)
            raise _Dropped("behind", behind)
        return min(captured_s, arrived_s)

    def _sized(self, decoded: Decoded, source: Source) -> tuple[int, int]:
        """The size of the frame that the picture becomes. Prepares the stages and updates the status if it is new.

        Raises:
            _Dropped: `crop_xyxy` reaches beyond the picture, or `mask` covers all of it.
        """
        try:
            self._guard.call(check_crop, decoded.size, self._config, logs=source.live)
        except SourceError as error:
            raise _Dropped("crop_xyxy", error) from None
        size = viewed_size(decoded.size, self._config)
        if size != self._status.size:
            try:
                self._check_mask(size)
            except SourceError as error:
                raise _Dropped("mask", error) from None
            self._status.describe(size, source.fps)
            self._prepare(self._name, size, source.live)
            log.info("%s: frame size changed to %dx%d", self._name, *size, extra={"camera": self._name})
        elif source.fps != self._status.source_fps:  # measured by now
            self._status.describe(size, source.fps)
        return size

    def _reconnect(self, error: SourceError, tried_s: float) -> None:
        """Log a fault once, and set the wait; the attempt or the connection lasted `tried_s` seconds."""
        if self._stop.is_set():  # stopping may have caused it
            return
        if error.reason is not self._trouble:
            self._trouble = error.reason
            self._status.set_state("reconnecting", error.reason.value)
            extra = {"camera": self._name, "state": "reconnecting", "reason": error.reason.value}
            log.warning("%s: %s; trying again", self._name, error, extra=extra)
        self._pause_s = self._backoff.wait_s(error.reason, tried_s)
