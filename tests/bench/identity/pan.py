"""A camera that moves: the view of a still camera, cropped along a path. Its ground truth is that of the whole picture.

The view is VIEW of the picture's width and height, and moves within it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realtime.evaluate.tracking.mot import XYWH, MotSequence
from realtime.types import Detections

from .measure import Clip

# The top left corner of the view, float64 (2,), by frame number.
Corners = dict[int, NDArray[np.float64]]

VIEW = 0.7  # the part of the picture's width and of its height that the view has
LEAST_VISIBLE = 0.3  # a box of which less is in the view is left out
# How the view moves.
MOTIONS = {
    "still": "does not move",
    "slow pan": "swings across the picture in 10 s, and back",
    "fast pan": "swings across the picture in 2 s, and back",
    "shake": "trembles: 1 % of the width (standard deviation) in each frame",
    "jerk": "jumps to another place every 2 s, at random",
}


def path(motion: str, times_s: NDArray[np.float64], room: tuple[float, float], seed: int) -> NDArray[np.float64]:
    """Return where the top left corner of the view is at these times, float64 (N, 2), in pixels.

    Args:
        motion: a key of MOTIONS.
        times_s: the times of the frames, ascending, float64 (N,).
        room: how far the view can move to the right and down.
        seed: of what is random.
    """
    random, limits = np.random.default_rng(seed), np.array(room)
    middle = np.broadcast_to(limits / 2, (len(times_s), 2))
    if motion == "still":
        return middle
    if motion == "shake":
        width = limits[0] * VIEW / (1 - VIEW)
        return np.clip(middle + random.normal(0, 0.01 * width, (len(times_s), 2)), 0, limits)
    if motion == "jerk":
        stay = (times_s // 2).astype(int)
        return random.uniform(0, limits, (stay.max() + 1, 2))[stay]
    crossing_s = {"slow pan": 10.0, "fast pan": 2.0}[motion]
    across = (1 - np.cos(np.pi * times_s / crossing_s)) / 2  # it slows down before it turns, as a motor does
    return np.column_stack([across * limits[0], middle[:, 1]])


def view_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height of the view of a picture of this size."""
    return round(VIEW * size[0]), round(VIEW * size[1])


def corners_of(
    size: tuple[int, int], motion: str, numbers: list[int], times_s: NDArray[np.float64], seed: int = 0
) -> Corners:
    """Return the top left corner of the view in each frame.

    Args:
        size: width and height of the whole picture.
        motion: a key of MOTIONS.
        numbers: the numbers of the frames.
        times_s: their times, float64 (N,).
        seed: of what is random.
    """
    view = view_of(size)
    corners = path(motion, times_s - times_s[0], (size[0] - view[0], size[1] - view[1]), seed).round()
    return dict(zip(numbers, corners, strict=True))


def cropped(
    xyxy: NDArray[np.float64], corner: NDArray[np.float64], view: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return boxes in coordinates of the view, cut off at its border, and which of them are in it."""
    moved = xyxy - np.tile(corner, 2)
    cut = np.clip(moved, 0, np.tile(view, 2))
    area = (moved[:, 2:] - moved[:, :2]).prod(1)
    return cut, (cut[:, 2:] - cut[:, :2]).prod(1) > LEAST_VISIBLE * area


def moving(clip: Clip, motion: str, seed: int = 0) -> Clip:
    """Return the clip as a camera with this motion would see it, with its given detections."""
    size = clip.sequence.size
    assert size is not None, clip.name
    numbers = [item.frame.index + 1 for item in clip.detections]
    times_s = np.array([item.frame.time_s for item in clip.detections])
    corners = corners_of(size, motion, numbers, times_s, seed)
    view = view_of(size)
    image = np.zeros((view[1], view[0], 3), np.uint8)
    moved = []
    for item in clip.detections:
        cut, is_in = cropped(item.xyxy.astype(np.float64), corners[item.frame.index + 1], view)
        frame = replace(item.frame, image=image)
        moved.append(Detections(frame, cut[is_in].astype(np.float32), item.scores[is_in]))
    return Clip(moving_truth(clip.sequence, corners), moved)


def moving_truth(sequence: MotSequence, corners: Corners) -> MotSequence:
    """Return the sequence with its ground truth in coordinates of the view, without people outside of it."""
    assert sequence.size is not None, sequence.name
    view = view_of(sequence.size)
    truth = {}
    for number, corner in corners.items():
        rows = sequence.truth.get(number)
        if rows is None:
            continue
        xywh = rows[:, XYWH]
        cut, is_in = cropped(np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]), corner, view)
        truth[number] = rows[is_in].copy()
        truth[number][:, XYWH] = np.hstack([cut[:, :2], cut[:, 2:] - cut[:, :2]])[is_in]
    return replace(sequence, truth=truth, size=view)
