"""Chooses the video track of a file or stream.

Used by capture.stream and capture.connect: an open container -> its film, as players choose it.
"""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

# Pictures that belong to another track or to the file as a whole: covers, previews for a seek bar, and layers or tiles
# that mean nothing alone.
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
_IMPAIRED = Disposition.visual_impaired | Disposition.hearing_impaired
# While FFmpeg probes these, which takes an instant, the number of packets of each track is up to chance. It must not
# decide, or a camera might show another picture after each reconnect.
_UNPROBED = frozenset({"rtsp", "sdp", "rtp"})


def video_track(container: InputContainer) -> VideoStream | None:
    """Return the video track that players show; None if there is no film.

    FFmpeg's choice: tracks marked as default first, those for the impaired last; then by the pictures found while
    probing (a still has one), the bit rate, and the order in the file. A cover is no film. A track that can be decoded,
    and whose size is known, precedes any other.

    Args:
        container: the file or stream.
    """
    films = [stream for stream in container.streams.video if not Disposition(stream.disposition) & _NO_FILM]
    films = [film for film in films if film.codec_context is not None] or films
    films = [film for film in films if film.codec_context is not None and film.codec_context.width] or films
    best = None if container.format.name in _UNPROBED else container.streams.best("video")
    for film in films:
        if best is not None and film.index == best.index:
            return film
    return max(films, key=_preference, default=None)  # the first of equals


def _preference(film: VideoStream) -> int:
    marks = Disposition(film.disposition)
    return bool(marks & Disposition.default) + (not marks & _IMPAIRED)
