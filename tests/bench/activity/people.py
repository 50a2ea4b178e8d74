"""People cut out of vtest.avi, who enter an empty street one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .clips import Image, Noise, frames_of, planes, street

SIZE = (768, 576)
FPS = 10
HEIGHTS = (40, 80, 200)
# Body heights per second: a stroll far away, and a brisk walk.
SPEEDS = (0.3, 0.9)
# An entry lasts this long (s), and the street is empty for as long as PAUSE_S before the next one.
WALK_S, PAUSE_S = 3.0, 4.0
# At night there is a third of the light, no colour, and more noise, which the encoder smears.
NIGHT_LIGHT, DAY_SIGMA, NIGHT_SIGMA = 0.35, 2.0, 6.0
# A person differs from the street by more than this (grey levels).
_CONTRAST = 22
# Cut-outs: people of this height in vtest.avi who stand apart from others and from the picture's edges.
_HEIGHTS = (75, 130)
_EDGE = 12


@dataclass(frozen=True)
class Person:
    """A cut-out: BGR and its opacity 0..1, float32 (h, w, 3) and (h, w)."""

    pixels: NDArray[np.float32]
    opacity: NDArray[np.float32]

    def scaled(self, height: int) -> Person:
        """Return the person at another height in pixels."""
        scale = height / len(self.opacity)
        size = max(1, round(self.opacity.shape[1] * scale)), height
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        return Person(*(np.asarray(cv2.resize(part, size, interpolation=how)) for part in (self.pixels, self.opacity)))

    def onto(self, image: Image, left: float, top: float) -> None:
        """Paste the person into an image, moved by fractions of a pixel; what is outside of the image is cut off."""
        x, y = int(np.floor(left)), int(np.floor(top))
        height, width = (side + 1 for side in self.opacity.shape)
        shift = np.float32([[1, 0, left - x], [0, 1, top - y]])
        parts = (self.pixels * self.opacity[..., None], self.opacity)
        pixels, opacity = (cv2.warpAffine(part, shift, (width, height)) for part in parts)
        right, bottom = (min(end, side) for end, side in zip((x + width, y + height), image.shape[1::-1], strict=True))
        x1, y1 = max(0, x), max(0, y)
        if x1 >= right or y1 >= bottom:
            return
        place, cut = np.s_[y1:bottom, x1:right], np.s_[y1 - y : bottom - y, x1 - x : right - x]
        image[place] = np.clip(image[place] * (1 - opacity[cut][..., None]) + pixels[cut], 0, 255)


@dataclass(frozen=True)
class Entry:
    """One person who enters.

    Args:
        first: the frame with the first of their pixels.
        height: of the person, in pixels.
        speed: in body heights per second.
        is_night: whether the clip is dark.
        boxes: float32 (F, 4), where they are in each frame from `first` on.
    """

    first: int
    height: int
    speed: float
    is_night: bool
    boxes: NDArray[np.float32]


def cut_outs(video: Path, most: int = 12) -> list[Person]:
    """Cut people out of a video of a camera that does not move."""
    seen = list(frames_of(video))
    empty = np.median(np.stack(seen[::20]), axis=0).astype(np.float32)
    found: list[Person] = []
    for image in seen[::25]:
        differs = (np.abs(image - empty).max(2) > _CONTRAST).astype(np.uint8)
        differs = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((9, 5), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(differs)
        for label, (x, y, w, h, area) in enumerate(stats[1:], 1):
            inside = min(x, y, SIZE[0] - x - w, SIZE[1] - y - h) >= _EDGE
            if inside and _HEIGHTS[0] <= h <= _HEIGHTS[1] and 0.3 * h <= w <= 0.55 * h and area > 0.45 * w * h:
                mask = (labels[y : y + h, x : x + w] == label).astype(np.float32)
                pixels = image[y : y + h, x : x + w].astype(np.float32)
                found.append(Person(pixels, cv2.GaussianBlur(mask, (0, 0), 0.8)))
    return found[:: max(1, len(found) // most)][:most]


def entries(people: Sequence[Person], number: int, is_night: bool, seed: int) -> tuple[list[Entry], Iterator[Image]]:
    """Return who enters, and the frames of the clip (yuv420p planes).

    Args:
        people: the cut-outs.
        number: how many entries; heights and speeds take turns.
        is_night: make the street dark.
        seed: of the random places.
    """
    rng = np.random.default_rng(seed)
    walking, pausing = round(WALK_S * FPS), round(PAUSE_S * FPS)
    plans: list[tuple[Entry, Person]] = []
    for k in range(number):
        height, speed = HEIGHTS[k % len(HEIGHTS)], SPEEDS[k // len(HEIGHTS) % len(SPEEDS)]
        person = people[int(rng.integers(len(people)))].scaled(height)
        width = person.opacity.shape[1]
        lefts = -width + (np.arange(walking) + 1) * speed * height / FPS  # comes in at the left edge
        if rng.random() < 0.5:
            lefts = SIZE[0] - width - lefts
        # Where people of this height stand in a street: the taller, the lower.
        top = float(np.clip(rng.normal(0.25 + height / 700, 0.08), 0.1, 0.6)) * SIZE[1]
        top = min(top, SIZE[1] - height - 4)
        boxes = np.stack([lefts, np.full(walking, top), lefts + width, np.full(walking, top + height)], 1)
        first = pausing + k * (walking + pausing)
        plans.append((Entry(first, height, speed, is_night, boxes.astype(np.float32)), person))
    return [entry for entry, _ in plans], _frames(plans, number * (walking + pausing), is_night, seed)


def _frames(plans: list[tuple[Entry, Person]], frames: int, is_night: bool, seed: int) -> Iterator[Image]:
    noise = Noise(SIZE, NIGHT_SIGMA if is_night else DAY_SIGMA, seed)
    empty = street(SIZE)
    shown = planes(_lit(empty, is_night))
    at = {entry.first + k: (entry, person, k) for entry, person in plans for k in range(len(entry.boxes))}
    for number in range(frames):
        if number not in at:
            yield noise.on(shown)
            continue
        entry, person, k = at[number]
        image = empty.copy()
        person.onto(image, *entry.boxes[k, :2])
        yield noise.on(planes(_lit(image, is_night)))


def _lit(image: Image, is_night: bool) -> Image:
    if not is_night:
        return image
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) * NIGHT_LIGHT + 8
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
