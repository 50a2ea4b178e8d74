"""A camera whose URL gives a single image: it is requested again once a second.

One of the sources of capture, chosen by capture.open once FFmpeg has found a single image. FFmpeg would read the image
once and then report the end of the stream.
"""

from __future__ import annotations

import logging
import threading
import time

from realtime.capture.attempt import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from realtime.capture.download import SEGMENT_BYTES, Downloads
from realtime.capture.one_image import of_reply
from realtime.capture.source import Fault, Picture, Pixels
from realtime.capture.tls import Tls
from realtime.config import MOST_PIXELS
from realtime.errors import SourceError, SourceReason

log = logging.getLogger(__name__)

# Request a picture this often (s). Cameras need up to a second for one, and few offer more.
POLL_S = 1.0
# After this many requests in a row without a good picture, the camera counts as lost. A single one is common: a server
# closes an idle connection, or replaces the file just then.
MOST_FAILURES = 3
# These failures don't pass by themselves, and many cameras lock an account after a few failed logins.
_FINAL = frozenset({SourceReason.AUTH, SourceReason.REDIRECT, SourceReason.CERTIFICATE, SourceReason.TOO_LARGE})
# Largest picture in bytes per pixel of `max_pixels`, as for motion JPEG, but at least SEGMENT_BYTES.
_BYTES_PER_PIXEL = 0.5
# The thread that ends a download looks this often (s) whether the camera was stopped.
_WATCH_S = 0.1
_LONGEST_WAIT_S = threading.TIMEOUT_MAX


class SnapshotSource:
    """An open camera whose pictures are requested one by one. Frames have no timestamp, only their arrival.

    Args:
        source: the URL of the image.
        stop: ends the wait for the next picture, and its download.
        camera: its name, for the log.
        target_fps: request at most this many pictures per second; None: one.
        open_timeout_s: how long (s) the first picture may take.
        read_timeout_s: how long (s) each later picture may take.
        tls: how to treat the server's certificate.
        max_pixels: decode no larger picture.

    Raises:
        SourceError: the first picture can't be downloaded or decoded.
    """

    live = True
    prompt = False

    def __init__(
        self,
        source: str,
        stop: threading.Event,
        *,
        camera: str | None = None,
        target_fps: float | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        tls: Tls = Tls(),  # noqa: B008 - immutable
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        self._url, self._stop, self._closed, self._camera = source, stop, False, camera
        self._interval_s = POLL_S if target_fps is None else max(POLL_S, 1 / target_fps)
        self.fps: float | None = 1 / self._interval_s
        self._read_timeout_s, self._max_pixels = read_timeout_s, max_pixels
        self._most_bytes = max(SEGMENT_BYTES, round(max_pixels * _BYTES_PER_PIXEL))
        self._downloads = Downloads(source, tls)
        self._failures, self._failing_since_s = 0, 0.0
        self._lost: SourceError | None = None  # `read` raises it once the last picture has been returned
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="snapshot-watch")
        self._watcher.start()
        try:
            first, error = self._picture(time.monotonic() + open_timeout_s)
            if error is not None:
                raise error
        except BaseException:
            self.close()
            raise
        assert first.decoded is not None
        self._first: Picture | None = first
        self.size = first.decoded.size
        self._due_s = time.monotonic()

    def read(self) -> Picture | None:
        """Return the next picture when it is due, or None if the camera was stopped.

        Raises:
            SourceError: no good picture for too long, or the server refuses the login, or the last one was too large.
        """
        if self._first is not None:
            first, self._first = self._first, None
            self._due_s = time.monotonic() + self._interval_s
            return first
        while self._lost is None:
            if self._stop.wait(min(max(0.0, self._due_s - time.monotonic()), _LONGEST_WAIT_S)):
                return None
            picture = self._poll()
            if self._stop.is_set():
                return None
            if picture is not None:
                return picture
        raise self._lost

    def close(self) -> None:
        """End the connection and the thread that watches for the stop."""
        self._closed = True
        self._downloads.close()
        self._watcher.join()
        self._lost = None  # its traceback refers to this source

    def _poll(self) -> Picture | None:
        """Request one picture. Return it; None if none came. Set the time of the next request."""
        began_s = time.monotonic()
        if not self._failures:
            self._failing_since_s = began_s
        ends_s = self._failing_since_s + self._read_timeout_s
        picture: Picture | None = None
        try:
            picture, error = self._picture(ends_s)
        except SourceError as failed:
            error = failed.with_traceback(None)  # which would refer to this source
        now_s = time.monotonic()
        if error is None:
            self._failures = 0
            # After a slow picture the next one is requested at once, and no others to make up for it.
            self._due_s = max(self._due_s + self._interval_s, now_s)
            return picture
        self._failures += 1
        self._due_s = max(began_s + POLL_S, now_s)
        if error.reason in _FINAL or self._failures >= MOST_FAILURES or now_s >= ends_s:
            self._lost = error
        else:
            log.debug("%s; requesting the next picture", error, extra={"camera": self._camera})
        return picture

    def _picture(self, ends_s: float) -> tuple[Picture, SourceError | None]:
        """Download and decode one picture. Return it; one with a fault if it isn't whole or can't be decoded, and why.

        Raises:
            SourceError: none came.
        """
        data, name = b"", self._downloads.name
        fault: Fault = "corrupt"
        with self._downloads.open(self._url, ends_s, keep=True) as file:
            if file.kind.startswith("multipart/"):
                advice = "connection lost: the server sends a stream now instead of a single image"
                raise SourceError(f"{name}: {advice}", SourceReason.LOST)
            try:
                data = file.rest(self._most_bytes)
                came_s, fault = time.monotonic(), "undecodable"
                return Picture(Pixels(of_reply(data, name, self._max_pixels)), came_s=came_s), None
            except SourceError as error:
                failed = error.with_traceback(None)
                if fault == "corrupt":
                    file.close()
        return Picture(None, None, "too large" if failed.reason is SourceReason.TOO_LARGE else fault), failed

    def _watch(self) -> None:
        """End the current download when the camera is stopped. Runs on a thread of its own."""
        while not self._stop.wait(_WATCH_S):
            if self._closed:
                return
        self._downloads.stop()
