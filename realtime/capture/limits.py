"""The limit on the size of a picture, and the size of a picture that was not decoded.

Used by capture.open, which passes the limit to the sources, and by capture.stream.
"""

from __future__ import annotations

import contextlib
from typing import Any

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

# The defaults of `max_pixels`. A decoded picture and its BGR copy take 4.5 bytes per pixel. The largest sensors of
# network cameras have about 64 million pixels; scans and panoramas have more.
MAX_PIXELS_URL = 64_000_000
MAX_PIXELS_FILE = 250_000_000

# FFmpeg applies its limit to its buffers, whose sides it rounds up. This many additional pixels allow for that, up to
# sides of 65,536 pixels. We compare `max_pixels` itself with the exact size.
_ROUNDED_UP = 2**23
# FFmpeg's decoders refuse a picture that is too large, and forget its size. These decoders find the size in the header,
# and allocate nothing if they skip the picture (measured).
_SIZED_BY_HEADER = frozenset({"mjpeg", "mpeg4", "vp8", "vp9"})


def decoder_options(max_pixels: int) -> dict[str, str]:
    """Return the FFmpeg options that keep a decoder from allocating a picture much larger than `max_pixels`."""
    return {"max_pixels": str(max_pixels + _ROUNDED_UP)}


def picture_size(codec: VideoCodecContext, packet: Packet[Any] | None) -> tuple[int, int]:  # Any: packets of any track
    """Return width and height (pixels) of the picture in a packet that can't be decoded; (0, 0) if they are unknown.

    Args:
        codec: the decoder that refused the packet.
        packet: the packet; None if the decoder was flushed.
    """
    if codec.width or codec.name not in _SIZED_BY_HEADER or packet is None:
        return codec.width, codec.height
    header: Any = VideoCodecContext.create(codec.name, "r")  # Any: `create` returns the type of all codecs
    header.extradata, header.skip_frame = codec.extradata, "ALL"
    with contextlib.suppress(av.FFmpegError, OSError):
        header.decode(packet)
    return header.width, header.height
