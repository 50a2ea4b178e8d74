"""Cartoon places and people that walk through them, with their exact keypoints: pictures without photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (1280, 720)
Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]

# COCO-17 in units of a person's height: across (positive is the person's left), and up from the feet.
_ACROSS = [0, 0.02, -0.02, 0.045, -0.045, 0.11, -0.11, 0.14, -0.14, 0.15, -0.15, 0.07, -0.07, 0.07, -0.07, 0.07, -0.07]
_UP = [0.92, 0.94, 0.94, 0.93, 0.93, 0.81, 0.81, 0.63, 0.63, 0.47, 0.47, 0.50, 0.50, 0.27, 0.27, 0.03, 0.03]
_LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
_STRIDE = 0.16  # how far a foot swings, in heights
_SHIRTS: list[Colour] = [(176, 122, 62), (92, 108, 190), (110, 150, 92), (80, 80, 96), (70, 150, 200), (150, 100, 140)]


@dataclass(frozen=True)
class Walker:
    """Someone who walks to and fro: `at` gives the keypoints of a moment."""

    id: int
    path: tuple[float, float]  # from and to, in frame widths
    ground: float  # where the feet are, in frame heights
    height: float  # in frame heights
    period_s: float
    phase: float

    def at(self, t_s: float) -> Points:
        """Return x, y (pixels of SIZE) and scores, (17, 3)."""
        turn = (t_s / self.period_s + self.phase) % 1
        forth = turn < 0.5
        along = 2 * turn if forth else 2 - 2 * turn
        x0 = (self.path[0] + (self.path[1] - self.path[0]) * along) * SIZE[0]
        side = 1 if forth == (self.path[1] > self.path[0]) else -1
        tall = self.height * SIZE[1]
        swing = math.sin(2 * math.pi * (t_s * 0.9 + self.phase * 7))
        across, up = np.array(_ACROSS) * 0.6, np.array(_UP)
        for joint, part in ((9, -1.0), (7, -0.5), (15, 1.0), (13, 0.45)):
            across[joint] += side * _STRIDE * part * swing
            across[joint + 1] -= side * _STRIDE * part * swing
        up[15] += 0.04 * max(0.0, swing)
        up[16] += 0.04 * max(0.0, -swing)
        up += 0.008 * abs(swing)
        across[0] += side * 0.025
        points = np.empty((17, 3))
        points[:, 0] = x0 + across * tall
        points[:, 1] = self.ground * SIZE[1] - up * tall
        points[:, 2] = 0.93
        points[[3 if side > 0 else 4], 2] = 0.15  # the ear on the far side
        return points


def walkers(seed: int, people: int, first_id: int) -> list[Walker]:
    """Return the people of one place."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(people):
        depth = (i + 0.5) / max(people, 1)
        left, right = 0.08 + 0.1 * random.random(), 0.82 + 0.1 * random.random()
        made.append(
            Walker(
                id=first_id + i,
                path=(left, right) if i % 2 else (right, left),
                ground=0.72 + 0.24 * depth,
                height=0.36 + 0.24 * depth,
                period_s=14 + 6 * random.random(),
                phase=(0.17 + 0.29 * i + 0.13 * seed) % 1,
            )
        )
    return made


def box(points: Points) -> list[float]:
    """Return the box around someone, with room for head and feet."""
    (x1, y1), (x2, y2) = points[:, :2].min(0), points[:, :2].max(0)
    margin = 0.06 * (y2 - y1)
    return [round(float(v), 1) for v in (x1 - 1.4 * margin, y1 - margin, x2 + 1.4 * margin, y2 + margin)]


