"""Which frames of a file are shown if it starts between two key frames.

Used by capture.recorded. Most decoders refuse or mark such frames; those of the H.263 family return garbage.
"""

from __future__ import annotations

from av.video.frame import PictureType, VideoFrame

# FFmpeg's decoders that start at any frame and don't mark what lacks.
_UNMARKED = frozenset(
    (
        "flv",
        "h261",
        "h263",
        "h263i",
        "h263p",
        "mpeg4",
        "msmpeg4",
        "msmpeg4v1",
        "msmpeg4v2",
        "rv10",
        "rv20",
        "wmv1",
        "wmv2",
    )
)
# Without a key frame, each part of the picture is sent anew after this many frames (ITU-T H.261, 3.4; H.263, 4.4).
LONGEST_REFRESH = 132


class Start:
    """Finds the first frame of a file that can be shown. Pass it each frame, in the order of display.

    Args:
        codec: FFmpeg's name of the decoder.

    >>> Start("h264").is_shown(VideoFrame(16, 16)), Start("mpeg4").is_shown(VideoFrame(16, 16))
    (True, False)
    """

    def __init__(self, codec: str) -> None:
        self._left = LONGEST_REFRESH if codec in _UNMARKED else 0

    def hidden_key(self) -> None:
        """Note a key frame that an edit list hides: it is decoded, but not returned."""
        self._left = 0

    def is_shown(self, frame: VideoFrame) -> bool:
        """Whether a frame can be shown: from the first key frame on, or once an intra refresh is over."""
        if frame.key_frame or frame.pict_type == PictureType.I:
            self._left = 0
        elif self._left:
            self._left -= 1
            return False
        return True
