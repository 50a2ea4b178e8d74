"""Encoded streams of several codings, replayed packet by packet as if a camera sent them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from realtime.capture.live import LiveVideo
from realtime.capture.source import Picture
from realtime.errors import SourceError

from .test_losses import B_FRAMES, GROUP, PLAIN, X265, write

# With groups of 26 frames, the last frame before a key frame is a B-frame that refers to it.
OPEN = {"preset": "ultrafast", "bf": "2", "g": "26", "x264-params": "open-gop=1:b-adapt=0"}
OPEN_265 = X265.replace("25", "26") + ":bframes=2:b-adapt=0:open-gop=1"
# By name: codec, suffix of the file, pixel format, options.
CODINGS = {
    "h264": ("libx264", "ts", "yuv420p", PLAIN),
    "h264 b": ("libx264", "ts", "yuv420p", B_FRAMES),
    "h264 pyramid": ("libx264", "ts", "yuv420p", {"preset": "superfast", "bf": "3", "g": str(GROUP)}),
    "h264 open": ("libx264", "ts", "yuv420p", OPEN),
    "h264 refresh": ("libx264", "ts", "yuv420p", PLAIN | {"intra-refresh": "1"}),
    "h264 endless": ("libx264", "ts", "yuv420p", PLAIN | {"g": "1000"}),
    "hevc": ("libx265", "ts", "yuv420p", {"preset": "ultrafast", "x265-params": X265 + ":bframes=0"}),
    "hevc open": ("libx265", "ts", "yuv420p", {"preset": "ultrafast", "x265-params": OPEN_265}),
    "mpeg4": ("mpeg4", "ts", "yuv420p", {"g": str(GROUP)}),
    "mpeg4 b": ("mpeg4", "ts", "yuv420p", {"g": str(GROUP), "bf": "2"}),
    "mpeg2 b": ("mpeg2video", "ts", "yuv420p", {"g": str(GROUP), "bf": "2"}),
    "vp9": ("libvpx-vp9", "mkv", "yuv420p", {"g": str(GROUP), "deadline": "realtime", "cpu-used": "8"}),
    "mjpeg": ("mjpeg", "avi", "yuvj420p", {}),
}


def written(folder: Path, coding: str) -> Path:
    """Write the clip of test_losses in a coding of CODINGS."""
    codec, suffix, pix_fmt, options = CODINGS[coding]
    return write(folder / f"{coding.replace(' ', '-')}.{suffix}", codec, pix_fmt, **options)


class Replayed(NamedTuple):
    """A stream that is being replayed.

    Attributes:
        video: what reads it.
        pictures: its pictures, one by one.
        sent: the packets that it has read, in order.
    """

    video: LiveVideo
    pictures: Iterator[Picture]
    sent: list[av.Packet]


class _Container:
    """An open container of which packets are lost."""

    def __init__(self, container: av.container.InputContainer, lost: Iterable[int], without: str) -> None:
        self.format, self._container, self._lost, self._without = container.format, container, set(lost), without
        self.sent: list[av.Packet] = []

    def demux(self) -> Iterator[av.Packet]:
        packets = self._container.demux(video=0)
        if self._without:
            leave_out = BitStreamFilterContext(
                f"filter_units=remove_types={self._without}", self._container.streams.video[0]
            )
            packets = (kept for packet in packets if packet.size for kept in leave_out.filter(packet))
        for number, packet in enumerate(packets):
            if number not in self._lost:
                # FFmpeg marks the packet before the lost one.
                packet.is_corrupt = number + 1 in self._lost
                self.sent.append(packet)
                yield packet


@contextmanager
def replayed(path: Path, lost: Iterable[int] = (), without: str = "") -> Iterator[Replayed]:
    """Replay a file, without the packets of these numbers, from 0, and without this kind of H.264 units."""
    with av.open(str(path)) as file:
        container, stream = _Container(file, lost, without), file.streams.video[0]
        video = LiveVideo(
            "cam", container, stream, fps=None, is_rtp_over_udp=False, read_timeout_s=9.0, max_pixels=1 << 20
        )
        pictures = video.pictures()
        yield Replayed(video, _until_the_end(pictures), container.sent)
        pictures.close()


def _until_the_end(pictures: Iterator[Picture]) -> Iterator[Picture]:
    with pytest.raises(SourceError, match="connection lost"):
        yield from pictures


def whole(path: Path) -> dict[float, np.ndarray]:
    """Decode all frames of a file: BGR by timestamp (s), as LiveVideo computes it."""
    with av.open(str(path)) as file:
        base_s = float(file.streams.video[0].time_base)
        return {frame.pts * base_s: frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)}
