"""The traits: what a clip is made to be, beyond a plain one. Each is a function from a plain clip to an odd one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from .clip import FPS, Clip, NotMade
from .codecs import CODECS
from .picture import TURNS, UPRIGHT

HOUR_S = 3600
UNIX_S = 1_700_000_000
# A fixed pattern of jitter, in hundredths of an interval.
JITTER = (0, 31, -25, 12, -38, 7, 40, -11)


@dataclass(frozen=True)
class Trait:
    """A trait.

    Attributes:
        group: the row of the table.
        change: makes the clip odd. Raises NotMade if it can't be.
        damage: changes the bytes of the file that was written.
        sei: the turn that is written into the H.264 stream itself; None: none.
        joined: whether the file is written twice, one after the other.
        is_cut, is_flipped: what `damage` does, as the expectation needs to know.
    """

    group: str
    change: Callable[[Clip], Clip] = lambda clip: clip
    damage: Callable[[bytes], bytes] = lambda data: data
    sei: str | None = None
    joined: bool = False
    is_cut: bool = False
    is_flipped: bool = False


def _set(group: str, **keys: object) -> Trait:
    return Trait(group, lambda clip: replace(clip, **keys))


def _times(group: str, stamp: Callable[[int], Fraction | None], **keys: object) -> Trait:
    def change(clip: Clip) -> Clip:
        if clip.container.counts:
            raise NotMade("the container only counts pictures")
        stamps = [stamp(n) or Fraction(0) for n in range(clip.pictures)]
        if group == "start times" and not clip.container.starts:
            raise NotMade("the container begins at 0")
        if max(map(abs, stamps)) > clip.container.longest_s:
            raise NotMade("the container can't tell such a time")
        return replace(clip, stamp=stamp, **keys)

    return Trait(group, change)


def _depth(depth: int) -> Trait:
    def change(clip: Clip) -> Clip:
        if depth not in clip.codec.depths:
            raise NotMade("the codec has no B-frames")
        return replace(clip, encoding=clip.codec.depths[depth])

    return Trait("B-frames", change)


def _open_gop(lost: int = 0) -> Trait:
    def change(clip: Clip) -> Clip:
        if clip.codec.open_gop is None:
            raise NotMade("the codec has no open groups")
        return replace(clip, encoding=clip.codec.open_gop, lost=lost, pictures=24)

    return Trait("open groups of pictures", change)


def _pixels(pixels: str, codecs: dict[str, str]) -> Trait:
    """Another pixel format. `codecs`: by the encoder, the encoder that writes it."""

    def change(clip: Clip) -> Clip:
        if clip.codec.encoder not in codecs:
            raise NotMade("the encoder does not have this pixel format")
        return replace(clip, pixels=pixels, codec=replace(clip.codec, encoder=codecs[clip.codec.encoder]))

    return Trait("pixel formats", change)


def _matrix(name: str) -> Trait:
    def change(clip: Clip) -> Clip:
        if not clip.container.turns:
            raise NotMade("the container stores no matrix")
        return replace(clip, turn=TURNS[name][0])

    return Trait("rotation and mirrors", change)


def _in_stream(name: str) -> Trait:
    def change(clip: Clip) -> Clip:
        if clip.codec is not CODECS["h264"]:
            raise NotMade("only H.264 is written with an orientation")
        return replace(clip, turn=TURNS[name][0])

    return Trait("rotation and mirrors", change, sei=name)


def _cut(percent: int) -> Trait:
    return Trait("truncation", damage=lambda data: data[: len(data) * percent // 100], is_cut=True)


def _flip(percent: int) -> Trait:
    def damage(data: bytes) -> bytes:
        place = len(data) * percent // 100
        return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]

    return Trait("a flipped byte", damage=damage, is_flipped=True)


def _joined(clip: Clip) -> Clip:
    # Only these may be joined by their bytes, and are (cat a.ts b.ts).
    if not clip.container.joins:
        raise NotMade("its files can't be joined by their bytes")
    return clip


def _interlaced(clip: Clip) -> Clip:
    if clip.codec.encoder not in ("libx264", "mpeg2video", "mpeg4"):
        raise NotMade("the encoder writes no fields")
    more = {"flags": "+ildct+ilme"}
    if clip.codec.encoder == "libx264":
        more = {"x264-params": clip.codec.options["x264-params"] + ":tff=1"}
    return replace(clip, encoding=more, size=(176, 160))


def _resized(clip: Clip) -> Clip:
    if clip.codec.encoder not in ("libx264", "mjpeg", "libvpx", "libvpx-vp9"):
        raise NotMade("the size is in the header of the file only")
    return replace(clip, later_size=(192, 144))


def _by(n: int) -> Fraction:
    return Fraction(n) / FPS


TRAITS = {
    "plain": Trait("plain"),
    **{f"b_frames_{depth}": _depth(depth) for depth in (1, 2, 3, 4)},
    "open_gop": _open_gop(),
    "open_gop_cut_in": _open_gop(lost=3),
    "starts_at_400ms": _times("start times", lambda n: _by(n) + Fraction(2, 5)),
    "starts_at_5s": _times("start times", lambda n: _by(n) + 5),
    "starts_at_unix_time": _times("start times", lambda n: _by(n) + UNIX_S),
    "starts_negative": _times("start times", lambda n: _by(n) - Fraction(1, 5)),
    "pause_of_3s": _times("gaps", lambda n: _by(n) + 3 * (n >= 8)),
    "gap_of_an_hour": _times("gaps", lambda n: _by(n) + HOUR_S * (n >= 8)),
    "equal_stamps": _times("equal stamps", lambda n: Fraction(0)),
    "stamps_equal_by_5": _times("equal stamps", lambda n: _by(n - n % 5), pictures=15),
    "some_without_stamp": _times("missing stamps", lambda n: None if n % 3 == 1 else _by(n)),
    "all_without_stamp": _times("missing stamps", lambda n: None),
    "jitter": _times("variable rate", lambda n: _by(n) + Fraction(JITTER[n % 8], 100) / FPS + Fraction(1, 50)),
    "rate_varies": _times("variable rate", lambda n: _by(n) if n < 8 else _by(8) + Fraction(n - 8, 5)),
    "one_a_minute": _times("variable rate", lambda n: Fraction(60 * n), pictures=8),
    "joined": Trait("joined recordings", _joined, joined=True),
    "cover_before": _set("covers", before=("cover",)),
    "cover_after": _set("covers", after=("cover",)),
    "still_first_film_default": _set("several tracks", before=("still",), is_default=True),
    "still_after": _set("several tracks", after=("still",)),
    "sound_longer": _set("several tracks", sound_from_s=Fraction(0), sound_s=Fraction(4)),
    "sound_earlier": Trait(
        "several tracks",
        lambda clip: replace(TRAITS["starts_at_400ms"].change(clip), sound_from_s=Fraction(0), sound_s=Fraction(1)),
    ),
    **{f"matrix_{exif}": _matrix(name) for name, (turn, exif) in TURNS.items() if turn != UPRIGHT},
    **{f"sei_{exif}": _in_stream(name) for name, (turn, exif) in TURNS.items() if turn != UPRIGHT},
    "size_17x33": _set("odd sizes", size=(17, 33)),
    "size_321x193": _set("odd sizes", size=(321, 193)),
    "size_1x1": _set("odd sizes", size=(1, 1)),
    "size_2x2": _set("odd sizes", size=(2, 2)),
    "size_1200x64": _set("odd sizes", size=(1200, 64), pictures=6),
    "gray": _pixels("gray", {"libx264": "libx264", "ffv1": "ffv1", "png": "png", "libx265": "libx265"}),
    "yuv444": _pixels("yuv444p", {n: n for n in ("libx264", "libx265", "libvpx-vp9", "ffv1")}),
    "yuv422": _pixels("yuv422p", {n: n for n in ("libx264", "libx265", "libvpx-vp9", "mpeg2video", "ffv1")}),
    "ten_bits": _pixels("yuv420p10le", {n: n for n in ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1")}),
    "rgb": _pixels("rgb24", {"libx264": "libx264rgb", "png": "png", "libx264rgb": "libx264rgb"}),
    "rgb48": _pixels("rgb48be", {"png": "png"}),
    "alpha": _pixels("rgba", {"png": "png", "apng": "apng"}),
    "yuva": _pixels("yuva444p10le", {"prores_ks": "prores_ks"}),
    "interlaced": Trait("interlaced", _interlaced),
    "size_changes": Trait("size changes", _resized),
    "no_index": Trait("no index", lambda clip: replace(clip, muxing=_streamed(clip))),
    "empty_packets": _set("empty packets", blank=frozenset(range(10, 16))),
    "starts_between_key_frames": _set("no key frame first", lost=3, pictures=24),
    **{f"cut_at_{percent}": _cut(percent) for percent in (30, 60, 95)},
    **{f"flipped_at_{percent}": _flip(percent) for percent in (20, 50, 80)},
    "one_picture": _set("few pictures", pictures=1),
    "two_pictures": _set("few pictures", pictures=2),
    "rate_says_90000": _set("wrong rates", declared=Fraction(90_000)),
    "rate_says_1000": _set("wrong rates", declared=Fraction(1000)),
    "rate_says_1": _set("wrong rates", declared=Fraction(1)),
}


def _streamed(clip: Clip) -> dict[str, str]:
    """Options that make a muxer write no index."""
    by_format = {
        "mp4": {"movflags": "empty_moov+frag_every_frame+default_base_moof"},
        "mov": {"movflags": "empty_moov+frag_every_frame+default_base_moof"},
        "mkv": {"live": "1"},
        "webm": {"live": "1"},
        "avi": {"write_empty": "1", "reserve_index_space": "0"},
        "flv": {"flvflags": "no_duration_filesize"},
        "nut": {"write_index": "0"},
    }
    if clip.container.suffix not in by_format:
        raise NotMade("the container has no index, or can't be without")
    return by_format[clip.container.suffix]
