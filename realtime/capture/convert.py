"""Converts the frames that FFmpeg decoded to upright BGR pictures, or to their brightness.

Used by capture.stream: av.VideoFrame -> Picture.decoded.
"""

from __future__ import annotations

import contextlib
import threading

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from realtime.capture.orientation import Orientation, upright, upright_size
from realtime.capture.source import scaled_down
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


# In these pixel formats, the first plane holds the brightness, one byte per pixel.
_KINDS = ("410", "411", "420", "422", "440", "444")
_WITH_LUMA = frozenset(
    ["gray", "nv12", "nv21", "nv16", "nv24"] + [f"yuv{j}{kind}p" for j in ("", "j") for kind in _KINDS]
)


class Converter:
    """Converts the frames of one source. Call it with each av.VideoFrame, in the order of display.

    Args:
        name: the source, redacted, for the error.
        codec: FFmpeg's name of the codec: an orientation in the stream itself applies to later frames too.
    """

    def __init__(self, name: str, codec: str = "") -> None:
        self._orientation = Orientation(codec)
        self._name = name
        # Shared by all frames: a new one per frame doubles the cost. Frames may be converted on different threads.
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()

    def __call__(self, frame: VideoFrame) -> DecodedFrame:
        """Return the frame, which is converted later."""
        return DecodedFrame(frame, self._orientation.matrix_of(frame), self)

    def skip(self, frame: VideoFrame) -> None:
        """Note a frame that need not be converted: it may carry the orientation of the next ones."""
        self._orientation.matrix_of(frame)

    def to(self, pixel_format: str, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame in the format `bgr24`, uint8 (H, W, 3), or `gray`, uint8 (H, W); C-contiguous, not turned.

        Raises:
            SourceError: FFmpeg can't convert its pixel format.
        """
        if not frame.format.name.startswith(_ABORTING_FORMATS):
            for colours in ({}, _USUAL_COLOURS):
                with contextlib.suppress(av.FFmpegError, OSError), self._lock:
                    converted = self._reformatter.reformat(frame, format=pixel_format, **colours)
                    return np.ascontiguousarray(converted.to_ndarray(), np.uint8)
        raise SourceError(
            f"{self._name}: can't be decoded: FFmpeg can't convert its pixel format {frame.format.name} to BGR",
            SourceReason.CODEC,
        )


class DecodedFrame:
    """A frame that FFmpeg decoded, as the `Decoded` protocol of capture.source.

    It refers to the frame's own memory, so it can be converted after the decoder was closed.
    """

    def __init__(self, frame: VideoFrame, matrix: bytes | None, converter: Converter) -> None:
        self._frame, self._matrix, self._converter = frame, matrix, converter
        self.size = upright_size((frame.width, frame.height), matrix)

    def bgr(self) -> NDArray[np.uint8]:
        """Return the frame as uint8 (H, W, 3), BGR, C-contiguous, upright."""
        return upright(self._converter.to("bgr24", self._frame), self._matrix)

    def luma(self, scale: float) -> NDArray[np.uint8]:
        """Return its brightness, scaled down: uint8 (h, w)."""
        frame = self._frame
        if frame.format.name in _WITH_LUMA:
            plane = frame.planes[0]
            rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
            luma = rows.reshape(frame.height, plane.line_size)[:, : frame.width]
        else:
            luma = self._converter.to("gray", frame)
        return upright(scaled_down(luma, scale), self._matrix)
