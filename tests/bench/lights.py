"""Scenes without people, for the false alarms of the motion gate: weather, lamps, cameras that shake, codecs.

Used by tests.bench.motion. Each takes a background, uint8 (HEIGHT, WIDTH), and yields pictures at the given times.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator

import av
import cv2
import numpy as np

from tests.bench.scenes import FPS, HEIGHT, WIDTH, Gray, Noise, night

Pictures = Iterator[tuple[Gray, float]]
Random = np.random.Generator
Times = Iterable[float]
DAY, NIGHT = 2.5, 6.0  # levels of brightness, standard deviation of the noise


def quiet(scene: Gray, rng: Random, times: Times, sigma: float = DAY) -> Pictures:
    noise = Noise(sigma, rng)
    for time_s in times:
        yield noise.add(scene.astype(np.int16)), time_s


def rain(scene: Gray, rng: Random, times: Times, sigma: float = DAY, drops: int = 120) -> Pictures:
    """Streaks of 10 to 45 pixels, about 120 per picture, with a contrast of 15 to 60."""
    noise = Noise(sigma, rng)
    for time_s in times:
        picture = scene.astype(np.int16)
        count = rng.poisson(drops * (1 + 0.5 * np.sin(time_s / 20)))
        for x, y in zip(rng.integers(0, WIDTH, count), rng.integers(-40, HEIGHT, count), strict=True):
            length = int(rng.integers(10, 45))
            picture[max(0, y) : max(0, y + length), x : x + (2 if length > 30 else 1)] += rng.integers(15, 60)
        yield noise.add(picture), time_s


def mains(scene: Gray, rng: Random, times: Times, rolls: bool = True) -> Pictures:
    """Lamps at 50 Hz (49.93), 6 % deep; a rolling shutter of 33 ms turns them into bands."""
    noise, rows_s = Noise(DAY, rng), np.arange(HEIGHT)[:, None] / HEIGHT / 30 * rolls
    for time_s in times:
        gain = 1 + 0.06 * np.sin(4 * np.pi * 49.93 * (time_s + rows_s))
        yield noise.add(np.rint(scene * gain).astype(np.int16)), time_s


def tree(scene: Gray, rng: Random, times: Times) -> Pictures:
    """A tree of about 240 x 300 pixels that moves by up to 6 pixels, with gusts."""
    noise = Noise(DAY, rng)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    leaves = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 4)
    cover = np.clip(1.5 - 1.5 * np.hypot((x - 200) / 120, (y - 200) / 150), 0, 1)
    still = (scene * (1 - cover) + (90 + 35 * leaves / leaves.std()) * cover).astype(np.float32)
    for t in times:
        gust = 0.4 + 0.6 * max(0, np.sin(2 * np.pi * t / 47 + 1)) ** 2 * (1 + 0.5 * np.sin(2 * np.pi * t / 11.3))
        dx = 4 * gust * cover * np.sin(2 * np.pi * 0.8 * t + x / 60 + y / 90)
        dy = 2.4 * gust * cover * np.sin(2 * np.pi * 1.1 * t + x / 40)
        moved = cv2.remap(still, (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_LINEAR)
        yield noise.add(np.rint(moved).astype(np.int16)), t


def shake(scene: Gray, rng: Random, times: Times) -> Pictures:
    """The camera shakes by up to 1 pixel for 10 s of each minute."""
    noise = Noise(DAY, rng)
    for time_s in times:
        dx, dy = rng.uniform(-1, 1, 2) * (time_s % 60 > 50)
        moved = cv2.warpAffine(scene, np.float32([[1, 0, dx], [0, 1, dy]]), (WIDTH, HEIGHT), borderMode=1)
        yield noise.add(moved.astype(np.int16)), time_s


def clock(scene: Gray, rng: Random, times: Times) -> Pictures:
    """The camera writes date and time into the picture, in digits of 18 pixels."""
    noise, where, font = Noise(DAY, rng), (12, 30), cv2.FONT_HERSHEY_SIMPLEX
    for time_s in times:
        s = int(time_s)
        text = f"2026-11-29 11:{s // 60 % 60:02}:{s % 60:02}"
        picture = cv2.putText(scene.copy(), text, where, font, 0.8, 0, 4)
        yield cv2.putText(noise.add(picture.astype(np.int16)), text, where, font, 0.8, 255, 2), time_s


def insects(scene: Gray, rng: Random, times: Times) -> Pictures:
    """Three insects of 8 pixels fly about in the infrared light, all the time."""
    noise, dark = Noise(NIGHT, rng), night(scene)
    at, speed = rng.uniform(0, 1, (3, 2)) * (WIDTH, HEIGHT), rng.normal(0, 250, (3, 2))
    for time_s in times:
        speed = 0.9 * speed + rng.normal(0, 120, (3, 2))
        at = (at + 0.12 * speed) % (WIDTH, HEIGHT)
        picture = dark.astype(np.int16)
        for x, y in at.astype(int).tolist():
            cv2.circle(picture, (x, y), 4, 180, -1)
        yield noise.add(picture), time_s


def exposure(scene: Gray, rng: Random, times: Times) -> Pictures:
    """The camera changes its exposure by 8 to 20 % every 30 s."""
    noise = Noise(DAY, rng)
    for time_s in times:
        gain = (1, 0.9, 1.08, 0.95, 1.15)[int(time_s / 30) % 5]
        yield noise.add(np.minimum(scene * gain, 255).astype(np.int16)), time_s


def clouds(scene: Gray, rng: Random, times: Times) -> Pictures:
    """The light of the whole scene changes by 30 % within 20 s."""
    noise = Noise(DAY, rng)
    for t in times:
        gain = 1 + 0.3 * np.sin(2 * np.pi * t / 40) * max(0, np.sin(2 * np.pi * t / 170))
        yield noise.add(np.minimum(scene * gain, 255).astype(np.int16)), t


def lightning(scene: Gray, rng: Random, times: Times) -> Pictures:
    """About seven flashes per minute, of 0.1 to 0.5 s."""
    noise, dark, left = Noise(NIGHT, rng), night(scene), 0
    for time_s in times:
        left = int(rng.integers(1, 5)) if rng.random() < 0.015 else max(0, left - 1)
        gain = 1 + 2.5 * rng.uniform(0.3, 1) * (left > 0)
        yield noise.add(np.minimum(dark * gain + 8 * (left > 0), 255).astype(np.int16)), time_s


def strobe(scene: Gray, rng: Random, times: Times) -> Pictures:
    """A lamp that flashes all the time."""
    noise = Noise(DAY, rng)
    for k, time_s in enumerate(times):
        yield noise.add(np.minimum(scene * (0.5 + 0.5 * (k % 4 == 0)), 255).astype(np.int16)), time_s


def lamp(scene: Gray, rng: Random, times: Times) -> Pictures:
    """A lamp lights half of the dark scene, switched every two minutes."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = scene * 0.5 * np.exp(-(((x - 380) / 300) ** 2) - ((y - 300) / 260) ** 2)
    noise, dark = Noise(4.0, rng), night(scene)
    for time_s in times:
        yield noise.add((dark + light * (int(time_s / 120) % 2)).astype(np.int16)), time_s


