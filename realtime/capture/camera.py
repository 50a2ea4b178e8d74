"""The body of one capture thread: opens a source, brings its pictures to the door as frames, opens it again when lost.

Source -> Frame -> runtime.door. What is expected to go wrong with a camera is handled here and nowhere else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from realtime.capture.backoff import Backoff
from realtime.capture.open import kind_of, open_source
from realtime.capture.source import Picture, Source
from realtime.capture.timeline import Pacer, Timeline
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.redact import redact
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.types import Frame

log = logging.getLogger(__name__)

# A camera that was well for so long is tried again without delay when it is lost.
HEALTHY_S = 10.0


class Camera:
    """One camera. Only the thread that calls `run` opens, reads and closes its source.

    Args:
        config: its name and source.
        realtime: pace a file like a live camera; newest frame wins.
        loop: begin a file again at its end.
        max_frames: end after so many source frames.
        fail_fast: a network camera that can't be opened at first ends the run.
        door: where the frames go.
        status: its state and counters.
        stop: set when the run ends; `door.stop` must be called too, to free a thread that waits there.
        open_source: opens a source by its text; a fake in tests.
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
        open_source: Callable[[str], Source] = open_source,
    ) -> None:
        self._name = config.name
        self._text = config.source
        self._realtime = realtime
        self._loop = loop
        self._max_frames = max_frames
        self._door = door
        self._status = status
        self._stop = stop
        self._open_source = open_source
        self._retries_first_open = kind_of(config.source) == "network" and not fail_fast
        self._timeline = Timeline()
        self._pacer = Pacer(stop)
        self._backoff = Backoff()
        self._index = 0
        self._was_open = False
        self._trouble: SourceReason | None = None  # that was reported last and isn't over
        self._pause_s = 0.0  # before the source is opened the next time

    def run(self) -> None:
        """Capture until the source ends, `max_frames` are reached or the run stops.

        Raises:
            SourceError: the source can't be opened, or a file can't be read on.
            TruncatedError: a file ended before its end; its good frames were brought.
        """
        try:
            self._capture()
            self._status.set_state("ended")
        except Closed:
            self._status.set_state("ended")
        except SourceError as error:
            truncated = isinstance(error, TruncatedError)
            self._status.set_state("failed", "the file is truncated" if truncated else error.reason.value)
            raise type(error)(f"{self._name}: {error}", error.reason) from None
        except BaseException:
            self._status.set_state("failed", "internal error")
            raise
        finally:
            self._door.finish(self._name)

    def _capture(self) -> None:
        while (source := self._open()) is not None:
            try:
                goes_on = self._play(source)
            finally:
                source.close()
            if not goes_on:
                return

    def _open(self) -> Source | None:
        """Open the source, however often it takes; None when the run is stopping."""
        while not self._stop.wait(self._pause_s):
            try:
                source = self._open_source(self._text)
            except SourceError as error:
                # A file over HTTP is a file: what is missing of it doesn't come by trying again.
                if isinstance(error, TruncatedError) or not (self._was_open or self._retries_first_open):
                    raise
                self._reconnect(error)
            else:
                self._pause_s = 0.0
                self._announce(source)
                return source
        return None

    def _announce(self, source: Source) -> None:
        """Tell everyone that the source is open."""
        self._status.describe(source.size, source.fps)
        self._door.attach(self._name, newest_wins=source.live or self._realtime)
        self._timeline.reopened(time.monotonic(), source.live, source.fps)
        if not self._was_open or self._trouble is not None:
            rate = f"{source.fps:.4g} fps" if source.fps else "unknown rate"
            again = " again" if self._was_open else ""
            log.info("%s: opened %s%s, %dx%d, %s", self._name, redact(self._text), again, *source.size, rate)
        self._was_open, self._trouble = True, None

    def _play(self, source: Source) -> bool:
        """Bring the pictures of one opening to the door. True if the source is to be opened again."""
        if not source.live:
            self._door.wait_until_open()
        opened_s = time.monotonic()
        while not self._stop.is_set():
            try:
                picture = source.read()
            except SourceError as error:
                if not source.live:
                    raise
                if time.monotonic() - opened_s >= HEALTHY_S:
                    self._backoff.reset()
                self._reconnect(error)
                return True
            if picture is None:
                return self._loop
            self._bring(picture, source)
            if self._index == self._max_frames:
                return False
        return False

    def _bring(self, picture: Picture, source: Source) -> None:
        """Make the picture a frame and bring it to the door, or count why not."""
        arrived_s = time.monotonic()
        index, self._index = self._index, self._index + 1
        self._status.count_captured()
        if picture.fault is not None:
            self._status.count_dropped(picture.fault)
            return
        if self._status.state[0] != "live":  # open is not enough: a camera may answer and send nothing
            self._status.set_state("live")
        size = (picture.image.shape[1], picture.image.shape[0])
        if size != self._status.size:
            self._status.describe(size, source.fps)
            log.info("%s: its size is now %dx%d", self._name, *size)
        epoch, time_s = self._timeline.place(size, picture.media_s, arrived_s)
        if self._realtime and not source.live and not self._pacer.wait(time_s, source.fps):
            self._status.count_dropped("stopping")
            return
        self._door.put(
            Frame(
                camera=self._name,
                epoch=epoch,
                index=index,
                image=picture.image,
                time_s=time_s,
                captured_mono_ns=time.monotonic_ns(),
                captured_unix_ns=time.time_ns(),
                media_s=picture.media_s,
            )
        )

    def _reconnect(self, error: SourceError) -> None:
        """Say once why the camera is away, and set how long to wait before it is tried again."""
        if error.reason is not self._trouble:
            self._trouble = error.reason
            self._status.set_state("reconnecting", error.reason.value)
            log.warning("%s: %s; trying again", self._name, error)
        self._pause_s = self._backoff.wait_s(error.reason)
