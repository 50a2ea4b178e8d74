"""The bytes that another program writes into a pipe: `mkfifo`, /dev/stdin or `<(command)`.

Used by capture.piped. They are read once and in order, and a writer that is faster waits. FFmpeg can't open a pipe
itself, because nothing could interrupt it while no program writes.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from typing import Literal

from realtime.capture.kind import descriptor_of
from realtime.capture.structure import Ending, Structure
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

log = logging.getLogger(__name__)

# How often (s) a reader that waits for data checks whether the camera ends.
_TICK_S = 0.1
# A pipe that is still empty after this time (s) is reported once. Most writers have begun by then.
_PATIENCE_S = 1.0
# Largest number of bytes between two pictures. A raw picture in 8K with 16 bits per channel has 199 MB. Beyond this, it
# is no video, and FFmpeg would search it, or collect it in memory, for as long as the program writes.
MOST_BETWEEN = 256 * 2**20
# This much of the beginning (bytes) shows whether an MP4 file has its index first.
_START = 4096
# The boxes of an MP4 file.
_INDEX, _MEDIA = (b"moov", b"moof"), b"mdat"


class Pipe:
    """The bytes that come through a pipe.

    >>> reader, writer = os.pipe()
    >>> _ = os.write(writer, b"video"), os.close(writer)
    >>> pipe = Pipe("door", f"/dev/fd/{reader}", threading.Event())
    >>> pipe.begin(), pipe.read(3), pipe.read(3), pipe.read(3)
    (b'video', b'vid', b'eo', b'')
    >>> pipe.close(), os.close(reader)
    (None, None)

    Args:
        camera: name of the camera, for the log.
        path: of the pipe.
        stop: ends each wait for data.

    Attributes:
        allowed: how many more bytes may be read.
        problem: why reading failed; None if it didn't. Kept here, because FFmpeg can't pass an exception on.

    Raises:
        SourceError: it can't be opened.
    """

    def __init__(self, camera: str, path: str, stop: threading.Event) -> None:
        self._camera, self._name, self._stop = camera, shown(path), stop
        self.allowed = MOST_BETWEEN
        self.problem: SourceError | None = None
        self._left = b""  # read from the pipe, but not yet returned
        self._is_quiet = True  # nothing came, and that was not logged
        self._has_ended = False
        self._structure = Structure()
        descriptor = descriptor_of(path)
        if not hasattr(select, "poll"):  # Windows
            raise SourceError(
                f"{self._name}: this system can't read a pipe; give the path of a file", SourceReason.MODE
            )
        try:
            # A pipe of another user can't be reopened by name, but its descriptor can be duplicated. Without
            # O_NONBLOCK, opening a pipe waits until another program writes to it.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if descriptor is None else os.dup(descriptor)
        except FileNotFoundError:
            raise SourceError(f"{self._name}: no such file", SourceReason.MISSING) from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SourceError(f"{self._name}: {why}", SourceReason.PERMISSION) from None
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def begin(self) -> bytes:
        """Wait for the first bytes and return them; fewer than _START if there are no more. `read` returns them too."""
        start = b""
        while len(start) < _START and (chunk := self.read(_START - len(start))):
            start += chunk
        self._left = start
        return start

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end, after a problem, or once the camera ends. FFmpeg calls it."""
        if self._left:
            chunk, self._left = self._left[:size], self._left[size:]
            return chunk
        if self._stop.is_set() or self.problem is not None or self._has_ended:
            return b""
        if self.allowed <= 0:
            self.problem = SourceError(
                f"{self._name}: not a video: found no picture in {MOST_BETWEEN // 2**20} MB", SourceReason.NOT_MEDIA
            )
            return b""
        try:
            chunk = self._receive(size)
        except OSError as error:
            self.problem = SourceError(f"{self._name}: can't be read: {error.strerror}", SourceReason.LOST)
            return b""
        self._is_quiet = False
        self._has_ended = not chunk  # another program may open the pipe again
        self.allowed -= len(chunk)
        self._structure.feed(chunk)
        return chunk

    def ending(self) -> Ending:
        """Return whether all parts of the file came. Call it once, at the end; unknown before."""
        return self._structure.ending() if self._has_ended else "unknown"

    def close(self) -> None:
        """Close the pipe. May be called more than once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _receive(self, size: int) -> bytes:
        """Wait for data; none at the end, or once the camera ends."""
        began_s = time.monotonic()
        while not self._stop.is_set():
            # A pipe that no program has opened for writing yet has no event. After that, its end is POLLHUP.
            if self._poll.poll(_TICK_S * 1000):
                try:
                    return os.read(self._descriptor, size)
                except BlockingIOError:  # another reader of the same pipe was faster
                    continue
            if self._is_quiet and time.monotonic() - began_s >= _PATIENCE_S:
                self._is_quiet = False
                text = "%s: waiting for a program that writes to %s"
                log.info(text, self._camera, self._name, extra={"camera": self._camera})
        return b""


def needs_seeking(start: bytes) -> bool:
    """Whether files of this format (MP4 and MOV, HEIC and AVIF, TIFF, WebP) may need seeking.

    >>> needs_seeking(b"II*" + bytes(1)), needs_seeking(b"GIF89a")
    (True, False)

    Args:
        start: the first bytes.
    """
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return is_webp or start[4:8] == b"ftyp" or start[:4] in (b"II*\0", b"MM\0*")


def index_place(start: bytes) -> Literal["first", "late"] | None:
    """Return whether the index of an MP4 or MOV file comes before its media; None if its beginning doesn't show it.

    >>> index_place(bytes.fromhex("00000008") + b"ftyp" + bytes.fromhex("00001000") + b"mdat")
    'late'

    Args:
        start: the first bytes of any file.
    """
    place = 0
    while place + 8 <= len(start):
        size, kind = int.from_bytes(start[place : place + 4]), start[place + 4 : place + 8]
        if place == 0 and kind not in (b"ftyp", b"wide", _MEDIA):
            return None
        if kind in _INDEX or kind == _MEDIA:
            return "late" if kind == _MEDIA else "first"
        if size < 8:  # until the end, or of more than 4 GB
            return None
        place += size
    return None