@lru_cache(maxsize=64)
def place(seed: int) -> Image:
    """Draw a place without people: a wall or a sky, a floor, and some things."""
    wide, high = SIZE
    random = np.random.default_rng(seed)
    hue = (seed * 47) % 180
    image = np.empty((high, wide, 3), np.uint8)
    horizon = int(high * 0.58)
    image[:horizon] = _gradient(horizon, _tone(hue, 60, 205), _tone(hue, 45, 165))
    image[horizon:] = _gradient(high - horizon, _tone(hue + 90, 30, 120), _tone(hue + 90, 40, 84))
    for k in range(-7, 8):  # the joints of the floor run to one point
        cv2.line(
            image, (wide // 2 + k * 60, horizon), (wide // 2 + k * 330, high), _tone(hue + 90, 35, 104), 2, cv2.LINE_AA
        )
    cv2.rectangle(image, (0, horizon - 12), (wide, horizon), _tone(hue, 60, 120), -1)
    if seed % 3 == 0:  # windows
        for x in range(110, wide - 200, 290):
            cv2.rectangle(image, (x, 90), (x + 190, 300), _tone(hue, 30, 238), -1)
            cv2.rectangle(image, (x, 90), (x + 190, 300), _tone(hue, 70, 120), 8)
            cv2.line(image, (x + 95, 90), (x + 95, 300), _tone(hue, 70, 120), 6)
    elif seed % 3 == 1:  # a door and a picture
        x = int(random.integers(150, 800))
        cv2.rectangle(image, (x, 130), (x + 190, horizon), _tone(hue + 160, 120, 110), -1)
        cv2.circle(image, (x + 165, 290), 10, (210, 220, 230), -1, cv2.LINE_AA)
        cv2.rectangle(image, (x + 290, 130), (x + 430, 240), _tone(hue + 60, 90, 190), -1)
        cv2.rectangle(image, (x + 290, 130), (x + 430, 240), (60, 60, 60), 6)
    else:  # trees
        for x in range(90, wide, 260):
            cv2.rectangle(image, (x - 12, 260), (x + 12, horizon + 4), (52, 74, 96), -1)
            cv2.circle(image, (x, 220), 88, _tone(58 + seed % 20, 110, 118), -1, cv2.LINE_AA)
            cv2.circle(image, (x + 40, 260), 62, _tone(58 + seed % 20, 110, 104), -1, cv2.LINE_AA)
    return image


def picture(seed: int, people: list[tuple[int, Points]], width: int, idle: bool = False) -> bytes:
    """Draw a place with its people, as a JPEG of this width. A dim one if it is night."""
    scale = width / SIZE[0]
    image = _scaled(seed, width).copy()
    if idle:
        image //= 2
    for id_, points in people:
        _person(image, points * (scale, scale, 1), _SHIRTS[id_ % len(_SHIRTS)])
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


@lru_cache(maxsize=128)
def _scaled(seed: int, width: int) -> Image:
    return cv2.resize(place(seed), (width, width * SIZE[1] // SIZE[0]), interpolation=cv2.INTER_AREA)


def _person(image: Image, points: Points, shirt: Colour) -> None:
    at = [(round(x), round(y)) for x, y, _ in points]
    tall = points[15:17, 1].max() - points[0, 1]
    trousers: Colour = (shirt[1] // 2, shirt[0] // 2, shirt[2] // 2)
    skin = (140, 170, 214)
    cv2.ellipse(
        image,
        (at[15][0] // 2 + at[16][0] // 2, max(at[15][1], at[16][1]) + 2),
        (int(tall * 0.2), int(tall * 0.035)),
        0,
        0,
        360,
        (40, 44, 48),
        -1,
        cv2.LINE_AA,
    )
    for a, b in _LIMBS:
        thick = max(2, int(tall * (0.085 if a >= 11 else 0.06)))
        cv2.line(image, at[a], at[b], trousers if a >= 11 else shirt, thick, cv2.LINE_AA)
    body = np.array([at[5], at[6], at[12], at[11]])
    cv2.fillConvexPoly(image, body, shirt, cv2.LINE_AA)
    cv2.polylines(image, [body], True, shirt, max(2, int(tall * 0.1)), cv2.LINE_AA)
    cv2.circle(image, at[0], max(2, int(tall * 0.075)), skin, -1, cv2.LINE_AA)
    cv2.ellipse(
        image,
        (at[0][0], at[0][1] - int(tall * 0.025)),
        (max(2, int(tall * 0.078)), max(2, int(tall * 0.055))),
        0,
        180,
        360,
        (40, 48, 60),
        -1,
        cv2.LINE_AA,
    )


def _gradient(rows: int, top: Colour, bottom: Colour) -> NDArray[np.uint8]:
    part = np.linspace(0, 1, rows)[:, None, None]
    return (np.array(top) * (1 - part) + np.array(bottom) * part).astype(np.uint8)


def _tone(hue: int, saturation: int, value: int) -> Colour:
    pixel = cv2.cvtColor(np.array([[[hue % 180, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])
