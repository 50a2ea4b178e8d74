"""Writes a clip: pictures that tell their number, encoded, stamped as a trait wants it, and put into a container."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.capture.clips import oriented

from .codecs import Codec
from .containers import MPEG, Container
from .picture import TURNS, UPRIGHT, Turn, draw, shown

FPS = Fraction(30)
SOUND_HZ = 48_000


class NotMade(Exception):  # noqa: N818 - no error: the table counts these
    """The container, the codec or its muxer can't have this trait."""


@dataclass(frozen=True)
class Clip:
    """What to write.

    Attributes:
        stamp: the time (s) at which a picture is shown, by its number; None: number / fps. It may return None, for a
            picture without a time.
        declared: the frame rate that the container is told; None: fps.
        pixels, size: None: those of the codec.
        encoding, muxing: more options of the encoder and of the muxer.
        before, after: streams that are written before and after the film: "cover", "still", "sound".
        sound_from_s: when the sound begins; None: no sound.
        sound_s: how long it is.
        is_default: whether the film is marked as the default track.
        later_size: the size of the second half of the pictures.
        lost: the first packets that are left out, as when a recording starts.
        blank: the numbers of the pictures whose packets are empty: the one before stays.
        without: numbers of pictures that are not written at all.
    """

    container: Container
    codec: Codec
    pictures: int = 16
    fps: Fraction = FPS
    stamp: Callable[[int], Fraction | None] | None = None
    declared: Fraction | None = None
    pixels: str | None = None
    size: tuple[int, int] | None = None
    encoding: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    turn: Turn = UPRIGHT
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    sound_from_s: Fraction | None = None
    sound_s: Fraction = Fraction(1, 2)
    is_default: bool = False
    later_size: tuple[int, int] | None = None
    lost: int = 0
    blank: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of the pictures as they are stored."""
        return self.size or self.codec.size

    def stamp_s(self, number: int) -> Fraction | None:
        """When the picture with this number is shown (s)."""
        return self.stamp(number) if self.stamp else number / self.fps


@dataclass(frozen=True)
class Packet:
    """A packet of the film that was written.

    Attributes:
        number: the number of its picture.
        is_key: whether its picture can be decoded without others.
    """

    number: int
    is_key: bool


def write(clip: Clip, path: Path, sei: str | None = None) -> list[Packet]:
    """Write the clip. Return its packets in their order in the file.

    Args:
        clip: what to write.
        path: the file.
        sei: the key of `TURNS` that is written into each H.264 key frame instead of the header of the file.

    Raises:
        NotMade: it can't be written.
    """
    try:
        return _write(clip, path, sei)
    except (av.FFmpegError, OSError, ValueError, av.codec.codec.UnknownCodecError) as error:
        raise NotMade(str(error)) from None


def _write(clip: Clip, path: Path, sei: str | None) -> list[Packet]:
    container = clip.container
    if clip.lost and container.suffix in ("apng", "gif", "avif"):
        raise NotMade("its first picture must be whole, and FFmpeg's muxers of the first two crash without")
    with av.open(str(path), "w", format=container.format, options=container.options | clip.muxing) as out:
        before = [_side_stream(out, kind) for kind in clip.before]
        film = out.add_stream(clip.codec.encoder, rate=clip.declared or clip.fps)
        after = [_side_stream(out, kind) for kind in clip.after]
        sound = None if clip.sound_from_s is None else _sound_stream(out, clip)
        _set_up(film.codec_context, clip, clip.shape)
        if container.tick is not None:
            film.time_base = MPEG
        if clip.turn != UPRIGHT and sei is None:
            a, b, c, d = (value * 0x10000 for value in clip.turn)
            film.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if clip.is_default:
            film.disposition = av.stream.Disposition.default
        packets = _encode(film.codec_context, film, clip)
        out.start_encoding()
        if sei is not None:
            packets = _oriented(packets, sei)
        numbers = [round(packet.pts * packet.time_base * clip.fps) for packet in packets]
        _stamp(packets, numbers, clip)
        if container.is_fragmented and len({packet.pts for packet in packets}) == 1 < len(packets):
            raise NotMade("FFmpeg's muxer writes an edit list that ends after the first fragment")
        packets = [_emptied(p) if n in clip.blank else p for p, n in zip(packets, numbers, strict=True)]
        sounds = _sound(sound, clip)
        kept = packets[clip.lost :]
        if not kept:
            raise NotMade("no packet is left")
        if clip.lost and not container.starts:  # or AVI's muxer puts a hole after the first packet
            _begin_at_0(kept)
        for packet in _in_order([*before, *after], kept, sounds):
            packet_stream = packet.stream if packet.stream is not None else film
            packet.stream = packet_stream
            out.mux_one(packet)
    return [
        Packet(number, packet_is_key)
        for number, packet_is_key in zip(numbers[clip.lost :], [p.is_keyframe for p in kept], strict=True)
    ]


def _set_up(encoder: av.VideoCodecContext, clip: Clip, size: tuple[int, int]) -> None:
    encoder.width, encoder.height = size
    encoder.pix_fmt = clip.pixels or clip.codec.pixels
    encoder.time_base = 1 / clip.fps
    encoder.framerate = clip.fps
    encoder.thread_count = 1
    options = clip.codec.options | clip.encoding
    encoder.options = options
    if "g" in options:
        encoder.gop_size = int(options["g"])
    if "bf" in options:
        encoder.max_b_frames = int(options["bf"])
    if "b" in options:
        encoder.bit_rate = int(options["b"])


def _encode(encoder, stream, clip):
    """Return the packets of all pictures, in their order of decoding, with the encoder's stamps."""
    half = clip.pictures // 2
    if clip.later_size is None:
        return _packets(encoder, stream, clip, range(clip.pictures), clip.shape)
    later = av.CodecContext.create(clip.codec.encoder, "w")
    _set_up(later, clip, clip.later_size)
    return [
        *_packets(encoder, stream, clip, range(half), clip.shape),
        *_packets(later, stream, clip, range(half, clip.pictures), clip.later_size),
    ]


