"""Gives FFmpeg's HLS reader the files that a playlist names: playlists, segments, keys. FFmpeg itself opens no address.

Used by capture.connect, through PyAV's `io_open`, for recordings, encrypted streams, and segments that are parts of
files. So certificates, redirects, logins and limits are those of capture.download.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import time
from collections.abc import Iterator
from typing import Protocol, TypeVar

import av

from realtime.capture.download import PLAYLIST_BYTES, SEGMENT_BYTES, Downloads, OpenFile, Part
from realtime.capture.m3u8 import TooLargeError, parse
from realtime.capture.refusals import failure
from realtime.errors import SourceError, SourceReason

# FFmpeg's HLS reader has no connections of its own to keep. It would refuse segments with unusual names, so that no
# playlist makes it open a file of this machine; here it opens none at all.
OPTIONS = {
    "http_persistent": "0",
    "http_multiple": "0",
    "extension_picky": "0",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
}
# How FFmpeg names an encrypted segment, whose key and initialisation vector are among the options.
_ENCRYPTED = "crypto+"
_PLAYLIST = b"#EXTM3U"
# After such an error, FFmpeg gets no other file: the server leads to where it may not, or the login is wrong.
_FATAL = (SourceReason.REDIRECT, SourceReason.CERTIFICATE, SourceReason.AUTH, SourceReason.TOO_LARGE)
# After this many failures in a row, too: FFmpeg would ask for one segment after another, without a pause.
_MOST_FAILED = 8

Packet = TypeVar("Packet")


class File(Protocol):
    """What FFmpeg reads from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""

    def close(self) -> None:
        """Release it."""


class Nested:
    """The files that a playlist names. Only the thread that reads the stream may use it.

    Args:
        url: the playlist, after redirects.
        downloads: gets the files.
        read_s: how long (s) FFmpeg may take for a packet, once the stream is open.

    Attributes:
        problem: why the last file could not be read; None if it could. FFmpeg can't pass an exception on, and PyAV
            would print a second one.
    """

    def __init__(self, url: str, downloads: Downloads, read_s: float) -> None:
        self.url = url
        self._downloads, self._read_s = downloads, read_s
        self._ends_s = 0.0
        self.problem: Exception | None = None
        self._kind = ""  # of the file that the problem is about
        self._failed = 0  # files in a row

    def until(self, ends_s: float) -> None:
        """Set when everything must be over that FFmpeg does next, in monotonic seconds."""
        self._ends_s = ends_s

    def renew(self) -> None:
        """Let FFmpeg take `read_s` for the next packet."""
        self.until(time.monotonic() + self._read_s)

    def open(self, url: str, flags: int, options: dict[str, str]) -> File:
        """Open a file for FFmpeg. It must not raise; a file that can't be opened is empty.

        Args:
            url: the file.
            flags: ignored; FFmpeg only reads.
            options: FFmpeg's: the part of the file, the key.
        """
        is_late = time.monotonic() > self._ends_s
        if _is_fatal(self.problem) or self._failed >= _MOST_FAILED or (is_late and self.problem is not None):
            return io.BytesIO()
        is_encrypted = url.startswith(_ENCRYPTED)
        # FFmpeg skips a segment that it can't read. Without a key, it reads on, and decrypts nothing. Therefore, a file
        # that can be read settles only the problem with another one of its kind.
        kind = "segment" if is_encrypted else "playlist" if url == self.url else "key or segment"
        try:
            file = self._opened(url.removeprefix(_ENCRYPTED), is_encrypted, options)
        except Exception as error:
            self._failed += 1
            self._note(error, kind)
            return io.BytesIO()
        self._failed = 0
        if kind == self._kind:
            self.problem = None
        return file

    def _opened(self, url: str, is_encrypted: bool, options: dict[str, str]) -> File:
        start, end = int(options.get("offset", 0)), int(options.get("end_offset", 0))
        part = Part(start, end) if end > start else None
        led_from = None if url == self.url else self.url
        file = self._downloads.open(url, self._ends_s, led_from, part)
        try:
            if is_encrypted:
                return _closing(file, decrypted(file.rest(SEGMENT_BYTES), options["key"], options["iv"]))
            begins = b""
            while len(begins) < len(_PLAYLIST) and (chunk := file.read(len(_PLAYLIST) - len(begins))):
                begins += chunk
            if begins == _PLAYLIST:
                return _closing(file, _checked(begins + file.rest(PLAYLIST_BYTES), file.url))
            return _Streamed(self, file, begins)
        except BaseException:
            file.close()
            raise

    def read(self, file: OpenFile, size: int) -> bytes:
        """Read for FFmpeg. It must not raise; a file that breaks off ends."""
        if _is_fatal(self.problem):
            return b""
        try:
            return file.read(size, self._ends_s)
        except Exception as error:
            self._note(error, "key or segment")
            return b""

    def _note(self, error: Exception, kind: str) -> None:
        # When the time is over, the first problem says why.
        if self.problem is None or time.monotonic() < self._ends_s:
            self.problem, self._kind = error, kind


