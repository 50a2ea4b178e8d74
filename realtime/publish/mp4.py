"""An H.264 video in an MP4 file: images and their times in, fragments of a quarter second out.

Used by publish.video_file. While it is written, the file is a fragmented one, which can be played up to its last
fragment even if the program is killed. `finish` makes an ordinary file of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.publish.output_file import OutputFile

ENCODER = "libx264"
# On 1920x1080, "superfast" needs a tenth less time than "veryfast" for files of the same size, and "ultrafast" makes
# them three quarters larger. The quality is x264's default. "zerolatency" encodes each frame at once and keeps none.
_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "crf": "23"}
# More threads would compete with the models; one alone can't follow a GPU that processes a large file.
_THREADS = 2
# A player can seek to every key frame: every two seconds at 30 frames per second.
_KEY_FRAME_EVERY = 60
# MPEG's clock: the intervals of all usual frame rates are whole numbers of its ticks, also that of 29.97 per second.
_TICKS_PER_S = 90_000
# How long a video of a single frame is shown, and what the encoder takes for the usual rate.
_USUAL_FPS = 30
# A fragment ends with the first frame this many microseconds after its beginning: a killed run loses no more than that.
_FRAGMENT_US = 250_000
# BT.601 in the limited range, as cv2.cvtColor converts, in the numbers of H.264: without them, players guess by size.
_MATRIX, _TRANSFER, _PRIMARIES, _LIMITED = 6, 1, 1, 1


def check_encoder() -> None:
    """Check that H.264 can be written here.

    Raises:
        ConfigError: this build of FFmpeg has no encoder for it.
    """
    try:
        av.codec.Codec(ENCODER, "w")
    except ValueError:  # PyAV's UnknownCodecError
        raise ConfigError(
            f"save_video: this build of FFmpeg has no H.264 encoder ({ENCODER}): install PyAV from its wheel with "
            "pip install --force-reinstall --only-binary av av"
        ) from None


class EncodingError(Exception):
    """FFmpeg or the encoder refuses a frame, in its own words."""


class Mp4:
    """A video that is being written.

    Args:
        file: the file, which is empty. If it is a device or a pipe, it gets a fragmented video.
        size: width and height of all images; the video is one pixel larger where they are odd.
        title: a title, for players.
        began_unix_s: when the first frame was captured, for players.

    Raises:
        OSError: the file can't be written.
        EncodingError: a video of this size can't be encoded.

    Attributes:
        duration_s: from the first to the last frame so far.
    """

    def __init__(self, file: OutputFile, size: tuple[int, int], title: str, began_unix_s: float) -> None:
        self._sink = _Sink(file)
        self._size = size
        self._first_s: float | None = None
        self._ticks = -1
        self._step = _TICKS_PER_S // _USUAL_FPS
        movflags = "hybrid_fragmented" if file.is_regular else "empty_moov+default_base_moof"
        options = {"movflags": movflags, "frag_duration": str(_FRAGMENT_US), "flush_packets": "1"}
        self._container = av.open(self._sink, "w", format="mp4", options=options)
        began = datetime.fromtimestamp(began_unix_s, UTC).isoformat()
        self._container.metadata.update({"title": title, "creation_time": began})
        self._stream = self._add_stream()
        try:
            with _ffmpeg():
                self._container.start_encoding()
            self._sink.keep_nothing()
        except BaseException:
            self.abandon()
            raise

    @property
    def duration_s(self) -> float:
        """How long the video is so far (s), up to the beginning of its last frame."""
        return max(0, self._ticks) / _TICKS_PER_S

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Append an image.

        Args:
            image: uint8 (H, W, 3) BGR, of the size of the video.
            time_s: its time, later than that of the image before.

        Raises:
            OSError: the file can't be written.
            EncodingError: it can't be encoded.
        """
        frame = av.VideoFrame.from_ndarray(_to_yuv(image), format="yuv420p")
        self._first_s = time_s if self._first_s is None else self._first_s
        ticks = max(self._ticks + 1, round((time_s - self._first_s) * _TICKS_PER_S))
        if self._ticks >= 0:
            self._step = ticks - self._ticks
        frame.pts = self._ticks = ticks
        frame.time_base = Fraction(1, _TICKS_PER_S)
        frame.colorspace, frame.color_range = _MATRIX, _LIMITED
        self._mux(frame)

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OSError: the file can't be written; it can be played nevertheless.
        """
        try:
            self._mux(None)
            with _ffmpeg():
                self._container.close()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Give up after an error. The file ends with its last whole fragment."""
        self._sink.end()
        with contextlib.suppress(OSError, av.FFmpegError):
            self._container.close()

    def _add_stream(self) -> av.VideoStream:
        stream = self._container.add_stream(ENCODER, rate=_USUAL_FPS, options=_OPTIONS)
        width, height = self._size
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        codec = stream.codec_context
        codec.time_base = stream.time_base = Fraction(1, _TICKS_PER_S)
        codec.gop_size, codec.thread_count = _KEY_FRAME_EVERY, _THREADS
        codec.colorspace, codec.color_trc, codec.color_primaries = _MATRIX, _TRANSFER, _PRIMARIES
        codec.color_range = _LIMITED
        return stream

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with _ffmpeg():
            for packet in self._stream.encode(frame):
                packet.duration = self._step  # of the last packet, whose end no later one tells
                self._container.mux(packet)
        self._sink.keep()


class _Sink:
    """The file as PyAV sees it. After `end`, nothing is written to it."""

    def __init__(self, file: OutputFile) -> None:
        self._file = file
        self._begins = 0  # where the first fragment begins
        self._kept = 0  # length of the file up to the last whole fragment; 0 if there is none
        self._has_ended = False

    def write(self, data: bytes) -> int:
        if not self._has_ended:
            self._file.write(data)
        return len(data)

    def seek(self, position: int, whence: int) -> int:
        return position if self._has_ended else self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.seek(0, 1)

    def seekable(self) -> bool:
        return self._file.is_regular

    def keep_nothing(self) -> None:
        """Record that everything so far is only the header."""
        if self._file.is_regular:
            self._begins = self._file.size()

    def keep(self) -> None:
        """Record that everything so far can be played, unless it is only the header."""
        if self._file.is_regular and (size := self._file.size()) > self._begins:
            self._kept = size

    def end(self) -> None:
        if not self._has_ended and self._file.is_regular:
            with contextlib.suppress(OSError):
                self._file.cut(self._kept)
        self._has_ended = True


@contextlib.contextmanager
def _ffmpeg() -> Iterator[None]:
    """Raise the errors of FFmpeg as an EncodingError. Those of the file, which PyAV passes on, stay as they are."""
    try:
        yield
    except av.FFmpegError as error:
        raise EncodingError(error.strerror) from None


def _to_yuv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert to planes of I420, whose sides are even."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    return planes
