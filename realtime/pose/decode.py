"""Heatmaps -> keypoints: the peak of each heatmap to a fraction of a pixel, and its position in the frame.

Used by pose.engine, after the network; pose.decode_on_device takes the same steps on a GPU. The logarithm of a
Gaussian is a parabola, so one Newton step on the logarithm of the blurred map, from the map's highest pixel,
lands on the peak (DARK: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation",
CVPR 2020, in the unbiased coordinates of UDP: Huang et al., CVPR 2020). Follows `post_dark_udp` of mmpose 0.x
(mmpose/core/evaluation/top_down_eval.py) and `post_dark_unbiased_data_processing` of transformers 5.23
(image_processing_vitpose.py), but blurs only the pixels that the step needs.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from realtime.skeleton import CROP_PER_HEATMAP, Geometry

# The blur's kernel has 11 taps for every sigma, as in mmpose and in Hugging Face.
RADIUS = 5
# The blurred map is clipped to these limits, which keeps its logarithm finite; mmpose's values.
LOWEST, HIGHEST = 0.001, 50.0
# Added to the Hessian's diagonal, so that a flat neighbourhood yields no step; mmpose's value.
EPSILON = float(np.finfo(np.float32).eps)
# A step beyond the blur's reach is dropped, because the map then has no parabola to fit. Noisy peaks produce steps of
# up to 2.2 px. The references have no limit, and their keypoint leaves the crop if the map has no bump.
LONGEST_STEP_PX = float(RADIUS)


def decode(heatmaps: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Locate the peak of every heatmap.

    Args:
        heatmaps: float32 (P, K, h, w), each with a bump of height <= 1 at its keypoint.
        sigma: standard deviation of the Gaussian blur before the step, in heatmap pixels: 2.0 as in mmpose
            (cv2.GaussianBlur, 11x11, sigma 0), 0.8 as in Hugging Face. The map is mirrored beyond its border, as in
            scipy. OpenCV, and therefore mmpose, mirrors without repeating the border pixel; the difference shows on
            peaks less than 6 pixels from the border.

    Returns:
        Keypoints float32 (P, K, 2) x, y in heatmap pixels, always finite, and scores float32 (P, K), the height of the
        peak, 0..1. A map without a peak (flat, nowhere positive, NaN or infinite) yields the middle of the map and
        score 0.

    Example:
        >>> rows, columns = np.mgrid[:32, :24]
        >>> bump = np.exp(-((columns - 10.3) ** 2 + (rows - 15.8) ** 2) / 8).astype(np.float32)
        >>> keypoints, scores = decode(bump[np.newaxis, np.newaxis], sigma=2.0)
        >>> keypoints.round(2), scores.round(2)
        (array([[[10.3, 15.8]]], dtype=float32), array([[0.98]], dtype=float32))
    """
    people, keypoints, height, width = heatmaps.shape
    maps = np.ascontiguousarray(heatmaps).reshape(people * keypoints, height, width)
    places, scores = _peaks(maps, sigma)
    return places.reshape(people, keypoints, 2), scores.reshape(people, keypoints)


def to_frame(
    keypoints: NDArray[np.float32],
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
    geometry: Geometry = "udp",
) -> NDArray[np.float32]:
    """Map keypoints from heatmap pixels to the frame: the inverse of pose.crop.

    With `udp`, the first and the last pixel of the heatmap lie on those of the crop. With `plain`, a pixel of the
    heatmap is CROP_PER_HEATMAP pixels of the crop (`transform_preds` of mmpose 0.x, with and without use_udp).

    Args:
        keypoints: float32 (P, K, 2) x, y, pixels of the heatmap.
        centers: float32 (P, 2) x, y of the centres of the windows, pixels of the frame.
        scales: float32 (P, 2) width and height of the windows, pixels of the frame.
        size: width and height of the heatmap in pixels.
        geometry: with which the network was trained.

    Returns:
        float32 (P, K, 2) x, y, pixels of the frame.

    Example:
        >>> middle, corner = (23.5, 31.5), (0, 0)
        >>> center, scale = np.array([[25, 70]], np.float32), np.array([[90, 120]], np.float32)
        >>> to_frame(np.array([[middle, corner]], np.float32), center, scale, (48, 64)).tolist()
        [[[25.0, 70.0], [-20.0, 10.0]]]
    """
    corners = centers - scales / 2
    last = np.array(size, np.float32) - 1
    if geometry == "plain":  # the crop's last pixel, in pixels of the heatmap
        last = np.array(size, np.float32) - np.float32(1 / CROP_PER_HEATMAP)
    steps = scales / last
    return np.asarray(keypoints * steps[:, np.newaxis] + corners[:, np.newaxis], np.float32)


