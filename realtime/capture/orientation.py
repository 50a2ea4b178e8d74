"""Turns pictures upright: the display matrix of a frame, and what it does to the picture.

Used by capture.convert. A phone that is held upright writes a rotation, a front camera a mirror.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from math import atan2, pi
from struct import Struct
from typing import cast

import av
import cv2
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from realtime.capture.view import Box, rotated_size, turned_back

# A display matrix is nine numbers: a b u, c d v, x y w. It moves a point from (p, q) to (a p + c q, b p + d q), where q
# points downwards (FFmpeg's libavutil/display.h). a, b, c and d are 16.16 fixed point, of which only signs and ratios
# count here.
_MATRIX = Struct("=9i")
# By the number of quarter turns, clockwise.
_TURNS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
# PyAV can't list the side data of a frame if it doesn't know one of the kinds: EXIF (31 in FFmpeg 8, which motion JPEG
# has), the views of stereo video (29, 30), and newer ones. FFmpeg 8 has 33 kinds.
_UNKNOWN_KINDS = sorted(set(range(48)) - {kind.value for kind in Type})
_WITH_MESSAGES = frozenset({"h264", "hevc", "vvc"})  # codecs whose streams can carry an orientation
_ANY_TIME_BASE = Fraction(1, 1000)  # for a frame without a time
# PyAV's types don't say that the constructor takes a frame.
_side_data_of = cast("Callable[[VideoFrame], SideDataContainer]", SideDataContainer)


def display_matrix(frame: VideoFrame) -> bytes | None:
    """Return the display matrix of a frame, as FFmpeg stores it; None if it has none."""
    # Not `frame.side_data`: the frame keeps it, and it refers to the frame, so that only the garbage collector would
    # return the memory of both.
    try:
        matrix = _side_data_of(frame).get("DISPLAYMATRIX")
    except ValueError:
        known = _of_known_kinds(frame)
        matrix = None if known is None else _side_data_of(known).get("DISPLAYMATRIX")
    return bytes(matrix) if isinstance(matrix, SideData) else None


class Orientation:
    """The display matrix that applies to each frame of a stream. Pass it every frame, in the order of display.

    H.264, HEVC and VVC streams may carry the orientation themselves, in a message that usually comes with key frames
    and applies to the pictures shown after it, until the next key frame or message (ITU-T H.264, D.2.28). FFmpeg gives
    it only to the frame with the message. A matrix of the container is on every frame.

    Args:
        codec: FFmpeg's name of the codec. In others, such as motion JPEG, a matrix applies to its own frame only.

    >>> Orientation("h264").matrix_of(VideoFrame(16, 16)) is None
    True
    """

    def __init__(self, codec: str) -> None:
        self._persists = codec in _WITH_MESSAGES
        self._last: bytes | None = None

    def matrix_of(self, frame: VideoFrame) -> bytes | None:
        """Return the display matrix that applies to a frame; None if there is none."""
        matrix = display_matrix(frame)
        if self._persists and matrix is None and not frame.key_frame:
            return self._last
        self._last = matrix
        return matrix


def upright(image: NDArray[np.uint8], matrix: bytes | None) -> NDArray[np.uint8]:
    """Return the image as a display matrix shows it: mirrored, and turned by the nearest right angle.

    >>> mirror = Struct("=9i").pack(-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    >>> upright(np.array([[1, 2, 3]], np.uint8), mirror)
    array([[3, 2, 1]], dtype=uint8)

    Args:
        image: uint8 (H, W, 3) or (H, W).
        matrix: the matrix, as FFmpeg attaches it to a frame; None if there is none.

    Returns:
        The image itself if the matrix changes nothing, or maps the picture to a line or a point, such as one of zeros.
    """
    is_mirrored, quarters = _turn_of(matrix)
    if is_mirrored:
        image = cv2.flip(image, 1)
    turn = _TURNS[quarters]
    return image if turn is None else cv2.rotate(image, turn)


def upright_size(size: tuple[int, int], matrix: bytes | None) -> tuple[int, int]:
    """Return the size of what `upright` returns for an image of this size; both are (width, height) in pixels."""
    return size[::-1] if _turn_of(matrix)[1] % 2 else size


def before_upright(box: Box, size: tuple[int, int], matrix: bytes | None) -> Box:
    """Return where a box of what `upright` returns is in the image given to it.

    Args:
        box: in pixels of the upright image.
        size: width and height of the upright image.
        matrix: as for `upright`.
    """
    is_mirrored, quarters = _turn_of(matrix)
    x1, y1, x2, y2 = turned_back(box, size, 90 * quarters)
    if is_mirrored:
        width = rotated_size(size, 90 * quarters)[0]
        x1, x2 = width - x2, width - x1
    return x1, y1, x2, y2


def _turn_of(matrix: bytes | None) -> tuple[bool, int]:
    """Return whether a display matrix mirrors left and right, and by how many quarters it then turns the picture."""
    if matrix is None or len(matrix) < _MATRIX.size:
        return False, 0
    a, b, _, c, d, *_ = _MATRIX.unpack_from(matrix)
    if (area := a * d - b * c) == 0:
        return False, 0
    if area < 0:  # mirror left and right first; the rest is a rotation
        a, b = -a, -b
    return area < 0, round(atan2(b - c, a + d) / (pi / 2)) % 4


def _of_known_kinds(frame: VideoFrame) -> VideoFrame | None:
    """Return a reference to the frame without the side data that PyAV doesn't know; None if FFmpeg makes none."""
    graph = Graph()
    with contextlib.suppress(av.FFmpegError, OSError):
        last = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or _ANY_TIME_BASE
        )
        for kind in _UNKNOWN_KINDS:
            last.link_to(step := graph.add("sidedata", f"mode=delete:type={kind}"))
            last = step
        last.link_to(graph.add("buffersink"))
        graph.configure()
        graph.vpush(frame)
        return graph.vpull()
    return None
