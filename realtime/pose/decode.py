"""Heatmaps -> keypoints: the place of each heatmap's peak to a fraction of a pixel, and its way back into the frame.

Used by pose.engine, after the network; pose.on_device takes the same steps on a GPU. The logarithm of a Gaussian is a
parabola, so one Newton step from the highest pixel of the blurred map lands on its centre (DARK: Zhang et al.,
"Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020, in the unbiased coordinates of UDP:
Huang et al., CVPR 2020). Follows `post_dark_udp` of mmpose 0.x (mmpose/core/evaluation/top_down_eval.py) and
`post_dark_unbiased_data_processing` of transformers 5.23 (image_processing_vitpose.py), but blurs only what the step
looks at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realtime.runtime.native import compile_loops

# The blur's kernel has 11 taps whatever its sigma, in mmpose and in Hugging Face.
RADIUS = 5
# Keeps the logarithm finite; mmpose's limits.
LOWEST, HIGHEST = 0.001, 50.0
# On the Hessian's diagonal, so that a flat neighbourhood makes no step. mmpose's.
EPSILON = float(np.finfo(np.float32).eps)
# A longer step than to the end of the blur's reach is no correction: there was no parabola to fit. Noisy bumps make
# steps of up to 2.2; the references have no limit, and leave the crop where the map is no bump at all.
LONGEST_STEP_PX = float(RADIUS)


def decode(heatmaps: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The peak of every heatmap.

    Args:
        heatmaps: float32 (P, K, h, w), a bump of height <= 1 where the keypoint is.
        sigma: of the Gaussian blur before the step, in heatmap pixels: 2.0 as published (cv2.GaussianBlur(11, 0)), 0.8
            as Hugging Face decodes. The map is mirrored beyond its border, as in scipy; OpenCV, so mmpose, does not
            repeat the border pixel there, which shows on peaks nearer than 6 pixels to it.

    Returns:
        Keypoints float32 (P, K, 2) x, y in heatmap pixels, always finite, and scores float32 (P, K), the height of the
        peak, 0..1. A map without a peak (flat, nowhere positive, NaN or infinite) gives the middle of the crop and 0.
    """
    people, keypoints, height, width = heatmaps.shape
    maps = np.ascontiguousarray(heatmaps).reshape(people * keypoints, height, width)
    places, scores = np.empty((len(maps), 2), np.float32), np.empty(len(maps), np.float32)
    # Numpy finds the highest in vector instructions; a compiled loop would not.
    highest = maps.reshape(len(maps), height * width).argmax(axis=1)
    _refiner()(maps, highest, gaussian(sigma), around(height), around(width), places, scores)
    return places.reshape(people, keypoints, 2), scores.reshape(people, keypoints)


def to_frame(
    keypoints: NDArray[np.float32],
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Keypoints from heatmap pixels to the frame: undoes pose.crop.

    Args:
        keypoints: float32 (P, K, 2) x, y, pixels of the heatmap.
        centers: float32 (P, 2), of the windows, pixels of the frame; likewise scales.
        size: width and height of the heatmap in pixels.

    Returns:
        float32 (P, K, 2), pixels of the frame.
    """
    corners = centers - scales / 2
    steps = scales / (np.array(size, np.float32) - 1)
    return np.asarray(keypoints * steps[:, np.newaxis] + corners[:, np.newaxis], np.float32)


@functools.cache
def gaussian(sigma: float) -> NDArray[np.float64]:
    """The taps of the blur, float64 (11,); sigma in pixels."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


@functools.cache
def around(length: int) -> NDArray[np.int64]:
    """What the blurs of a peak and of its neighbours look at, along one axis.

    The references blur the whole map, mirrored, and repeat its border for neighbours outside. A mirrored map is just as
    mirrored after the blur, so the first line outside is the border's own: blurring the patch is the same.

    Args:
        length: of the heatmap along this axis, pixels.

    Returns:
        int64 (length, 13): for each pixel those from 6 before to 6 after it, in a mirror at the border: b a | a b c.
    """
    index = (np.arange(length)[:, np.newaxis] + np.arange(-RADIUS - 1, RADIUS + 2)) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


@functools.cache
def _refiner() -> Callable[..., None]:
    tables = "const float64[:]", "const int64[:, :]", "const int64[:, :]"
    return compile_loops(_refine, "const float32[:, :, :]", "const int64[:]", *tables, "float32[:, :]", "float32[:]")


def _refine(
    maps: NDArray[np.float32],
    highest: NDArray[np.int64],
    taps: NDArray[np.float64],
    rows_around: NDArray[np.int64],
    columns_around: NDArray[np.int64],
    places: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """From each map's highest pixel to its peak: loops for runtime.native.

    Args:
        maps: float32 (M, h, w).
        highest: int64 (M,), the index of the highest pixel of each, by rows.
        taps: of `gaussian`.
        rows_around: of `around`, for h; likewise columns_around, for w.
        columns_around: see rows_around.
        places: float32 (M, 2), written here: x, y.
        scores: float32 (M,), written here.
    """
    count, height, width = maps.shape
    reach = len(taps) + 2
    lines = np.empty((3, reach))
    z = np.empty((3, 3))
    for m in range(count):
        y, x = highest[m] // width, highest[m] % width
        peak = maps[m, y, x]
        # Of equals argmax takes the first: only a map whose first pixel is its highest can be flat.
        if not 0 < peak < np.inf or (highest[m] == 0 and maps[m].min() == peak):
            places[m, 0], places[m, 1], scores[m] = (width - 1) / 2, (height - 1) / 2, 0
            continue
        lines[:] = 0
        for i in range(reach):
            row = maps[m, rows_around[y, i]]
            for neighbour in range(3):
                if 0 <= i - neighbour < len(taps):
                    for j in range(reach):
                        lines[neighbour, j] += taps[i - neighbour] * row[columns_around[x, j]]
        for i in range(3):
            for j in range(3):
                blurred = 0.0
                for k in range(len(taps)):
                    blurred += taps[k] * lines[i, j + k]
                z[i, j] = np.log(min(max(blurred, LOWEST), HIGHEST))
        dx, dy = (z[1, 2] - z[1, 0]) / 2, (z[2, 1] - z[0, 1]) / 2
        dxx = z[1, 2] - 2 * z[1, 1] + z[1, 0] + EPSILON
        dyy = z[2, 1] - 2 * z[1, 1] + z[0, 1] + EPSILON
        dxy = (z[2, 2] - z[1, 2] - z[2, 1] + 2 * z[1, 1] - z[1, 0] - z[0, 1] + z[0, 0]) / 2
        determinant = dxx * dyy - dxy * dxy
        step_x, step_y = 0.0, 0.0
        if determinant != 0:
            step_x, step_y = (dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant
        if not step_x * step_x + step_y * step_y <= LONGEST_STEP_PX**2:  # NaN is no step either
            step_x, step_y = 0.0, 0.0
        places[m, 0], places[m, 1], scores[m] = x + step_x, y + step_y, min(peak, 1)
