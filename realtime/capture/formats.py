"""The formats that FFmpeg may recognise in a file or stream: none that makes it open other files or addresses.

Used by capture.connect.
"""

from __future__ import annotations

import functools
from pathlib import Path

import av
from av.container import InputContainer

# Playlists and descriptions: their content names other files or addresses, which FFmpeg would open.
_NAMING = {
    "concat": "an ffconcat list",
    "dash": "a DASH playlist",
    "hls": "an HLS playlist",
    "imf": "an IMF composition",
    "rtsp": "an RTSP address",
    "sdp": "an SDP description",
    "vobsub": "an index of subtitles",
    "webm_dash_manifest": "a DASH manifest",
}
# The name of a single image is not a pattern. Otherwise, shots%03d.tga would open other files.
ONE_IMAGE = {"pattern_type": "none"}
# Devices of this machine, and formats that listen to the network.
_DEVICES = "alsa avfoundation decklink dshow fbdev gdigrab iec61883 jack kmsgrab lavfi libcdio openal oss pulse sndio"
_NOT_FILES = frozenset(f"{_DEVICES} rtp sap vfwcap video4linux2,v4l2 x11grab xcbgrab".split())
# capture.multipart reads this format first, except from files, and limits the size of its parts.
MULTIPART = "mpjpeg"
# How playlists begin, after white space.
_BEGINNINGS = ((b"#EXTM3U", "hls"), (b"ffconcat version", "concat"), (b"v=0", "sdp"), (b"# VobSub index", "vobsub"))

# The formats of single images and short animations; all others end in "_pipe". FFmpeg selects "image2" by the suffix of
# the URL, whatever the server sends.
_IMAGES = frozenset({"apng", "gif", "ico", "image2", "jpegxl_anim"})
# AVIF and HEIC are MP4 files with one of these brands. That of an AVIF animation, "avis", isn't one of them: it has a
# duration, like any video.
_IMAGE_BRANDS = frozenset({"avif", "mif1", "heic", "heix", "heif"})


@functools.cache
def allowed_formats(*more: str) -> str:
    """Return FFmpeg's option `format_whitelist`: formats that can't name other files, without MULTIPART, plus `more`.

    >>> "hls" in allowed_formats().split(","), "hls" in allowed_formats("hls").split(",")
    (False, True)
    """
    return ",".join(sorted(av.formats_available - set(_NAMING) - _NOT_FILES - {MULTIPART} | set(more)))


def is_one_image(container: InputContainer) -> bool:
    """Whether an address gave a single image, by the format that FFmpeg recognised."""
    name = container.format.name
    return name in _IMAGES or name.endswith("_pipe") or container.metadata.get("major_brand", "") in _IMAGE_BRANDS


def playlist_kind(path: str) -> str | None:
    """Return the kind of playlist in a file, in words; None if it is of no known kind.

    This only names the kind in a message: FFmpeg has already recognised and refused the playlist.
    """
    start = start_of(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"<MPD" in start:
        return _NAMING["dash"]
    return next((_NAMING[name] for begins, name in _BEGINNINGS if start.startswith(begins)), None)


def start_of(path: str, size: int) -> bytes:
    """Return the first bytes of a regular file; none if it can't be read, or is a pipe, which can be read only once."""
    try:
        if not Path(path).is_file():
            return b""
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
