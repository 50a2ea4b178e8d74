"""What containers are by their definitions: the only place that knows one from another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

MS = Fraction(1, 1000)
MPEG = Fraction(1, 90_000)


@dataclass(frozen=True)
class Container:
    """A container.

    Attributes:
        suffix: of its files.
        names: the codecs that are tried in it; the first is its usual one.
        format: FFmpeg's name of its muxer; None: by the suffix.
        tick: its unit of time; None: it counts pictures at a constant rate, and other times can't be written.
        timed: whether it says when a picture is shown. If not (AVI, raw streams), true times are number / rate or none.
        shifts: whether its muxer or its definition moves all times by a constant.
        declares: whether it declares its duration or its number of pictures, so that a file that was cut is known.
        turns: whether it stores a display matrix.
        options: options of the muxer.
        piped: whether it can be read in one go, so over a pipe.
        counts: whether it only counts pictures, so that no time but number / rate can be written.
        is_sparse: whether only some pictures have a stamp.
        starts: whether its first picture may come later than 0.
        longest_s: the longest time it can tell, and between two pictures.
        joins: whether files that are joined by their bytes are a file.
        is_image: whether a file of one picture is a still without times, and one without durations runs at 10 fps, as
            in browsers.
        needs_data: whether a picture without data is damage.
        is_fragmented: whether it is MP4 in fragments.
        marks_cuts: whether FFmpeg marks the packet at which a file was cut off, so that its broken picture is dropped.
            If not, the last picture isn't judged.
        assumed_fps: the rate that FFmpeg and players assume, if the stream says none.
    """

    suffix: str
    names: str
    format: str | None = None
    tick: Fraction | None = MPEG
    timed: bool = True
    shifts: bool = False
    declares: bool = False
    turns: bool = False
    options: dict[str, str] = field(default_factory=dict)
    piped: bool = True
    counts: bool = False
    is_sparse: bool = False
    starts: bool = True
    longest_s: float = math.inf
    joins: bool = False
    is_image: bool = False
    needs_data: bool = False
    is_fragmented: bool = False
    marks_cuts: bool = True
    assumed_fps: int | None = None

    @property
    def codecs(self) -> list[str]:
        """The names of its codecs, keys of CODECS."""
        return self.names.split()


_ISO = {"turns": True, "declares": True, "piped": False}
_FAST = {"movflags": "faststart"}
# A picture without data becomes a delimiter without a picture, which can't be decoded.
_TS = {"shifts": True, "needs_data": True}
# A program stream has one stamp for all the pictures that begin in a packet of 2 kB.
_PS = {"tick": MPEG, "shifts": True, "joins": True, "is_sparse": True}
CONTAINERS = {
    "mp4": Container("mp4", "h264 h265 mpeg4 mpeg2 mpeg1 vp9 av1 mjpeg png jpeg2000 vc2", **_ISO),
    "mov": Container("mov", ("h264 h265 prores dnxhd cineform mjpeg png qtrle svq1 cinepak ffv1 mpeg4"), **_ISO),
    "m4v": Container("m4v", "h264 mpeg4", "mp4", **_ISO),
    "3gp": Container("3gp", "h264 mpeg4 h263", **_ISO),
    "f4v": Container("f4v", "h264", **_ISO),
    "ismv": Container(
        "ismv", "h264", tick=MPEG, turns=True, piped=False, starts=False, longest_s=60, is_fragmented=True
    ),
    "fmp4": Container(
        "mp4",
        "h264 h265 av1 vp9",
        "mp4",
        turns=True,
        options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        starts=False,
        is_fragmented=True,
    ),
    "faststart": Container("mp4", "h264 h265", "mp4", turns=True, declares=True, options=_FAST),
    "mkv": Container(
        "mkv",
        (
            "h264 h265 mpeg4 mpeg2 mpeg1 vp8 vp9 av1 mjpeg prores ffv1 huffyuv ffvhuff utvideo "
            "magicyuv png raw rgb msmpeg4 wmv2 flv1 svq1 cinepak snow jpeg2000"
        ),
        tick=MS,
        declares=True,
    ),
    "webm": Container("webm", "vp9 vp8 av1", tick=MS, declares=True),
    "live-mkv": Container("mkv", "h264 vp9 mjpeg", "matroska", MS, options={"live": "1"}),
    "avi": Container(
        "avi",
        (
            "h264 mjpeg h265 mpeg4 mpeg2 mpeg1 vp8 vp9 av1 ffv1 huffyuv ffvhuff utvideo magicyuv "
            "png raw rgb msmpeg4 wmv1 wmv2 flv1 h263 cinepak msvideo1 zmbv snow"
        ),
        tick=None,
        timed=False,
        shifts=True,
        declares=True,
        starts=False,
    ),
    "ts": Container("ts", "h264 h265 mpeg2 mpeg1 mpeg4", "mpegts", joins=True, marks_cuts=False, **_TS),
    "m2ts": Container("m2ts", "h264 h265 mpeg2", "mpegts", options={"mpegts_m2ts_mode": "1"}, joins=True, **_TS),
    "mpg": Container("mpg", "mpeg1 mpeg2 h264", "mpeg", **_PS),
    "vob": Container("vob", "mpeg2", "vob", **_PS),
    "flv": Container("flv", "h264 h265 flv1 flashsv vp9 av1", tick=MS, declares=True, longest_s=2**31 / 1000),
    "asf": Container("wmv", "wmv2 wmv1 h264 mpeg4 msmpeg4 mjpeg", "asf", MS, declares=True, shifts=True, longest_s=1e6),
    # An Ogg page has one time for all its packets, from which the others are counted at the nominal rate.
    "ogg": Container("ogg", "vp8", tick=None, starts=False, longest_s=1e6, is_sparse=True),
    "nut": Container("nut", "h264 mpeg4 ffv1 raw vp9 mjpeg", declares=False, longest_s=1e12),
    "mxf": Container(
        "mxf", "mpeg2 h264 dnxhd jpeg2000 prores", tick=None, declares=True, piped=False, shifts=True, counts=True
    ),
    "gxf": Container("gxf", "dv mpeg2 mpeg1 mjpeg", tick=None, shifts=True, counts=True),
    "ivf": Container("ivf", "vp9 vp8 av1", declares=False),
    "y4m": Container("y4m", "raw", "yuv4mpegpipe", None, counts=True),
    "gif": Container("gif", "gif", tick=Fraction(1, 100), starts=False, longest_s=600, is_image=True),
    "apng": Container("apng", "apng", starts=False, longest_s=600, is_image=True, needs_data=True),
    # Its first picture is shown at 0, and Pillow tells times in whole milliseconds.
    "avif": Container("avif", "av1", tick=MS, piped=False, starts=False, is_image=True),
    "h264": Container("h264", "h264", tick=None, timed=False, counts=True, joins=True),
    "hevc": Container("hevc", "h265", tick=None, timed=False, counts=True, joins=True),
    "m2v": Container("m2v", "mpeg2", "mpeg2video", None, timed=False, counts=True, joins=True),
    "m1v": Container("m1v", "mpeg1", "mpeg1video", None, timed=False, counts=True, joins=True),
    "raw-m4v": Container("m4v", "mpeg4", "m4v", None, timed=False, counts=True, joins=True),
    "mjpeg": Container("mjpeg", "mjpeg", "mjpeg", None, timed=False, counts=True, joins=True, marks_cuts=False),
    # The encoder writes no timing_info, which is optional in AV1.
    "obu": Container("obu", "av1", tick=None, timed=False, counts=True, assumed_fps=25),
    "h263": Container("h263", "h263", tick=None, timed=False, counts=True),
    "h261": Container("h261", "h261", tick=None, timed=False, counts=True, marks_cuts=False),
    "dirac": Container("drc", "vc2", "dirac", None, timed=False, counts=True),
    "amv": Container("amv", "amv", tick=None, timed=False, shifts=True, counts=True),
    "swf": Container("swf", "mjpeg flv1", tick=None, timed=False, shifts=True, counts=True, marks_cuts=False),
    "rm": Container("rm", "rv20", tick=MS, shifts=True),
    "wtv": Container("wtv", "mpeg2 h264", shifts=True),
    "dv": Container("dv", "dv", tick=None, counts=True, marks_cuts=False),
    "smjpeg": Container("mjpg", "mjpeg", "smjpeg", MS, longest_s=2**32 / 1000),
}
