"""The scenes that the benchmark's cameras show, as H.264 files for tests.faults.fakecam."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

# Pedestrians in front of a camera that does not move; absent outside of our own machines, then a street is drawn.
VTEST = Path(__file__).parents[4] / "shared" / "data" / "video" / "vtest.avi"
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Coding:
    """How a camera encodes.

    Args:
        size: width and height in pixels.
        fps: frames per second.
        mbit: megabits per second.
        b_frames: B-frames between two others.
        key_s: distance of key frames in seconds.
    """

    size: tuple[int, int]
    fps: int
    mbit: float
    b_frames: int = 0
    key_s: float = 1.0

    def write(self, images: Iterable[Image], path: Path) -> Path:
        """Encode images (BGR or uint8 planes in yuv420p) into a file. Their number must be whole groups of pictures."""
        # Matroska would move the parameter sets out of the stream.
        with av.open(str(path), "w", format="mpegts") as container:
            track = container.add_stream("libx264", rate=self.fps)
            track.width, track.height, track.pix_fmt = *self.size, "yuv420p"
            track.bit_rate, track.time_base = round(self.mbit * 1e6), Fraction(1, self.fps)
            # Whole frames, as most cameras send. PyAV's default would cut them into slices, one for each core.
            track.codec_context.thread_type = "FRAME"
            rate = f"{round(self.mbit * 1000)}k"
            key_every = str(round(self.key_s * self.fps))
            track.options = {
                "preset": "veryfast",
                "bf": str(self.b_frames),
                "b-adapt": "0",
                "b-pyramid": "none",
                "g": key_every,
                "keyint_min": key_every,
                "sc_threshold": "0",
                "maxrate": rate,
                "bufsize": rate,
            }
            for number, image in enumerate(images):
                kind = "bgr24" if image.ndim == 3 else "yuv420p"
                frame = av.VideoFrame.from_ndarray(image, kind)
                frame.pts, frame.time_base = number, Fraction(1, self.fps)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        return path


def street(size: tuple[int, int]) -> Image:
    """Return a street without people, uint8 (H, W, 3), BGR: the median of vtest.avi, or drawn if that is missing."""
    still = _median(VTEST) if VTEST.exists() else _drawn()
    return np.asarray(cv2.resize(still, size, interpolation=cv2.INTER_CUBIC))


def vtest() -> Path:
    """Return the path of vtest.avi; end the program if it is missing."""
    if not VTEST.exists():
        raise SystemExit(f"activity: {VTEST} is missing; put OpenCV's sample video vtest.avi there")
    return VTEST


def source_of_street() -> str:
    """Return where `street` comes from, for a table."""
    return "the median of vtest.avi" if VTEST.exists() else "a drawn street (vtest.avi is missing)"


@functools.cache
def _median(path: Path, pictures: int = 40) -> Image:
    seen = list(frames_of(path))
    return np.median(np.stack(seen[:: max(1, len(seen) // pictures)]), axis=0).astype(np.uint8)


def frames_of(path: Path) -> Iterator[Image]:
    """Yield the frames of a video, uint8 (H, W, 3), BGR."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def _drawn() -> Image:
    """Draw houses, a pavement and a road, with the texture of stone and asphalt."""
    rng = np.random.default_rng(0)
    image = np.full((576, 768, 3), (150, 150, 145), np.uint8)
    image[330:] = (100, 102, 104)
    for left in range(0, 768, 96):
        cv2.rectangle(image, (left + 20, 60), (left + 70, 250), (90, 80, 70), -1)
        cv2.line(image, (left, 330), (left - 120, 576), (170, 170, 170), 3)
    texture = cv2.GaussianBlur(rng.normal(0, 30, image.shape[:2]).astype(np.float32), (0, 0), 1.5)
    return np.clip(image + 3 * texture[..., None], 0, 255).astype(np.uint8)


def planes(image: Image) -> Image:
    """Return an image as yuv420p planes: uint8 (3 H / 2, W)."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420))


class Noise:
    """A sensor's noise in the brightness, other in each frame.

    Args:
        size: width and height in pixels.
        sigma: its standard deviation in grey levels.
        seed: of the random numbers.
    """

    def __init__(self, size: tuple[int, int], sigma: float, seed: int = 0) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        # Cut out of a larger field at a random place, because drawing 2 million numbers per frame takes a minute.
        shape = size[1] + 256, size[0] + 256
        self._field = np.round(self._rng.normal(0, sigma, shape)).astype(np.int16)

    def on(self, picture: Image) -> Image:
        """Return yuv420p planes with noise."""
        (width, height), (y, x) = self._size, self._rng.integers(0, 256, 2)
        noisy = picture.copy()
        noise = self._field[y : y + height, x : x + width]
        noisy[:height] = np.clip(picture[:height] + noise, 0, 255)
        return noisy


def still(image: Image, frames: int, sigma: float = 2.0) -> Iterator[Image]:
    """Yield one image again and again, with noise."""
    noise, picture = Noise(image.shape[1::-1], sigma), planes(image)
    for _ in range(frames):
        yield noise.on(picture)
