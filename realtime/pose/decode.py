"""Heatmaps -> keypoints: the place of each heatmap's peak to a fraction of a pixel, and its way back into the frame.

Used by pose.vitpose, after the network. The logarithm of a Gaussian is a parabola, so one Newton step from the highest
pixel of the blurred map lands on its centre (DARK: Zhang et al., "Distribution-Aware Coordinate Representation for
Human Pose Estimation", CVPR 2020, in the unbiased coordinates of UDP: Huang et al., CVPR 2020). Follows
`post_dark_udp` of mmpose 0.x (mmpose/core/evaluation/top_down_eval.py) and `post_dark_unbiased_data_processing` of
transformers 5.23 (image_processing_vitpose.py), but blurs only what the step looks at, for all people at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The blur's kernel has 11 taps whatever its sigma, in mmpose and in Hugging Face.
_RADIUS = 5
# Keeps the logarithm finite; mmpose's limits.
_LOWEST, _HIGHEST = 0.001, 50.0
# On the Hessian's diagonal, so that a flat neighbourhood makes no step. mmpose's.
_EPSILON = float(np.finfo(np.float32).eps)
# A longer step than to the end of the blur's reach is no correction: there was no parabola to fit. Noisy bumps make
# steps of up to 2.2; the references have no limit, and leave the crop where the map is no bump at all.
_LONGEST_STEP_PX = float(_RADIUS)


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
    maps = heatmaps.reshape(people * keypoints, height, width)
    flat = maps.reshape(people * keypoints, height * width)
    y, x = np.divmod(flat.argmax(axis=1), width)
    heights = flat.max(axis=1)
    with np.errstate(all="ignore"):  # NaN and infinity come out as "no peak" or "no step"
        found = np.isfinite(heights) & (heights > 0) & (heights > flat.min(axis=1))
        places = np.stack((x, y), axis=1) + _newton_step(_log_around(maps, x, y, sigma))
    middle = np.array(((width - 1) / 2, (height - 1) / 2))
    places = np.where(found[:, np.newaxis], places, middle)
    scores = np.where(found, np.clip(heights, 0, 1), 0)
    return (
        places.astype(np.float32).reshape(people, keypoints, 2),
        scores.astype(np.float32).reshape(people, keypoints),
    )


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


def _log_around(
    maps: NDArray[np.float32], x: NDArray[np.intp], y: NDArray[np.intp], sigma: float
) -> NDArray[np.float64]:
    """The logarithm of the blurred maps at each peak and its eight neighbours.

    Args:
        maps: float32 (M, h, w).
        x: int (M,), column of the peak in each; likewise y, its row.
        sigma: of the blur, pixels.

    Returns:
        float64 (M, 3, 3), rows then columns; [:, 1, 1] is the peak.
    """
    # The references blur the whole map, mirrored, and repeat its border for neighbours outside. A mirrored map is just
    # as mirrored after the blur, so the first line outside is the border's own: blurring the patch is the same.
    reach = np.arange(-_RADIUS - 1, _RADIUS + 2)
    rows = _mirror(y[:, np.newaxis] + reach, maps.shape[1])
    columns = _mirror(x[:, np.newaxis] + reach, maps.shape[2])
    patches = maps[np.arange(len(maps))[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis], columns[:, np.newaxis]]
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / sigma) ** 2)
    taps /= taps.sum()
    shifted = np.stack([np.pad(taps, (i, 2 - i)) for i in range(3)])  # (3, 13): left of, at and right of the peak
    blurred = patches.reshape(-1, len(reach) ** 2).astype(np.float64) @ np.kron(shifted, shifted).T
    return np.asarray(np.log(np.clip(blurred, _LOWEST, _HIGHEST)).reshape(-1, 3, 3))


def _newton_step(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the middle of 3x3 neighbourhoods to the extremum of the parabola through them.

    Args:
        z: float64 (M, 3, 3), rows then columns.

    Returns:
        float64 (M, 2) x, y in pixels; zero where there is no such place within reach.
    """
    middle, left, right, above, below = z[:, 1, 1], z[:, 1, 0], z[:, 1, 2], z[:, 0, 1], z[:, 2, 1]
    dx, dy = (right - left) / 2, (below - above) / 2
    dxx = right - 2 * middle + left + _EPSILON
    dyy = below - 2 * middle + above + _EPSILON
    dxy = (z[:, 2, 2] - right - below + 2 * middle - left - above + z[:, 0, 0]) / 2
    step = np.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), axis=1) / (dxx * dyy - dxy**2)[:, np.newaxis]
    near = np.hypot(step[:, 0], step[:, 1]) <= _LONGEST_STEP_PX  # False for NaN
    return np.where(near[:, np.newaxis], step, 0.0)


def _mirror(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices beyond 0..length - 1 as the pixels they show in a mirror at the border: c b a | a b c | c b a."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
