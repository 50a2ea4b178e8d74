"""Converts the frames that FFmpeg decoded to upright BGR pictures, or to their brightness.

Used by capture.recorded and capture.live_decoder: av.VideoFrame -> Picture.decoded.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypedDict

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from realtime.capture.orientation import Orientation, before_upright, upright, upright_size
from realtime.capture.source import scaled_down, scaled_size
from realtime.capture.view import Box, crop
from realtime.errors import SourceError, SourceReason


class _Colours(TypedDict, total=False):
    src_colorspace: Colorspace
    dst_colorspace: Colorspace
    src_color_range: ColorRange


# FFmpeg's converter aborts the process for some pictures in these pixel formats (measured for FFmpeg 8).
_ABORTING_FORMATS = ("bayer_", "yaf")
# A stream may declare a colour matrix or range that swscale doesn't know, because a bit was flipped or the code is
# reserved. Colours that are slightly off are better than no picture.
_USUAL_COLOURS: _Colours = {
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
        # Shared by all frames: a new one per frame doubles the cost, and so does one whose result changes its format.
        # Frames may be converted on different threads.
        self._to_bgr, self._to_luma, self._lock = VideoReformatter(), VideoReformatter(), threading.Lock()

    def __call__(self, frame: VideoFrame) -> DecodedFrame:
        """Return the frame, which is converted later."""
        return DecodedFrame(frame, self._orientation.matrix_of(frame), self)

    def skip(self, frame: VideoFrame) -> None:
        """Note a frame that need not be converted: it may carry the orientation of the next ones."""
        self._orientation.matrix_of(frame)

    def bgr(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame as uint8 (H, W, 3), BGR, C-contiguous, not turned.

        Raises:
            SourceError: FFmpeg can't convert its pixel format.
        """
        return self._converted(frame, lambda colours: self._to_bgr.reformat(frame, format="bgr24", **colours))

    def luma(self, frame: VideoFrame, scale: float, box: Box | None = None) -> NDArray[np.uint8]:
        """Return the brightness of the frame, or of a box of it, scaled down: uint8 (h, w), not turned.

        Raises:
            SourceError: FFmpeg can't convert its pixel format.
        """
        plane, (x1, y1, x2, y2) = frame.planes[0], box or (0, 0, frame.width, frame.height)
        if frame.format.name in _WITH_LUMA and plane.line_size >= frame.width:  # negative: its rows go upwards
            rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
            return scaled_down(crop(rows.reshape(frame.height, plane.line_size), (x1, y1, x2, y2)), scale)
        width, height = scaled_size((frame.width, frame.height), scale)
        luma = self._converted(
            frame,
            lambda colours: self._to_luma.reformat(
                frame, width, height, "gray", interpolation=Interpolation.AREA, **colours
            ),
        )
        return crop(luma, (x1 * scale, y1 * scale, x2 * scale, y2 * scale))

    def _converted(self, frame: VideoFrame, reformat: Callable[[_Colours], VideoFrame]) -> NDArray[np.uint8]:
        if not frame.format.name.startswith(_ABORTING_FORMATS):
            for colours in (_Colours(), _USUAL_COLOURS):
                with contextlib.suppress(av.FFmpegError, OSError), self._lock:
                    # No copy: the array refers to the memory of the new frame, unless its rows are padded.
                    return np.ascontiguousarray(reformat(colours).to_ndarray(), np.uint8)
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
        self._bgr: NDArray[np.uint8] | None = None  # converted once: a file's first frame is needed twice

    def bgr(self) -> NDArray[np.uint8]:
        """Return the frame as uint8 (H, W, 3), BGR, C-contiguous, upright."""
        if self._bgr is None:
            self._bgr = upright(self._converter.bgr(self._frame), self._matrix)
        return self._bgr

    def luma(self, scale: float, box: Box | None = None) -> NDArray[np.uint8]:
        """Return its brightness, scaled down: uint8 (h, w)."""
        part = None if box is None else before_upright(box, self.size, self._matrix)
        return upright(self._converter.luma(self._frame, scale, part), self._matrix)