@functools.cache
def gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the taps of the blur, float64 (11,) with sum 1; sigma is in pixels.

    Example:
        >>> gaussian(0.8)[3:8].round(3).tolist()
        [0.022, 0.228, 0.499, 0.228, 0.022]
    """
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


@functools.cache
def around(length: int) -> NDArray[np.int64]:
    """Return the pixels that the blur of each pixel and of its two neighbours needs, along one axis.

    The references blur the whole map, mirrored at its border, and repeat the border pixel for neighbours outside the
    map. A mirrored map is still mirrored after the blur, so its first line outside equals the border line. Blurring
    only the patch around a peak therefore has the same result.

    Args:
        length: length of the heatmap along this axis, in pixels.

    Returns:
        int64 (length, 13): for each pixel the indices from 6 before it to 6 after it, mirrored at the border
        (b a | a b c).

    Example:
        >>> around(20)[2].tolist()
        [3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    """
    index = (np.arange(length)[:, np.newaxis] + np.arange(-RADIUS - 1, RADIUS + 2)) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _peaks(maps: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Step from the highest pixel of each map, float32 (M, h, w), to its peak.

    Returns:
        x, y in heatmap pixels, float32 (M, 2), and the heights, float32 (M,), 0..1, as `decode` describes them.
    """
    count, height, width = maps.shape
    every = np.arange(count)
    highest = maps.reshape(count, height * width).argmax(axis=1)
    y, x = np.divmod(highest, width)
    heights = maps[every, y, x]
    is_peak = (heights > 0) & (heights < np.inf)
    # argmax returns the first of equal pixels, so a map can only be flat if its first pixel is the highest.
    corners = np.flatnonzero(highest == 0)
    is_peak[corners] &= maps[corners].min(axis=(1, 2)) < heights[corners]
    rows, columns = around(height)[y], around(width)[x]
    with np.errstate(all="ignore"):  # infinite and NaN pixels are allowed; a step that isn't finite is dropped
        steps = _steps(_blurred(maps[every[:, None, None], rows[:, :, None], columns[:, None, :]], sigma))
        is_short = np.square(steps).sum(axis=1) <= LONGEST_STEP_PX**2
    places = np.stack((x, y), axis=1) + np.where(is_short[:, None], steps, 0.0)
    places[~is_peak] = (width - 1) / 2, (height - 1) / 2
    return places.astype(np.float32), np.where(is_peak, np.minimum(heights, 1), np.float32(0))


def _blurred(patches: NDArray[np.float32], sigma: float) -> NDArray[np.float64]:
    """Blur patches of float32 (M, 13, 13), and return the nine pixels in the middle of each, float64 (M, 3, 3)."""
    lines, blurred = np.zeros((len(patches), 3, patches.shape[2])), np.zeros((len(patches), 3, 3))
    for i, tap in enumerate(gaussian(sigma)):
        lines += tap * patches[:, i : i + 3]
    for i, tap in enumerate(gaussian(sigma)):
        blurred += tap * lines[:, :, i : i + 3]
    return blurred


def _steps(blurred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the steps x, y, float64 (M, 2), from the middle of float64 (M, 3, 3); not finite if there is none."""
    z = np.log(np.clip(blurred, LOWEST, HIGHEST)).transpose(1, 2, 0)
    dx, dy = (z[1, 2] - z[1, 0]) / 2, (z[2, 1] - z[0, 1]) / 2
    dxx = z[1, 2] - 2 * z[1, 1] + z[1, 0] + EPSILON
    dyy = z[2, 1] - 2 * z[1, 1] + z[0, 1] + EPSILON
    dxy = (z[2, 2] - z[1, 2] - z[2, 1] + 2 * z[1, 1] - z[1, 0] - z[0, 1] + z[0, 0]) / 2
    determinant = dxx * dyy - dxy * dxy
    return np.stack(((dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant), axis=1)
