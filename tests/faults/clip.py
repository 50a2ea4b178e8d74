"""The video that the fake camera serves: marked frames of one size, encoded as H.264 and split into RTP payloads."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np

from .marks import mark

FPS = 25
# A key frame every 0.2 s, so that tests do not wait for one. Real cameras send one per second or fewer.
KEY_EVERY = 5
# Largest payload of an RTP packet (RFC 6184) in bytes; with its headers, it fits into an Ethernet frame.
MAX_PAYLOAD = 1200


# How frames are encoded, by name: options of x264 that differ from the usual ones.
CODINGS = {
    "plain": {},
    "half-rate": {},  # every second frame only
    "decode-order": {"tune": "fastdecode", "bf": "2"},  # B frames, stamped with the times at which they are sent
    "intra-refresh": {"intra-refresh": "1"},  # a column of intra blocks that moves through the picture
    "silent-refresh": {"intra-refresh": "1"},  # the same without the messages that announce it
}


@functools.lru_cache(maxsize=16)
def encode(
    size: tuple[int, int],
    frames: int = 50,
    fps: int = FPS,
    key_every: int = KEY_EVERY,
    background: str | None = None,
    coding: str = "plain",
) -> list[list[bytes]]:
    """Encode marked frames as H.264; each key frame comes with its parameter sets.

    Args:
        size: width and height in pixels.
        frames: number of frames.
        fps: frames per second.
        key_every: distance between key frames, in frames.
        background: a video file on which the mark is drawn. None draws it on a moving texture.
        coding: one of CODINGS.

    Returns:
        For each frame, its H.264 units without start codes; none for a frame that is left out. With B frames, they are
        in the order in which they are decoded.
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), fps
    # With several threads, zerolatency would split each frame into slices.
    step = 2 if coding == "half-rate" else 1
    usual = {"preset": "ultrafast", "tune": "zerolatency", "g": str(key_every // step), "bf": "0", "threads": "1"}
    encoder.options = usual | CODINGS[coding]
    pictures: list[list[bytes]] = []
    images = _video(background, size) if background else _texture(size)
    for i in range(frames):
        image = next(images)
        if i % step:
            continue
        mark(image, i)
        frame = av.VideoFrame.from_ndarray(image, "bgr24")
        frame.pts = i
        for packet in encoder.encode(frame):
            pictures += [_units(packet, coding), *[[]] * (step - 1)]
    return pictures + [_units(packet, coding) for packet in encoder.encode(None)]


def _units(packet: av.Packet, coding: str) -> list[bytes]:
    units = re.split(b"\x00\x00\x00\x01|\x00\x00\x01", bytes(packet))
    # Without the messages (type 6) in which x264 describes itself (type 5 of these), because cameras send none.
    dropped = {5, 6} if coding == "silent-refresh" else {5}
    return [unit for unit in units if unit and not (_kind(unit) == 6 and unit[1] in dropped)]


def _texture(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield grey patches that move to the right, so that frames differ and key frames need several packets."""
    patches = np.random.default_rng(0).integers(64, 192, (size[1] // 8, size[0] // 8), np.uint8)
    still = cv2.cvtColor(cv2.resize(patches, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    i = 0
    while True:
        yield np.roll(still, 2 * i, axis=1)
        i += 1


def _video(path: str, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the frames of a video file in an endless loop."""
    while True:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="bgr24", width=size[0], height=size[1])


def _kind(unit: bytes) -> int:
    return unit[0] & 31


class Payload(NamedTuple):
    """The payload of one RTP packet, and whether it is the last of its frame."""

    data: bytes
    last: bool


def _payloads(units: list[bytes], largest: int) -> Iterator[Payload]:
    """Yield the RTP payloads of one frame (RFC 6184): whole units, or fragments (FU-A) of large ones."""
    for i, unit in enumerate(units):
        last = i == len(units) - 1
        if len(unit) <= largest:
            yield Payload(unit, last)
            continue
        body = unit[1:]
        for at in range(0, len(body), largest - 2):
            ends = at + largest - 2 >= len(body)
            flags = (0x80 if at == 0 else 0) | (0x40 if ends else 0) | _kind(unit)
            yield Payload(bytes([(unit[0] & 0xE0) | 28, flags]) + body[at : at + largest - 2], last and ends)


class Clip:
    """Encoded frames of one size in the order in which they are sent, with their RTP payloads."""

    def __init__(
        self,
        size: tuple[int, int],
        pictures: list[list[bytes]],
        largest_payload: int = MAX_PAYLOAD,
        ahead: Sequence[int] = (),
    ) -> None:
        self.size, self.pictures = size, pictures
        # By frame: how many frames after its turn to be sent it is shown. Empty: 0 for all.
        self.ahead = ahead
        self.payloads = [list(_payloads(units, largest_payload)) for units in pictures]
        self.parameter_sets = [unit for unit in pictures[0] if _kind(unit) in (7, 8)]


def stored(path: str, largest_payload: int = MAX_PAYLOAD) -> tuple[Clip, int, int]:
    """Read an H.264 video whose parameter sets are in the stream, to be served as it is.

    Returns:
        The clip, its frames per second, and the distance between its key frames, which must be the same everywhere.
    """
    with av.open(path) as container:
        track = container.streams.video[0]
        fps = round(track.guessed_rate)
        packets = [packet for packet in container.demux(track) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        key_every = keys[1] if len(keys) > 1 else len(packets)
        if keys != list(range(0, len(packets), key_every)) or len(packets) % key_every:
            raise ValueError(f"{path}: got key frames at {keys}, expected the same distance between all")
        shown = [round(float(packet.pts * packet.time_base) * fps) for packet in packets]
        ahead = [number - shown[0] - sent for sent, number in enumerate(shown)]
        pictures = [_units(packet, "plain") for packet in packets]
        return Clip((track.width, track.height), pictures, largest_payload, ahead), fps, key_every
