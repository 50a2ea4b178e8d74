"""A video or an image that comes through a pipe.

One of the sources of capture. `pipe` reads the bytes and `StreamSource` decodes them as a file, without dropping any.
"""

from __future__ import annotations

import threading

from realtime.capture.pipe import MOST_BETWEEN, Pipe, index_place, needs_seeking
from realtime.capture.source import Picture
from realtime.capture.stream import StreamSource
from realtime.config import MOST_PIXELS, Accelerator
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# Errors that FFmpeg reports when a file only lacks seeking.
_UNREADABLE = (SourceReason.NOT_MEDIA, SourceReason.CODEC, SourceReason.TRUNCATED)
_NEEDS_FILE = "this format needs a file; give its path"
# The brands of AVIF and HEIC, which are built as MP4 is (bytes 8 to 11).
_IMAGES = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})
_LATE_INDEX = (
    "its index is at its end; give the path of the file, or write MPEG-TS, Matroska, or MP4 with -movflags +faststart"
)


class PipeSource:
    """An open video or image that comes through a pipe.

    Args:
        camera: its name, for the log.
        path: of the pipe.
        stop: ends each wait for data.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture.

    Raises:
        SourceError: the pipe can't be opened, contains no video that can be decoded, or `stop` was set before.
    """

    live = False
    prompt = False

    def __init__(
        self,
        camera: str,
        path: str,
        stop: threading.Event,
        *,
        hwaccel: Accelerator = "none",
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        self._name, self._stop = shown(path), stop
        self._pipe = Pipe(camera, path, stop)
        try:
            start = self._pipe.begin()
            if not start:
                self._raise_problem()
                raise SourceError(
                    f"{self._name}: not a video or an image: the pipe is empty: did its writer fail?",
                    SourceReason.NOT_MEDIA,
                )
            if index_place(start) == "late":
                raise self._not_from_pipe(_NEEDS_FILE if start[8:12] in _IMAGES else _LATE_INDEX)
            self._stream = self._opened(path, start, hwaccel, max_pixels)
        except BaseException:
            self._pipe.close()
            raise
        self.size, self.fps = self._stream.size, self._stream.fps

    def read(self) -> Picture | None:
        """Return the next frame; None at the end of the pipe, or once the camera ends.

        Raises:
            SourceError: the pipe can't be read any more, or the previous picture was too large.
            TruncatedError: the video ended early or is damaged.
        """
        try:
            picture = self._stream.read()
        except SourceError:
            if self._stop.is_set():
                return None
            self._raise_problem()
            raise
        if picture is None and not self._stop.is_set():
            self._raise_problem()
        if picture is not None and picture.decoded is not None:
            self._pipe.allowed = MOST_BETWEEN
        return picture

    def close(self) -> None:
        """Release the decoder and close the pipe, so that the program that writes to it ends."""
        try:
            self._stream.close()
        finally:
            self._pipe.close()

    def _opened(self, path: str, start: bytes, hwaccel: Accelerator, max_pixels: int) -> StreamSource:
        """Open the decoder, which reads the first frame."""
        try:
            return StreamSource(path, network=False, hwaccel=hwaccel, max_pixels=max_pixels, pipe=self._pipe)
        except SourceError as error:
            self._raise_problem()
            if error.reason in _UNREADABLE and index_place(start) is None and needs_seeking(start):
                raise self._not_from_pipe(_NEEDS_FILE) from None
            raise

    def _not_from_pipe(self, why: str) -> SourceError:
        return SourceError(f"{self._name}: can't be read from a pipe: {why}", SourceReason.NOT_MEDIA)

    def _raise_problem(self) -> None:
        if self._pipe.problem is not None:
            raise self._pipe.problem from None
