"""A made crowd: people who walk about a square, with their true boxes, and boxes as a detector would give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realtime.evaluate.tracking.mot import MotSequence
from realtime.types import Detections, Frame

from .measure import Clip

SIZE = (1920, 1080)
RATE_HZ = 30.0
_SPEED_MPS, _TURN_S = 1.3, 4.0  # mean walking speed; people choose another direction after this time on average
_SQUARE_M = (10.0, 24.0)  # width and depth; the camera stands 8 m before it and 5 m high
_NEAR_M, _CAMERA_M, _FOCAL_PX, _HORIZON_PX = 8.0, 5.0, 1400.0, 100.0
_TALL_M, _WIDE = (1.5, 1.9), 0.35  # heights; width of a box in parts of its height
_JITTER = 0.02  # standard deviation of each side of a detected box, in parts of the height
_MISSED, _COVERED = 0.05, 0.65  # share of people missed at random; a person of whom more is covered is missed


def crowd(people: int = 50, seconds: float = 20.0, seed: int = 0) -> Clip:
    """Make a clip of this many people, who stay in the square.

    The camera is level and has a horizon, so those who are far away are small and near each other. People are missed if
    those before them cover them, and at random. The score falls with the covered part.
    """
    random = np.random.default_rng(seed)
    place = random.uniform(0, _SQUARE_M, (people, 2))
    tall = random.uniform(*_TALL_M, people)
    speed = random.uniform(0.6, 1.4, people) * _SPEED_MPS
    angle = random.uniform(0, 2 * np.pi, people)
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    truth, detections = {}, []
    for k in range(round(seconds * RATE_HZ)):
        turns = random.random(people) < 1 / (RATE_HZ * _TURN_S)
        angle[turns] = random.uniform(0, 2 * np.pi, int(turns.sum()))
        place += (speed / RATE_HZ)[:, np.newaxis] * np.column_stack([np.cos(angle), np.sin(angle)])
        beyond = (place < 0) | (place > _SQUARE_M)
        angle = np.where(beyond[:, 0], np.pi - angle, np.where(beyond[:, 1], -angle, angle))
        place = np.clip(place, 0, _SQUARE_M)
        xyxy = _boxes(place, tall)
        rows = np.ones((people, 9))
        rows[:, 0], rows[:, 1] = k + 1, np.arange(1, people + 1)
        rows[:, 2:6] = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
        truth[k + 1] = rows
        covered = _covered(xyxy, place[:, 1])
        found = (covered <= _COVERED) & (random.random(people) >= _MISSED)
        jitter = random.normal(0, _JITTER, (people, 4)) * (xyxy[:, 3:] - xyxy[:, 1:2])
        scores = np.clip(0.95 - 0.6 * covered + random.normal(0, 0.05, people), 0.05, 0.99)
        frame = Frame("crowd", 0, k, image, k / RATE_HZ, 0, 0)
        detections.append(
            Detections(frame, (xyxy + jitter)[found].astype(np.float32), scores[found].astype(np.float32))
        )
    sequence = MotSequence(
        "crowd", Path(), range(1, len(detections) + 1), RATE_HZ, SIZE, Path(), truth, has_classes=False
    )
    return Clip(sequence, detections)


def _boxes(place: np.ndarray, tall: np.ndarray) -> np.ndarray:
    """Project people who stand at these places onto the picture: float64 (N, 4)."""
    scale = _FOCAL_PX / (_NEAR_M + place[:, 1])  # px per metre
    middle = SIZE[0] / 2 + (place[:, 0] - _SQUARE_M[0] / 2) * scale
    foot = _HORIZON_PX + _CAMERA_M * scale
    half = _WIDE * tall * scale / 2
    return np.column_stack([middle - half, foot - tall * scale, middle + half, foot])


def _covered(xyxy: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The part of each box that the one person before it who covers it most covers: float64 (N,)."""
    low, high = np.maximum(xyxy[:, np.newaxis, :2], xyxy[:, :2]), np.minimum(xyxy[:, np.newaxis, 2:], xyxy[:, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    share = shared / (xyxy[:, 2:] - xyxy[:, :2]).prod(1)[:, np.newaxis]
    return np.where(depth[np.newaxis] < depth[:, np.newaxis], share, 0.0).max(1)
