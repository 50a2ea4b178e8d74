"""Explains why FFmpeg can't open a file or stream: from its exception to a reason and a message to the user.

Used by capture.connect. FFmpeg's texts aren't used, because they contain the URL.
"""

from __future__ import annotations

import errno
from pathlib import Path

import av

from realtime.capture.formats import playlist_kind, start_of
from realtime.capture.refusals import FAILED, LATE, LOGIN_FAILED, NOT_FOUND, REFUSED
from realtime.config import URL_SCHEMES, Transport
from realtime.errors import SourceReason

# Exceptions of av.open, with the reason they stand for and the message to the user. The first matching row applies.
_FAULTS: list[tuple[tuple[type[BaseException], ...], SourceReason, str]] = [
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        *LOGIN_FAILED,
    ),
    ((av.error.HTTPNotFoundError,), *NOT_FOUND),
    (
        (av.error.HTTPClientError, av.error.HTTPServerError),
        SourceReason.SERVER,
        "server error: the server answers, but refuses the request: check the path in the URL, and the server's log",
    ),
    ((ConnectionRefusedError,), *REFUSED),
    ((TimeoutError, av.error.ExitError), *LATE),
    ((FileNotFoundError,), SourceReason.MISSING, "no such file"),
    ((PermissionError,), SourceReason.PERMISSION, "permission denied"),
    (
        (av.error.ProtocolNotFoundError,),
        SourceReason.NOT_MEDIA,
        f"FFmpeg doesn't support this URL scheme, expected one of {', '.join(URL_SCHEMES)}",
    ),
    ((av.error.DecoderNotFoundError,), SourceReason.CODEC, "can't be decoded: FFmpeg lacks a decoder for its codec"),
    ((av.error.InvalidDataError,), SourceReason.NOT_MEDIA, SourceReason.NOT_MEDIA.value),
]
_OTHER_TRANSPORT = {"tcp": "udp", "udp": "tcp", "multicast": "tcp"}


def fault_of_stream(error: BaseException, timed_out: bool, transport: Transport) -> tuple[SourceReason, str]:
    """Return the reason why a stream can't be opened, and the message to the user.

    Args:
        error: the exception of av.open.
        timed_out: whether the attempt took all of its time.
        transport: the RTSP transport that was asked for.
    """
    if timed_out:
        return LATE
    if isinstance(error, av.error.InvalidDataError):
        return SourceReason.NOT_MEDIA, "the server answers, but not with video: check the address, port and path"
    if isinstance(error, OSError) and error.errno == errno.EPROTONOSUPPORT:
        other = _OTHER_TRANSPORT[transport]
        return SourceReason.TRANSPORT, f"the server doesn't offer RTSP over {transport}: try transport: {other}"
    return _listed(error) or FAILED


def fault_of_file(error: BaseException, path: str) -> tuple[SourceReason, str]:
    """Return the reason why a file can't be opened, and the message to the user.

    Args:
        error: the exception of av.open.
        path: the file.
    """
    if isinstance(error, av.error.InvalidDataError) and _lacks_index(path):
        return SourceReason.NOT_MEDIA, "can't be read: its index is missing (the recording was cut off)"
    kind = playlist_kind(path)
    if isinstance(error, av.error.ArgumentError) or (kind and isinstance(error, av.error.InvalidDataError)):
        kind = kind or "a description of a video"
        return SourceReason.NOT_MEDIA, f"{kind}: it names other files or addresses, which are not opened from a file"
    return _listed(error) or (SourceReason.NOT_MEDIA, "can't be read")


def is_empty(path: str) -> bool:
    """Whether a regular file is empty; False if it can't be examined, for which av.open reports the cause."""
    try:
        return Path(path).is_file() and Path(path).stat().st_size == 0  # a named pipe has no size
    except OSError:
        return False


def _listed(error: BaseException) -> tuple[SourceReason, str] | None:
    for classes, reason, advice in _FAULTS:
        if isinstance(error, classes):
            return reason, advice
    return None


def _lacks_index(path: str) -> bool:
    """Whether the file starts like an MP4 or MOV file. If such a file can't be opened, its index is missing."""
    return start_of(path, 8)[4:] == b"ftyp"
