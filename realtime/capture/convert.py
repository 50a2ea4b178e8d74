"""Converts the frames that FFmpeg decoded to upright BGR pictures.

Used by capture.stream: av.VideoFrame -> Picture.image.
"""

from __future__ import annotations

import contextlib

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from realtime.capture.orientation import Orientation, upright
from realtime.errors import SourceError, SourceReason

# FFmpeg's converter aborts the process for some pictures in these pixel formats (measured for FFmpeg 8).
_ABORTING_FORMATS = ("bayer_", "yaf")
# A stream may declare a colour matrix or range that swscale doesn't know, because a bit was flipped or the code is
# reserved. Colours that are slightly off are better than no picture.
_USUAL_COLOURS = {
    "src_colorspace": Colorspace.ITU601,
    "dst_colorspace": Colorspace.ITU601,
    "src_color_range": ColorRange.MPEG,
}


class Converter:
    """Converts the frames of one source. Call it with each av.VideoFrame, in the order of display.

    Args:
        name: the source, redacted, for the error.
        codec: FFmpeg's name of the codec: an orientation in the stream itself applies to later frames too.
    """

    def __init__(self, name: str, codec: str = "") -> None:
        self._orientation = Orientation(codec)
        self._name = name
        self._reformatter = VideoReformatter()  # shared by all frames: a new one per frame doubles the cost

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame as uint8 (H, W, 3), BGR, C-contiguous, upright.

        Raises:
            SourceError: FFmpeg can't convert its pixel format.
        """
        return upright(self._bgr(frame), self._orientation.matrix_of(frame))

    def skip(self, frame: VideoFrame) -> None:
        """Note a frame that need not be converted: it may carry the orientation of the next ones."""
        self._orientation.matrix_of(frame)

    def _bgr(self, frame: VideoFrame) -> NDArray[np.uint8]:
        if not frame.format.name.startswith(_ABORTING_FORMATS):
            for colours in ({}, _USUAL_COLOURS):
                with contextlib.suppress(av.FFmpegError, OSError):
                    converted = self._reformatter.reformat(frame, format="bgr24", **colours)
                    return np.ascontiguousarray(converted.to_ndarray(), np.uint8)
        raise SourceError(
            f"{self._name}: can't be decoded: FFmpeg can't convert its pixel format {frame.format.name} to BGR",
            SourceReason.CODEC,
        )
