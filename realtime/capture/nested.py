"""Gives FFmpeg's HLS reader the files that a playlist names: playlists, segments, keys. FFmpeg itself opens no address.

Used by capture.connect, through PyAV's `io_open`, for recordings, encrypted streams, and segments that are byte ranges
of files. So capture.download's rules for certificates, redirects, logins and sizes hold for these too.
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

# FFmpeg's HLS reader has no connections of its own to keep open. By default, it refuses segments with unusual names, so
# that a playlist can't make it open files of this machine. This check isn't needed, because it opens nothing itself.
OPTIONS = {
    "http_persistent": "0",
    "http_multiple": "0",
    "extension_picky": "0",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
}
# FFmpeg's prefix for the address of an encrypted segment. Its key and initialisation vector are among the options.
_ENCRYPTED = "crypto+"
_PLAYLIST = b"#EXTM3U"
# After one of these errors, FFmpeg gets no more files, because they would fail in the same way.
_FATAL = (SourceReason.REDIRECT, SourceReason.CERTIFICATE, SourceReason.AUTH, SourceReason.TOO_LARGE)
# Nor after this many failures in a row: FFmpeg would ask for one segment after another, without a pause.
_MOST_FAILED = 8

Packet = TypeVar("Packet")


class File(Protocol):
    """A file as PyAV expects it from `io_open`."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""

    def close(self) -> None:
        """Release it."""


class Nested:
    """The files that a playlist names. Only the thread that reads the stream may use it.

    Args:
        url: the address of the playlist, after redirects.
        downloads: gets the files.
        read_s: how long (s) FFmpeg may take for a packet, once the stream is open.

    Attributes:
        problem: why a file could not be read; None if none failed, or another one of its kind could be opened since.
            Kept here, because FFmpeg can't pass an exception on, and PyAV prints the first one when a second follows.
    """

    def __init__(self, url: str, downloads: Downloads, read_s: float) -> None:
        self.url = url
        self._downloads, self._read_s = downloads, read_s
        self._ends_s = 0.0
        self.problem: Exception | None = None
        self._kind = ""  # of the file that the problem is about
        self._failed = 0  # how many files in a row could not be opened

    def until(self, ends_s: float) -> None:
        """Set the deadline for FFmpeg's next operation, in monotonic seconds."""
        self._ends_s = ends_s

    def renew(self) -> None:
        """Let FFmpeg take `read_s` for the next packet."""
        self.until(time.monotonic() + self._read_s)

    def open(self, url: str, flags: int, options: dict[str, str]) -> File:
        """Open a file for FFmpeg. Never raises: a file that can't be opened is empty.

        Args:
            url: the address of the file.
            flags: ignored; FFmpeg only reads.
            options: FFmpeg's options, such as the part of the file and the key.
        """
        is_late = time.monotonic() > self._ends_s
        if _is_fatal(self.problem) or self._failed >= _MOST_FAILED or (is_late and self.problem is not None):
            return io.BytesIO()
        is_encrypted = url.startswith(_ENCRYPTED)
        # FFmpeg skips a segment that it can't read. Without a key, it continues and decrypts nothing. Therefore, a file
        # that can be opened clears only a problem with another file of its kind.
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
        """Read for FFmpeg. Never raises: if the download fails, the file just ends."""
        if _is_fatal(self.problem):
            return b""
        try:
            return file.read(size, self._ends_s)
        except Exception as error:
            self._note(error, "key or segment")
            return b""

    def _note(self, error: Exception, kind: str) -> None:
        # Problems after the deadline are only consequences of the first one.
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
    """Return the packets of a container. If its files come from `nested`, each packet gets a deadline of its own."""
    if nested is None:
        return packets
    return iter(functools.partial(_next, packets, nested), None)


def _next(packets: Iterator[Packet], nested: Nested) -> Packet | None:
    nested.renew()
    return next(packets, None)


@contextlib.contextmanager
def explained(nested: Nested | None) -> Iterator[None]:
    """Replace an error of FFmpeg by the problem that `nested` has noted, if any, because it tells the cause."""
    try:
        yield
    except SourceError:
        if nested is None or nested.problem is None:
            raise
    else:
        return
    # Deleted, because an exception and the frames in its traceback refer to each other.
    problem, nested.problem = nested.problem, None
    try:
        raise problem
    finally:
        del problem


def decrypted(data: bytes, key: str, iv: str) -> bytes:
    """Decrypt a segment (AES-128 in CBC mode, padded) with FFmpeg, which opens an address that contains the segment.

    Args:
        data: the segment.
        key: the key in hexadecimal digits.
        iv: the initialisation vector in hexadecimal digits.

    Raises:
        ValueError: the key or the vector doesn't have 32 digits.
        SourceError: FFmpeg failed.
    """
    if len(key) != 32 or len(iv) != 32:
        raise ValueError("expected 32 hexadecimal digits")
    address = f"crypto+data:video/mp2t;base64,{base64.b64encode(data).decode()}"
    options = {"key": key, "iv": iv, "raw_packet_size": "65536", "analyzeduration": "0", "probesize": "32"}
    try:
        with av.open(address, format="data", options=options) as container:
            return b"".join(bytes(packet) for packet in container.demux())
    except (av.FFmpegError, OSError):  # its text contains the address, and so the whole segment
        pass
    raise SourceError("a segment can't be decrypted", SourceReason.CODEC)


def _closing(file: OpenFile, content: bytes) -> File:
    file.close()
    # `_Whole` has no `seek`, because FFmpeg can't go back in a file on a server either.
    return _Whole(content)


class _Whole:
    """A file that was downloaded completely."""

    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def read(self, size: int) -> bytes:
        chunk, self._left = self._left[:size], self._left[size:]
        return bytes(chunk)

    def close(self) -> None:
        self._left = memoryview(b"")


def _checked(content: bytes, url: str) -> bytes:
    """Return a playlist. Raise SourceError if it is too large for FFmpeg, which keeps all of it in memory."""
    try:
        parse(content.decode("utf-8", "replace"), url)
    except TooLargeError as error:
        raise failure(url, (SourceReason.TOO_LARGE, f"too large: {error}")) from None
    return content


def _is_fatal(problem: Exception | None) -> bool:
    return problem is not None and not (isinstance(problem, SourceError) and problem.reason not in _FATAL)
