"""Small video files that tests create with PyAV."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MS = Fraction(1, 1000)
COLOURS = {"r": (0, 0, 255), "g": (0, 255, 0), "b": (255, 0, 0), "w": (255, 255, 255)}  # BGR


def shade(i: int) -> int:
    """Return the grey value of frame i, by which the frames of a clip can be told apart after lossy coding."""
    return 20 + 10 * (i % 20)


def write_clip(
    path: Path,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    fps: int = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts_ms: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames of one grey value each (`shade(i)`). A brighter top left quarter shows which way is up."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = MS
        if codec == "libx264":
            # One packet per frame (no B-frames, no look-ahead), so a truncated file loses only the frames cut off.
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0"}
        for i in range(frames):
            image = np.full((size[1], size[0], 3), shade(i), np.uint8)
            image[: size[1] // 2, : size[0] // 2] += 30
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = (pts_ms[i] if pts_ms else i * 1000 // fps), MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_noise(path: Path, frames: int = 40, size: tuple[int, int] = (160, 120), fps: int = 10) -> Path:
    """Write frames that don't compress, with the index first, so that the file is readable after truncation."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": "5"}
        for _ in range(frames):
            image = rng.integers(0, 255, (size[1], size[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write a file that has only an audio track."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, degrees: int) -> Path:
    """Write a rotation into the track header of an MP4 file, like a phone that is held upright."""
    assert degrees == 90
    return set_matrix(path, (0, 1, -1, 0))


def set_matrix(path: Path, abcd: tuple[float, float, float, float]) -> Path:
    """Write a display matrix into the track header of an MP4 or MOV file: a, b, c and d of ISO 14496-12, 8.3.2.

    It starts at byte 40 of the content of a version 0 tkhd.
    """
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * (1 << 16)) for value in abcd)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_corners(
    path: Path, codec: str = "libx264", pix_fmt: str = "yuv420p", frames: int = 3, gop: int = 12, b_frames: int = 0
) -> Path:
    """Write frames of 64x48 whose corners are red, green, blue and white: `corners` reads them as `rgbw`."""
    image = np.empty((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = COLOURS.values()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    return path


def oriented(packet: bytes, quarters: int, flip: bool = False) -> bytes:
    """Return an H.264 key frame (Annex B) with a display orientation message: quarter turns, anticlockwise (D.1.27)."""
    # Not cancelled, flipped left and right, not up and down; 16 bits of turn; it persists (010); no extension; the end.
    bits = flip << 22 | quarters << 14 + 5 | 0b01001
    message = b"\0\0\1\x06\x2f\x03" + bits.to_bytes(3, "big") + b"\x80"
    at = packet.index(b"\0\0\1\x65")
    return packet[:at] + message + packet[at:]


def corners(image: np.ndarray) -> str:
    """Return the initials of the colours of the corners: top left, top right, bottom left, bottom right."""
    pixels = image[[2, 2, -3, -3], [2, -3, 2, -3]].astype(int)
    return "".join(min(COLOURS, key=lambda name: np.abs(pixel - COLOURS[name]).sum()) for pixel in pixels)
