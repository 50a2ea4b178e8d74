"""The body of one capture thread: opens a source, brings its pictures to the door as frames, opens it again when lost.

Source -> Frame -> runtime.door. What is expected to go wrong with a camera is handled here and nowhere else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from realtime.capture.backoff import Backoff
from realtime.capture.freshness import Freshness
from realtime.capture.open import kind_of, open_source
from realtime.capture.source import Picture, Source
from realtime.capture.timeline import Pacer, Timeline
from realtime.capture.view import viewed, viewed_size
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.redact import shown
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from realtime.runtime.memory import give_back_memory
from realtime.types import Clock, Frame

log = logging.getLogger(__name__)

# A camera that was open for so long is there, pictures or not: when it is lost, the waits begin anew. Less than what a
# silent one is given, so that one that stands still is back soon after it goes on.
HEALTHY_S = 1.5
# A source that gives nothing for so much longer than it may is taken for lost, although its read hasn't returned.
GRACE_S = 0.5
# A camera whose clock is further off than this has never been told the time: `captured_ns` in it would mislead.
CLOCK_OFF_S = 60.0
# Only in these do time stamps tell how late a picture is: HTTP brings seconds of video at a time.
STAMPED = ("rtsp://", "rtsps://", "udp://")
# A rate that is asked for is kept although pictures come a little early or late.
EARLY = 0.1


class Camera:
    """One camera. Only the thread that calls `run` opens, reads and closes its source.

    Args:
        config: its name, source and options.
        realtime: pace a file like a live camera; newest frame wins.
        loop: begin a file again at its end.
        max_frames: end after so many source frames.
        fail_fast: a network camera that can't be opened at first ends the run.
        door: where the frames go.
        status: its state and counters.
        stop: ends this camera; `door.stop` or `door.evict` must be called too, to free a thread that waits there.
        prepare: told of a size of picture, width and height, before the first one of it is brought.
        open_source: opens a camera's source; a fake in tests.
        after: a camera of the same name whose thread has ended; indices and epochs go on from it.
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
        prepare: Callable[[tuple[int, int]], None] = lambda size: None,
        open_source: Callable[[CameraConfig], Source] = open_source,
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
        self._open_source = open_source
        self._retries_first_open = kind_of(config.address) == "network" and not fail_fast
        self._timeline: Timeline = after._timeline if after else Timeline()
        self._freshness = Freshness()
        self._has_stamps = config.address.lower().startswith(STAMPED)
        self._due_epoch, self._next_due_s = -1, 0.0  # on the source's time line, by `target_fps`
        self._clock_is_off = False
        self._pacer = Pacer(stop)
        self._backoff = Backoff()
        self._index: int = after._index if after else 0
        self._last_index = self._index + max_frames if max_frames else None
        self._was_open = False
        self._trouble: SourceReason | None = None  # that was reported last and isn't over
        self._pause_s = 0.0  # before the source is opened the next time

    def run(self) -> None:
        """Capture until the source ends, `max_frames` are reached or this camera is stopped.

        Raises:
            SourceError: the source can't be opened, or a file can't be read on.
            TruncatedError: a file ended before its end; its good frames were brought.
        """
        try:
            self._capture()
            if not self._stop.is_set():  # whoever stops it knows what comes next
                self._status.set_state("ended")
        except Closed:
            pass
        except SourceError as error:
            self._status.set_state("failed", error.reason.value)
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
            del source
            give_back_memory()
            if not goes_on:
                return

    def _open(self) -> Source | None:
        """Open the source, however often it takes; None when the run is stopping."""
        while not self._stop.wait(self._pause_s):
            began_s = time.monotonic()
            try:
                source = self._open_source(self._config)
            except SourceError as error:
                # A file over HTTP is a file: what is missing of it doesn't come by trying again.
                if isinstance(error, TruncatedError) or not (self._was_open or self._retries_first_open):
                    raise
                self._reconnect(error, time.monotonic() - began_s)
            else:
                self._pause_s = 0.0
                self._announce(source)
                return source
        return None

    def _announce(self, source: Source) -> None:
        """Tell everyone that the source is open."""
        size = viewed_size(source.size, self._config)
        self._status.describe(size, source.fps)
        self._prepare(size)
        self._door.attach(self._name, newest_wins=source.live or self._realtime)
        self._timeline.reopened(time.monotonic(), source.live, source.fps)
        self._freshness.reopened(time.monotonic())
        if not self._was_open or self._trouble is not None:
            rate = f"{source.fps:.4g} fps" if source.fps else "unknown rate"
            again = " again" if self._was_open else ""
            log.info("%s: opened %s%s, %dx%d, %s", self._name, shown(self._config.address), again, *source.size, rate)
        self._was_open, self._trouble = True, None

    def _play(self, source: Source) -> bool:
        """Bring the pictures of one opening to the door. True if the source is to be opened again."""
        if not source.live:
            self._door.wait_until_open()
        opened_s = time.monotonic()
        self._status.expect(self._config.silence_s + GRACE_S if source.live else None)
        try:
            while not self._stop.is_set():
                picture = source.read()
                self._status.heard()
                if picture is None:
                    return self._loop
                if self._stop.is_set():
                    break
                self._bring(picture, source)
                if self._index == self._last_index:
                    return False
        except SourceError as error:
            if not source.live:
                raise
            was_open_s = time.monotonic() - opened_s
            if was_open_s >= HEALTHY_S:
                self._backoff.reset()
            self._reconnect(error, was_open_s)
            return True
        finally:
            self._status.expect(None)
        return False

    def _bring(self, picture: Picture, source: Source) -> None:
        """Make the picture a frame and bring it to the door, or count why not."""
        arrived_s = time.monotonic()
        index, self._index = self._index, self._index + 1
        self._status.count_captured()
        if picture.fault is not None or picture.image is None:
            self._status.count_dropped(picture.fault or "undecodable")
            return
        if self._status.state[0] != "live":  # open is not enough: a camera may answer and send nothing
            self._status.set_state("live")
        captured_s, verdict = arrived_s, "fresh"
        if source.live and self._has_stamps:
            captured_s, verdict = self._freshness.judge(picture.media_s, arrived_s)
        if verdict == "behind":
            self._status.count_dropped("behind")
            self._say_of_stamps()
            raise SourceError(
                f"{shown(self._config.address)}: it falls behind and doesn't catch up", SourceReason.BEHIND
            )
        if verdict == "stored":
            self._status.count_dropped("stored before the start")
            return
        size = viewed_size((picture.image.shape[1], picture.image.shape[0]), self._config)
        if size != self._status.size:
            self._status.describe(size, source.fps)
            self._prepare(size)
            log.info("%s: its size is now %dx%d", self._name, *size)
        epoch, time_s = self._timeline.place(size, picture.media_s, arrived_s)
        if not self._is_due(epoch, time_s, source):
            self._status.count_dropped("target_fps")
            return
        if self._realtime and not source.live and not self._pacer.wait(time_s, source.fps):
            self._status.count_dropped("stopping")
            return
        try:
            image = viewed(picture.image, self._config)
        except SourceError:
            self._status.count_dropped("crop_xyxy")
            raise
        if not source.live:  # it waited for us
            captured_s = time.monotonic()
        captured_unix_ns, clock = self._wall_clock(picture, captured_s)
        self._door.put(
            Frame(
                camera=self._name,
                epoch=epoch,
                index=index,
                image=image,
                time_s=time_s,
                captured_mono_ns=round(captured_s * 1e9),
                captured_unix_ns=captured_unix_ns,
                clock=clock,
                media_s=picture.media_s,
            )
        )

    def _is_due(self, epoch: int, time_s: float, source: Source) -> bool:
        """Whether this picture is taken, by `target_fps`; all are, where none is set, and of a file."""
        if self._config.target_fps is None or not source.live:
            return True
        if epoch != self._due_epoch:
            self._due_epoch, self._next_due_s = epoch, time_s
        interval_s = 1.0 / self._config.target_fps
        if time_s < self._next_due_s - EARLY * interval_s:
            return False
        is_late = time_s - self._next_due_s >= interval_s  # after a gap nothing is made up for
        self._next_due_s = (time_s if is_late else self._next_due_s) + interval_s
        return True

    def _wall_clock(self, picture: Picture, captured_s: float) -> tuple[int, Clock]:
        """`captured_ns` and the clock it is told by: the camera's own where it tells it and knows the time."""
        arrival_ns = time.time_ns() - round((time.monotonic() - captured_s) * 1e9)
        if picture.wall_s is None or self._config.clock == "arrival":
            return arrival_ns, "arrival"
        off_s = picture.wall_s - arrival_ns / 1e9
        if abs(off_s) > CLOCK_OFF_S:
            if not self._clock_is_off:
                log.warning("%s: the camera's clock is %.0f s off, arrival is taken: set its time", self._name, off_s)
            self._clock_is_off = True
            return arrival_ns, "arrival"
        self._clock_is_off = False
        return round(picture.wall_s * 1e9), "rtcp"

    def _say_of_stamps(self) -> None:
        if not self._freshness.trusts_stamps:
            log.warning("%s: its time stamps run slower than its pictures come; ages are by arrival now", self._name)

    def _reconnect(self, error: SourceError, tried_s: float) -> None:
        """Say once why the camera is away, and set how long to wait before it is tried again after `tried_s`."""
        if error.reason is not self._trouble:
            self._trouble = error.reason
            self._status.set_state("reconnecting", error.reason.value)
            log.warning("%s: %s; trying again", self._name, error)
        self._pause_s = self._backoff.wait_s(error.reason, tried_s)
