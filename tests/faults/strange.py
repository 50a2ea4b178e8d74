"""What strange cameras are made of: servers that send what no camera should, and the pictures that they send.

`strange_rtsp` and `strange_http` have one function for each camera; test_strange_cameras runs them.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .clip import Clip, encode
from .peer import Listener, Serve
from .sps import Sps

LOGIN = "admin:s3cr3t-pw"
SIZE, FPS = (160, 120), 25


@dataclass
class Strange:
    """A strange camera.

    Args:
        serve: serves each connection.
        url: its address, with {port} for its port.
        thief: another server, to which this camera sends its clients.
        may_connect: how often a client may connect in 10 s. Capture tries again after 0.25, 0.5, 1, 2, 4 and 5 s, and
            connects up to three times each time.
        may_log: how many log lines it may cause in 10 s: at most one for each opening and one for each loss.
    """

    serve: Serve
    url: str = "rtsp://127.0.0.1:{port}/cam"
    thief: Listener | None = None
    may_connect: int = 40
    may_log: int = 13

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[str, Listener]]:
        """Run its servers. Yield its address and its own server."""
        with contextlib.ExitStack() as stack:
            if self.thief is not None:
                stack.enter_context(self.thief)
            listener = stack.enter_context(Listener(self.serve))
            yield self.url.format(port=listener.port), listener


@functools.cache
def clip(size: tuple[int, int] = SIZE) -> Clip:
    """Two seconds of good video, with a key frame each second."""
    return Clip(size, encode(size, 2 * FPS, FPS, FPS))


def with_sps(change: Callable[[Sps], None]) -> Clip:
    """Return the good clip with another parameter set, in the SDP and in each key frame."""
    good = clip()
    sps = Sps(good.parameter_sets[0])
    change(sps)
    changed = {good.parameter_sets[0]: sps.write()}
    return Clip(SIZE, [[changed.get(unit, unit) for unit in picture] for picture in good.pictures])


@functools.cache
def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (9, 9), 3))[1].tobytes()


def resized(data: bytes, size: tuple[int, int]) -> bytes:
    """Return a JPEG whose header claims another size; it has no more data than before."""
    at = data.index(b"\xff\xc0") + 5  # the frame header: marker, length, precision, height, width
    return data[:at] + struct.pack(">HH", size[1], size[0]) + data[at + 4 :]


def part(data: bytes, *fields: str) -> bytes:
    """Return a part of a motion JPEG stream; without `fields`, with the usual ones."""
    fields = fields or ("Content-Type: image/jpeg", f"Content-Length: {len(data)}")
    return "\r\n".join(["--b", *fields, "", ""]).encode() + data + b"\r\n"
