"""The codecs, and the encoders that write them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Codec:
    """A codec, and the encoder that writes it.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        pixels: the pixel format.
        size: width and height of the pictures.
        options: options of the encoder.
        depths: options for each depth of B-frames that it can write.
        open_gop: options for open groups of pictures.
        fps: the rate at which it is written.
    """

    encoder: str
    pixels: str = "yuv420p"
    size: tuple[int, int] = (128, 96)
    options: dict[str, str] = field(default_factory=dict)
    depths: dict[int, dict[str, str]] = field(default_factory=dict)
    open_gop: dict[str, str] | None = None
    fps: int = 30


_X264 = {"preset": "ultrafast", "g": "8", "bf": "0", "crf": "18", "x264-params": "scenecut=0:threads=1"}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:keyint=8:pools=none:frame-threads=1"}


def _x264(depth: int, more: str = "") -> dict[str, str]:
    return {
        "bf": str(depth),
        "preset": "veryfast",
        "x264-params": f"scenecut=0:threads=1:b-adapt=0:b-pyramid={'strict' if depth > 2 else 'none'}{more}",
    }


def _x265(depth: int, more: str = "") -> dict[str, str]:
    return {"x265-params": f"log-level=none:bframes={depth}:b-adapt=0:keyint=8:pools=none:frame-threads=1{more}"}


_MPEG_B = {depth: {"bf": str(depth), "g": "8"} for depth in (1, 2, 3, 4)}
_GOOD = {"q": "3", "qmin": "2", "qmax": "6", "b": "2000000", "g": "8"}

CODECS = {
    "h264": Codec(
        "libx264", options=_X264, depths={d: _x264(d) for d in (1, 2, 3, 4)}, open_gop=_x264(3, ":open-gop=1")
    ),
    "h265": Codec(
        "libx265", options=_X265, depths={d: _x265(d) for d in (1, 2, 3, 4)}, open_gop=_x265(3, ":open-gop=1")
    ),
    "mpeg4": Codec("mpeg4", options=_GOOD, depths=_MPEG_B),
    "mpeg2": Codec("mpeg2video", options=_GOOD, depths=_MPEG_B, open_gop={"bf": "2", "g": "8", "flags": "-cgop"}),
    "mpeg1": Codec("mpeg1video", options=_GOOD, depths=_MPEG_B),
    "vp8": Codec("libvpx", options={"deadline": "realtime", "cpu-used": "8", "b": "2000000", "g": "8"}),
    "vp9": Codec("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "b": "2000000", "g": "8"}),
    "av1": Codec("libsvtav1", options={"preset": "12", "crf": "20", "svtav1-params": "lp=1", "g": "8"}),
    "mjpeg": Codec("mjpeg", "yuvj420p", options={"qmin": "2", "qmax": "4"}),
    "prores": Codec("prores_ks", "yuv422p10le"),
    "dnxhd": Codec("dnxhd", "yuv422p", (256, 128), {"profile": "dnxhr_sq"}),
    "cineform": Codec("cfhd", "yuv422p10le", (256, 128)),
    "ffv1": Codec("ffv1"),
    "huffyuv": Codec("huffyuv", "yuv422p"),
    "ffvhuff": Codec("ffvhuff"),
    "utvideo": Codec("utvideo"),
    "magicyuv": Codec("magicyuv", "gbrp"),
    "png": Codec("png", "rgb24"),
    "apng": Codec("apng", "rgb24"),
    "raw": Codec("rawvideo"),
    "rgb": Codec("rawvideo", "bgr24"),
    "qtrle": Codec("qtrle", "rgb24"),
    "jpeg2000": Codec("jpeg2000", "rgb24"),
    "msmpeg4": Codec("msmpeg4", options=_GOOD),
    "wmv1": Codec("wmv1", options=_GOOD),
    "wmv2": Codec("wmv2", options=_GOOD),
    "flv1": Codec("flv", options=_GOOD),
    "flashsv": Codec("flashsv", "bgr24"),
    "h263": Codec("h263", options=_GOOD),
    "h261": Codec("h261", size=(176, 144), options=_GOOD),
    "svq1": Codec("svq1", "yuv410p"),
    "cinepak": Codec("cinepak", "rgb24"),
    "msvideo1": Codec("msvideo1", "rgb555le"),
    "zmbv": Codec("zmbv", "bgr0"),
    "snow": Codec("snow", options={"strict": "-2"}),
    "rv20": Codec("rv20", options=_GOOD),
    "amv": Codec("amv", "yuvj420p", options={"strict": "-1"}),
    "gif": Codec("gif", "rgb8"),
    "dv": Codec("dvvideo", "yuv420p", (720, 576), fps=25),
    "vc2": Codec("vc2", "yuv422p"),
}