class _Streamed:
    """A file that FFmpeg reads while it is downloaded."""

    def __init__(self, nested: Nested, file: OpenFile, begins: bytes) -> None:
        self._nested, self._file, self._begins = nested, file, begins

    def read(self, size: int) -> bytes:
        if self._begins:
            begins, self._begins = self._begins[:size], self._begins[size:]
            return begins
        return self._nested.read(self._file, size)

    def close(self) -> None:
        self._file.close()


def timed(packets: Iterator[Packet], nested: Nested | None) -> Iterator[Packet]:
    """Return the packets of a container; each gets its own time if the files come from `nested`."""
    if nested is None:
        return packets
    return iter(functools.partial(_next, packets, nested), None)


def _next(packets: Iterator[Packet], nested: Nested) -> Packet | None:
    nested.renew()
    return next(packets, None)


@contextlib.contextmanager
def explained(nested: Nested | None) -> Iterator[None]:
    """Replace an error that FFmpeg caused by the problem that `nested` had meanwhile, if it had any."""
    try:
        yield
    except SourceError:
        if nested is None or nested.problem is None:
            raise
    else:
        return
    # Deleted, because an exception and the frames that it passed refer to each other.
    problem, nested.problem = nested.problem, None
    try:
        raise problem
    finally:
        del problem


def decrypted(data: bytes, key: str, iv: str) -> bytes:
    """Decrypt a segment (AES-128 in CBC mode, padded). FFmpeg does it, and the segment is part of the address it opens.

    Args:
        data: the segment.
        key: the key in hexadecimal digits.
        iv: the initialisation vector in hexadecimal digits.

    Raises:
        ValueError: key or vector have another length.
        SourceError: FFmpeg failed.
    """
    if len(key) != 32 or len(iv) != 32:
        raise ValueError("expected 32 hexadecimal digits")
    address = f"crypto+data:video/mp2t;base64,{base64.b64encode(data).decode()}"
    options = {"key": key, "iv": iv, "raw_packet_size": "65536", "analyzeduration": "0", "probesize": "32"}
    try:
        with av.open(address, format="data", options=options) as container:
            return b"".join(bytes(packet) for packet in container.demux())
    except (av.FFmpegError, OSError):  # whose text holds the address, and so the whole segment
        pass
    raise SourceError("a segment can't be decrypted", SourceReason.CODEC)


def _closing(file: OpenFile, content: bytes) -> File:
    file.close()
    # Without `seek`: FFmpeg may not go back in a file on a server.
    return _Whole(content)


class _Whole:
    """A file that was downloaded."""

    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def read(self, size: int) -> bytes:
        chunk, self._left = self._left[:size], self._left[size:]
        return bytes(chunk)

    def close(self) -> None:
        self._left = memoryview(b"")


def _checked(content: bytes, url: str) -> bytes:
    """Return a playlist if it isn't too large for FFmpeg, which keeps all of it."""
    try:
        parse(content.decode("utf-8", "replace"), url)
    except TooLargeError as error:
        raise failure(url, (SourceReason.TOO_LARGE, f"too large: {error}")) from None
    return content


def _is_fatal(problem: Exception | None) -> bool:
    return problem is not None and not (isinstance(problem, SourceError) and problem.reason not in _FATAL)