def _packets(encoder, stream, clip, numbers, size):
    packets = []
    for number in numbers:
        frame = av.VideoFrame.from_ndarray(draw(number, size), "rgb24").reformat(format=encoder.pix_fmt)
        frame.pts, frame.time_base = number, 1 / clip.fps
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    for packet in packets:
        packet.stream = stream
    return packets


def _stamp(packets, numbers, clip):
    """Set the times. Decoding times are those of showing, in order, and as much earlier as the order demands."""
    tick = MPEG if clip.container.tick is not None else 1 / clip.fps
    depth = max(place - number for place, number in enumerate(numbers))
    first = min(numbers)
    shown = sorted(stamp for number in numbers if (stamp := clip.stamp_s(number)) is not None)
    later = dict(itertools.pairwise(shown))
    for place, (packet, number) in enumerate(zip(packets, numbers, strict=True)):
        shown_s = clip.stamp_s(number)
        decoded_s = clip.stamp_s(first + place - depth) if place >= depth else None
        if decoded_s is None:
            earliest_s = clip.stamp_s(first)
            decoded_s = (earliest_s or Fraction(0)) + (place - depth) / clip.fps
        packet.time_base = tick
        packet.pts = None if shown_s is None else round(shown_s / tick)
        packet.dts = round(decoded_s / tick)
        lasts_s = later.get(shown_s, 0) - shown_s if shown_s in later else 1 / clip.fps
        packet.duration = max(1, round(lasts_s / tick))


def _begin_at_0(packets):
    early = packets[0].dts
    for packet in packets:
        packet.dts -= early
        packet.pts = None if packet.pts is None else packet.pts - early


def _oriented(packets, turn):
    """Return H.264 packets with an orientation message: mirrored first, then turned anticlockwise (H.264, D.2.28)."""
    upright = draw(0, (64, 64))
    want = shown(upright, TURNS[turn][0])
    flip, quarters = next(
        (flip, quarters)
        for flip in (False, True)
        for quarters in range(4)
        if np.array_equal(np.rot90(upright[:, ::-1] if flip else upright, quarters), want)
    )
    result = []
    for packet in packets:
        if not packet.is_keyframe:  # the message applies until the next key frame
            result.append(packet)
            continue
        changed = av.Packet(oriented(bytes(packet), quarters, flip))
        for name in ("stream", "time_base", "pts", "dts", "duration", "is_keyframe"):
            setattr(changed, name, getattr(packet, name))
        result.append(changed)
    return result


def _emptied(packet):
    empty = av.Packet(0)
    empty.stream, empty.time_base, empty.pts, empty.dts = packet.stream, packet.time_base, packet.pts, packet.dts
    return empty


def _side_stream(out, kind):
    """Add a cover (an attached picture) or a still (a film of one picture), and return its packet."""
    is_cover = kind == "cover"
    stream = out.add_stream("mjpeg" if is_cover else "libx264", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p" if is_cover else "yuv420p"
    stream.codec_context.thread_count = 1
    if is_cover:
        stream.disposition = av.stream.Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), "rgb24").reformat(format=stream.pix_fmt)
    frame.pts, frame.time_base = 0, Fraction(1)
    (packet,) = [*stream.encode(frame), *stream.encode(None)]
    packet.stream = stream
    return packet


def _sound_stream(out, clip):
    stream = out.add_stream("mp2" if clip.container.suffix in ("mpg", "ts") else "aac", rate=SOUND_HZ)
    stream.layout = "mono"
    return stream


def _sound(stream, clip):
    if stream is None:
        return []
    packets = []
    size = 1152 if stream.codec_context.name == "mp2" else 1024
    for at in range(0, int(clip.sound_s * SOUND_HZ), size):
        samples = np.zeros((1, size), np.int16 if size == 1152 else np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="s16" if size == 1152 else "fltp", layout="mono")
        frame.sample_rate, frame.time_base = SOUND_HZ, Fraction(1, SOUND_HZ)
        frame.pts = int(clip.sound_from_s * SOUND_HZ) + at
        packets += stream.encode(frame)
    packets += stream.encode(None)
    early = min(packet.pts for packet in packets) - int(clip.sound_from_s * SOUND_HZ)
    for packet in packets:  # without the priming, which begins before 0 and would move the film
        packet.pts, packet.dts = packet.pts - early, packet.dts - early
    return packets


def _in_order(covers, film, sounds):
    """Interleave by decoding time, without disturbing the order within a track."""
    timed = [(float(packet.dts * packet.time_base), packet) for packet in sounds]
    merged = list(covers)
    for packet in film:
        while timed and timed[0][0] <= float(packet.dts * packet.time_base):
            merged.append(timed.pop(0)[1])
        merged.append(packet)
    return [*merged, *(packet for _, packet in timed)]
