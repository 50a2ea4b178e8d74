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

from realtime.capture import open as opening
from realtime.capture.backoff import Backoff
from realtime.capture.framer import Dropped, Framer, Prepare
from realtime.capture.guard import Guard
from realtime.capture.kind import kind_of
from realtime.capture.source import Counted, Picture, Source
from realtime.capture.view import viewed_size
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError, SourceReason, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.redact import shown
from realtime.runtime.activity import Activities
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.runtime.memory import give_back_memory

log = logging.getLogger(__name__)

# A camera that stayed open this long counts as reachable, even if it sent no frame, so the backoff restarts when it is
# lost. Shorter than the default read timeout (2 s), so that a camera that opens and then stalls is retried after the
# shortest wait.
HEALTHY_S = 1.5
# A live source silent for this much longer than its read timeout is reported as lost, though its read hasn't returned.
GRACE_S = 0.5


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
        self._max_frames = max_frames
        self._door = door
        self._status = status
        self._stop = stop
        self._prepare = prepare
        self._guard = Guard(config.name, config.address)
        self._framer: Framer = Framer(
            config,
            status,
            self._guard,
            stop,
            realtime=realtime,
            prepare=prepare,
            activities=activities,
            timeline=after._framer.timeline if after else None,
        )
        self._open_source = open_source or functools.partial(opening.open_source, stop=stop)
        self._retries_first_open = kind_of(config.address) == "network" and not fail_fast
        self._backoff = Backoff()
        self._index: int = after._index if after else 0
        self._last_index = self._index + max_frames if max_frames else None
        self._was_open = False
        self._trouble: SourceReason | None = None  # the fault reported last, None once the source is open again
        self._pause_s = 0.0  # wait before the next attempt to open the source

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
            raise error.again(f"{self._name}: {error}") from None
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
        self._prepare(self._name, size, source.live)
        self._door.attach(self._name, newest_wins=source.live or self._realtime)
        if not self._was_open:
            self._begin(source)
        self._status.describe(size, source.fps)  # last: the info message that follows tells whether it is live
        self._framer.reopened(source)
        if not self._was_open or self._trouble is not None:
            rate = f"{source.fps:.4g} fps" if source.fps else "unknown frame rate"
            again = " again" if self._was_open else ""
            where, extra = shown(self._config.address), {"camera": self._name}
            log.info("%s: opened %s%s, %dx%d, %s", self._name, where, again, *source.size, rate, extra=extra)
        self._was_open, self._trouble = True, None

    def _begin(self, source: Source) -> None:
        """Tell the status whether the source ends by itself, and after how many frames."""
        repeats = self._loop or kind_of(self._config.address) == "demo"
        declared = source.length if isinstance(source, Counted) and not repeats else None
        lengths = [length for length in (declared, self._max_frames) if length is not None]
        ends = not source.live and (not repeats or self._max_frames is not None)
        self._status.begin(ends=ends, length=min(lengths) if ends and lengths else None)

    def _play(self, source: Source) -> bool:
        """Put frames at the door until the source ends or is lost; True if the source should be opened again."""
        if not source.live:
            self._door.wait_until_open()
        opened_s = time.monotonic()
        # A single image may be requested once a minute. Not by `source.fps`: a stream may declare any rate.
        interval_s = 1 / self._config.target_fps if self._config.target_fps else 0.0
        self._status.expect(self._config.silence_s + interval_s + GRACE_S if source.live else None)
        try:
            while not self._stop.is_set():
                self._framer.check_conversions()
                picture = self._guard.call(source.read, logs=source.live)
                self._status.heard()
                if self._stop.is_set():
                    break
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
                raise error.again(str(error), TruncatedError) from None
            was_open_s = time.monotonic() - opened_s
            if was_open_s >= HEALTHY_S:
                self._backoff.reset()
            self._reconnect(error, was_open_s)
            return True
        finally:
            self._status.expect(None)
            self._status.activity = None
        return False

    def _bring(self, picture: Picture, source: Source) -> None:
        """Make a `Frame` of the picture and put it at the door, or count why it was dropped."""
        arrived_s = time.monotonic()
        index, self._index = self._index, self._index + 1
        self._status.count_captured()
        try:
            frame = self._framer.frame(picture, source, index, arrived_s)
        except Dropped as dropped:
            self._status.count_dropped(dropped.cause)
            error = dropped.error
            if isinstance(error, SourceError):
                error.cause = dropped.cause
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

    def _reconnect(self, error: SourceError, tried_s: float) -> None:
        """Log a fault once, and set the wait; the attempt or the connection lasted `tried_s` seconds."""
        if self._stop.is_set():  # stopping may have caused it
            return
        if error.reason is not self._trouble:
            self._trouble = error.reason
            self._status.set_state("reconnecting", error.reason.value)
            extra = {"camera": self._name, "state": "reconnecting", "reason": error.reason.value, "cause": error.cause}
            log.warning("%s: %s; trying again", self._name, error, extra=extra)
        self._pause_s = self._backoff.wait_s(error.reason, tried_s)
