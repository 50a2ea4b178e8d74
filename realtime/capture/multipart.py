"""Motion JPEG over HTTP: a stream of parts with one JPEG each, whose size FFmpeg would not limit.

Used by capture.connect. FFmpeg fetches the stream as plain bytes (with its login and timeouts), `Parts` finds the JPEGs
in it, and FFmpeg's mpjpeg demuxer reads them from `Parts` like from a file.
"""

from __future__ import annotations

import re
import time
from typing import Any

from av.container import InputContainer

from realtime.errors import SourceError, SourceReason

# FFmpeg passes the bytes on as they arrive, at most this many at a time, and doesn't wait to examine them.
AS_BYTES = {"raw_packet_size": "65536", "analyzeduration": "0", "probesize": "32"}

# A JPEG of good quality takes less than half a byte per pixel. Small ones may carry a preview and other extras.
_BYTES_PER_PIXEL = 0.5
_LEAST_BYTES = 1_000_000
# The header of a part has a few lines.
_MOST_HEADER_BYTES = 16_384
_LENGTH = re.compile(rb"content-length:\s*(\d{1,12})\s*", re.IGNORECASE)
_JPEG_START = b"\xff\xd8"


class Parts:
    """The JPEGs of a multipart stream, as a file that FFmpeg's mpjpeg demuxer can read.

    Args:
        stream: the stream, opened with the format `data`.
        name: the source, redacted, for errors.
        max_pixels: limits the bytes of a part.
        part_s: how long (s) a part may take.
        opens_by_s: when the first picture must have been found, monotonic seconds.

    Attributes:
        is_open: whether it was found. Set by the caller.
    """

    def __init__(self, stream: InputContainer, name: str, max_pixels: int, part_s: float, opens_by_s: float) -> None:
        self._stream = stream
        self._chunks: Any = stream.demux()  # Any: packets of a track of unknown type
        self._name = name
        self._most_bytes = max(_LEAST_BYTES, round(max_pixels * _BYTES_PER_PIXEL))
        self._part_s, self._opens_by_s = part_s, opens_by_s
        self.is_open = False
        self._due_s = time.monotonic() + part_s
        self._boundary = b""
        self._received = bytearray()
        self._part = memoryview(b"")  # the rest of the current part

    def begin(self) -> bool:
        """Whether the stream begins like a multipart stream: with a line that starts with two hyphens."""
        while len(start := self._received.lstrip()) < 2 and self._receive():
            pass
        return start.startswith(b"--")

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end of the stream.

        Raises:
            SourceError: a part or its header is too long, or takes too long.
        """
        while not self._part:
            self._due_s = time.monotonic() + self._part_s
            jpeg = self._next_jpeg()
            if jpeg is None:
                return b""
            header = b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
            self._part = memoryview(header + jpeg + b"\r\n")
        piece, self._part = self._part[:size], self._part[size:]
        return bytes(piece)

    def close(self) -> None:
        """Close the stream."""
        self._chunks.close()
        self._stream.close()

    def _next_jpeg(self) -> bytes | None:
        """Return the next part that holds a JPEG; None at the end of the stream."""
        while self._find_boundary():
            body = self._body(self._length())
            if body is None or body.startswith(_JPEG_START):
                return body
        return None

    def _find_boundary(self) -> bool:
        """Skip the bytes up to the next boundary and the boundary itself; False at the end of the stream."""
        skipped = 0
        while (line := self._line()) is not None:
            line = line.rstrip()
            if not self._boundary and line.startswith(b"--"):
                self._boundary = line
            if line and line == self._boundary:
                return True
            if self._boundary and line == self._boundary + b"--":
                return False
            skipped += len(line) + 1
            self._check(skipped)
        return False

    def _length(self) -> int | None:
        """Read the header of a part. Return the length that it declares; None if it declares none."""
        length, header_bytes = None, 0
        while line := (self._line() or b"").rstrip():
            header_bytes += len(line)
            if header_bytes > _MOST_HEADER_BYTES:
                raise SourceError(
                    f"{self._name}: the header of a part has more than {_MOST_HEADER_BYTES:,} bytes",
                    SourceReason.NOT_MEDIA,
                )
            if found := _LENGTH.fullmatch(line):
                length = int(found[1])
        return length

    def _body(self, length: int | None) -> bytes | None:
        """Read the rest of a part, up to the next boundary if its length is unknown; None at the end of the stream."""
        self._check(length or 0)
        if length:
            while len(self._received) < length:
                if not self._receive():
                    return None
            return self._take(length)
        end_mark, searched = b"\n" + self._boundary, 0
        while (end := self._received.find(end_mark, searched)) < 0:
            searched = max(0, len(self._received) - len(end_mark))
            self._check(searched)
            if not self._receive():
                return None
        return self._take(end)

    def _line(self) -> bytes | None:
        """Read up to the next line break, or _MOST_HEADER_BYTES if there is none; None at the end of the stream."""
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched >= _MOST_HEADER_BYTES:
                return self._take(_MOST_HEADER_BYTES)
            if not self._receive():
                return None
        return self._take(end + 1)

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._received)[:count])
        del self._received[:count]
        return taken

    def _receive(self) -> bool:
        """Wait for more bytes; False at the end of the stream."""
        if not self.is_open and time.monotonic() > self._opens_by_s:
            raise SourceError(f"{self._name}: timed out: no picture can be decoded", SourceReason.TIMEOUT)
        if time.monotonic() > self._due_s:
            raise SourceError(
                f"{self._name}: timed out: no complete picture for {self._part_s:.1f} s", SourceReason.TIMEOUT
            )
        chunk = next(self._chunks, None)
        if chunk is None or not chunk.size:
            return False
        self._received += memoryview(chunk)
        return True

    def _check(self, part_bytes: int) -> None:
        if part_bytes > self._most_bytes:
            raise SourceError(
                f"{self._name}: too large: a part has more than {self._most_bytes:,} bytes; "
                "if such parts are expected, raise cameras[].max_pixels",
                SourceReason.TOO_LARGE,
            )


def close_with_parts(container: InputContainer) -> None:
    """Close a container, and the stream below it if it reads from `Parts`."""
    container.close()
    if container.file is not None and isinstance(container.file.file, Parts):
        container.file.file.close()
