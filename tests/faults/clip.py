"""Marked pictures of one size, coded with H.264 and cut into RTP payloads: what the fake camera shows."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np

from .marks import mark

FPS = 25
# A key frame five times a second: tests need not wait for one. Real cameras have one a second or less.
KEY_EVERY = 5
# RFC 6184: what a packet may carry so that it fits an Ethernet frame, with room for the headers.
MAX_PAYLOAD = 1200


@functools.lru_cache(maxsize=16)
def encode(
    size: tuple[int, int], frames: int = 50, fps: int = FPS, key_every: int = KEY_EVERY, background: str | None = None
) -> list[list[bytes]]:
    """Marked pictures as lists of H.264 units without start codes; parameter sets come with each key frame.

    Args:
        size: width and height.
        background: a video file to draw the mark on; without one a texture that moves.
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), fps
    # One thread: with several, zerolatency cuts each picture into slices.
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(key_every), "bf": "0", "threads": "1"}
    pictures = []
    images = _video(background, size) if background else _texture(size)
    for i in range(frames):
        image = next(images)
        mark(image, i)
        for packet in encoder.encode(av.VideoFrame.from_ndarray(image, "bgr24")):
            units = re.split(b"\x00\x00\x00\x01|\x00\x00\x01", bytes(packet))
            # Not the notes that x264 leaves about itself (kind 6): cameras have none.
            pictures.append([unit for unit in units if unit and _kind(unit) != 6])
    return pictures


def _texture(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Patches of grey that move to the right, so that pictures differ and key frames need several packets."""
    patches = np.random.default_rng(0).integers(64, 192, (size[1] // 8, size[0] // 8), np.uint8)
    still = cv2.cvtColor(cv2.resize(patches, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)
    i = 0
    while True:
        yield np.roll(still, 2 * i, axis=1)
        i += 1


def _video(path: str, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The pictures of a file, over and over."""
    while True:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="bgr24", width=size[0], height=size[1])


def _kind(unit: bytes) -> int:
    return unit[0] & 31


class Payload(NamedTuple):
    """What one RTP packet carries, and whether it is the last of its picture."""

    data: bytes
    last: bool


def _payloads(units: list[bytes]) -> Iterator[Payload]:
    """RTP payloads of one picture, RFC 6184: units whole, or in fragments (FU-A)."""
    for i, unit in enumerate(units):
        last = i == len(units) - 1
        if len(unit) <= MAX_PAYLOAD:
            yield Payload(unit, last)
            continue
        body = unit[1:]
        for at in range(0, len(body), MAX_PAYLOAD - 2):
            ends = at + MAX_PAYLOAD - 2 >= len(body)
            flags = (0x80 if at == 0 else 0) | (0x40 if ends else 0) | _kind(unit)
            yield Payload(bytes([(unit[0] & 0xE0) | 28, flags]) + body[at : at + MAX_PAYLOAD - 2], last and ends)


class Clip:
    """Pictures of one size, ready to be sent."""

    def __init__(self, size: tuple[int, int], pictures: list[list[bytes]]) -> None:
        self.size, self.pictures = size, pictures
        self.payloads = [list(_payloads(units)) for units in pictures]
        self.parameter_sets = [unit for unit in pictures[0] if _kind(unit) in (7, 8)]
