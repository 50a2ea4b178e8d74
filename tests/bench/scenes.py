"""Generated scenes for the motion gate: people cut from a real video who enter an empty picture, noise, and lights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
WIDTH, HEIGHT = 768, 576
FPS = 25.0


@dataclass
class Cut:
    """A person in one picture: brightness and coverage (0..1), float32 (h, w)."""

    luma: NDArray[np.float32]
    cover: NDArray[np.float32]


def luma_of(path: Path, count: int) -> list[Gray]:
    video = cv2.VideoCapture(str(path))
    found = []
    while len(found) < count and (read := video.read())[0]:
        found.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    return found


def background_of(pictures: list[Gray]) -> Gray:
    return np.median(pictures[:: max(1, len(pictures) // 40)], axis=0).astype(np.uint8)


def people_of(pictures: list[Gray], background: Gray, boxes: Path) -> dict[int, list[Cut]]:
    """Cut out everyone who stands alone, by track id, in the order of the frames."""
    rows = np.loadtxt(boxes, delimiter=",")
    found: dict[int, list[Cut]] = {}
    for number, picture in enumerate(pictures, 1):
        here = rows[rows[:, 0] == number]
        xyxy = np.hstack([here[:, 2:4] - 3, here[:, 2:4] + here[:, 4:6] + 3])
        for row, (x1, y1, x2, y2) in zip(here, xyxy.round().astype(int), strict=True):
            others = xyxy[here[:, 1] != row[1]]
            overlaps = (others[:, :2] < (x2, y2)) & (others[:, 2:] > (x1, y1))
            if overlaps.all(1).any() or x1 < 0 or y1 < 0 or x2 > WIDTH or y2 > HEIGHT:
                continue
            luma = picture[y1:y2, x1:x2]
            differs = (cv2.absdiff(luma, background[y1:y2, x1:x2]) > 32).astype(np.uint8)
            closed = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
            count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
            if count < 2:
                continue
            body = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            if body.mean() < 0.25:
                continue
            ys = np.flatnonzero(body.any(1))
            if ys[-1] - ys[0] < 0.85 * row[5]:
                continue
            cover = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.8)[ys[0] : ys[-1] + 1]
            found.setdefault(int(row[1]), []).append(Cut(luma[ys[0] : ys[-1] + 1].astype(np.float32), cover))
    return {number: cuts for number, cuts in found.items() if len(cuts) >= 12}


class Noise:
    """Sensor noise: a share of it is spread over neighbouring pixels, as cameras that denoise leave it."""

    def __init__(self, sigma: float, rng: np.random.Generator) -> None:
        size = (HEIGHT + 97, WIDTH + 131)
        self._tiles = []
        for _ in range(6):
            white = rng.normal(0, 1, size).astype(np.float32)
            wide = cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), 2.0)
            tile = 0.8 * white + 0.6 * wide / wide.std()
            self._tiles.append(np.round(sigma * tile).astype(np.int16))
        self._rng = rng

    def add(self, picture: NDArray[np.int16]) -> Gray:
        """Return uint8 (HEIGHT, WIDTH)."""
        tile = self._tiles[self._rng.integers(len(self._tiles))]
        y, x = self._rng.integers(97), self._rng.integers(131)
        return np.clip(cv2.add(picture, tile[y : y + HEIGHT, x : x + WIDTH]), 0, 255).astype(np.uint8)


def night(background: Gray) -> Gray:
    """Return the scene as an infrared camera sees it at night: dark, and brightest in the middle."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    lamp = 0.55 * np.exp(-(x**2 + y**2) / 0.8) + 0.18
    return (background * lamp).astype(np.uint8)


@dataclass
class Walk:
    """A person's way: the middle of the feet and the height (pixels) in each frame, and a door that hides them."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    height: NDArray[np.float64]
    door_x: float | None = None  # everything to the left of it is hidden
    from_right: bool = False


def walk(kind: str, height: float, heights_per_s: float, rng: np.random.Generator, max_s: float = 6.0) -> Walk:
    """Return a way into the picture. `kind`: edge, bottom, door or far."""
    count = int(max_s * FPS)
    t = np.arange(count) / FPS
    step = heights_per_s * height * t
    side = rng.random() < 0.5
    feet = rng.uniform(max(height + 8, 0.35 * HEIGHT), HEIGHT - 4)
    half = height * 0.3
    if kind == "edge":
        x = -half + step
        return Walk(x if side else WIDTH - x, np.full(count, feet), np.full(count, height))
    if kind == "bottom":
        x = np.full(count, rng.uniform(half, WIDTH - half))
        return Walk(x, HEIGHT + height - step, np.full(count, height))
    if kind == "door":
        door = rng.uniform(0.15, 0.7) * WIDTH
        return Walk(door - half + step, np.full(count, feet), np.full(count, height), door)
    if kind == "far":  # from a third of the height, towards the camera
        grows = height * np.minimum(1, 1 / 3 + t * (0.1 + 0.2 * heights_per_s))
        x = rng.uniform(0.2, 0.8) * WIDTH + (0.3 if side else -0.3) * step
        return Walk(x, np.minimum(feet, HEIGHT - 4) - (height - grows) * 0.5, grows)
    raise ValueError(kind)


def paint(
    scene: NDArray[np.int16],
    cut: Cut,
    x: float,
    y: float,
    height: float,
    strength: float,
    light: Gray | None,
    door_x: float | None,
) -> tuple[tuple[float, float, float, float] | None, float, float]:
    """Draw a person into int16 (H, W); returns the visible box, its share of the person and the mean contrast."""
    scale = height / cut.luma.shape[0]
    w, h = max(1, round(cut.luma.shape[1] * scale)), max(1, round(height))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # Sub-pixel shifts: slow people move by less than a pixel per frame.
    left, top = x - w / 2, y - h
    x1, y1 = math.floor(left), math.floor(top)
    shift = np.float32([[1, 0, left - x1], [0, 1, top - y1]])
    luma = cv2.warpAffine(
        cv2.resize(cut.luma, (w, h), interpolation=how), shift, (w + 1, h + 1), borderMode=cv2.BORDER_REPLICATE
    )
    cover = cv2.warpAffine(cv2.resize(cut.cover, (w, h), interpolation=how), shift, (w + 1, h + 1))
    total = float(cover.sum())
    a, b = max(0, x1), max(0, y1)
    c, d = min(WIDTH, x1 + w + 1), min(HEIGHT, y1 + h + 1)
    if door_x is not None:
        a = max(a, round(door_x))
    if a >= c or b >= d:
        return None, 0.0, 0.0
    part = np.s_[b - y1 : d - y1, a - x1 : c - x1]
    under = scene[b:d, a:c].astype(np.float32)
    own = luma[part] if light is None else luma[part] * light[b:d, a:c]
    own = under + strength * (own - under)
    mixed = under + cover[part] * (own - under)
    scene[b:d, a:c] = np.round(mixed)
    visible = float(cover[part].sum())
    contrast = float((np.abs(own - under) * cover[part]).sum() / max(1e-6, visible))
    return (a, b, c, d), visible / total, contrast