def infrared(scene: Gray, rng: Random, times: Times) -> Pictures:
    """The camera switches between day and infrared every two minutes."""
    day, dark = Noise(DAY, rng), Noise(NIGHT, rng)
    for time_s in times:
        is_night = int(time_s / 120) % 2
        yield (dark.add(night(scene).astype(np.int16)) if is_night else day.add(scene.astype(np.int16))), time_s


def door(scene: Gray, rng: Random, times: Times) -> Pictures:
    """A door of 60 x 120 pixels opens for 20 s every two minutes, onto a dark corridor."""
    noise = Noise(DAY, rng)
    for time_s in times:
        t, picture = time_s % 120, scene.astype(np.int16)
        width = round(60 * float(np.clip(min(t - 60, 82 - t) / 2, 0, 1)))
        picture[300:420, 400 : 400 + width] = 30
        yield noise.add(picture), time_s


def encoded(scene: Gray, rng: Random, times: Times, sigma: float = DAY, kbps: int = 150) -> Pictures:
    """A real x264 stream at 25 fps with a key frame each second, at a bit rate at which each of them can be seen."""
    wanted = {round(time_s * FPS) for time_s in times}
    noise, still, file = Noise(sigma, rng), scene.astype(np.int16), io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        options = {"preset": "veryfast", "tune": "zerolatency", "g": "25", "keyint_min": "25", "sc_threshold": "0"}
        limits = {"maxrate": f"{kbps}k", "bufsize": f"{kbps}k"}
        stream = out.add_stream("libx264", rate=25, options=options | limits)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", kbps * 1000
        for _ in range(max(wanted) + 1):
            frame = av.VideoFrame.from_ndarray(noise.add(still), "gray").reformat(format="yuv420p")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as read:
        for k, frame in enumerate(read.decode(video=0)):
            if k in wanted:
                rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
                yield rows[:HEIGHT, :WIDTH], k / FPS


SCENES: dict[str, Callable[[Gray, Random, Times], Pictures]] = {
    "nothing, day": quiet,
    "nothing, night": lambda scene, rng, times: quiet(night(scene), rng, times, NIGHT),
    "rain": rain,
    "rain, night": lambda scene, rng, times: rain(night(scene), rng, times, NIGHT),
    "50 Hz, bands": mains,
    "50 Hz, whole picture": lambda scene, rng, times: mains(scene, rng, times, False),
    "tree in the wind": tree,
    "camera shakes by 1 pixel": shake,
    "clock in the picture": clock,
    "three insects": insects,
    "exposure steps (120 per hour)": exposure,
    "clouds": clouds,
    "lightning (about 430 per hour)": lightning,
    "strobe lamp": strobe,
    "lamp switched (30 per hour)": lamp,
    "infrared switched (30 per hour)": infrared,
    "door (30 times per hour)": door,
    "x264 at 150 kbit/s, day": encoded,
    "x264 at 150 kbit/s, night": lambda scene, rng, times: encoded(night(scene), rng, times, NIGHT),
}
