"""Crops: each person's box cut out of the frame and resampled to the size of a pose model's input.

Used by pose.engine and pose.yolo_pose; pose.on_device resamples at the same places on a GPU. The geometry is unbiased
(UDP: Huang et al., "The Devil is in the Details", CVPR 2020): the centres of the crop's corner pixels lie on the
corners of a window in the frame, so that pixel i of n samples the frame at center - scale / 2 + i * scale / (n - 1),
and pose.decode.to_frame undoes it exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.runtime.native import compile_loops

# How much a window is wider than its box: what ViTPose was trained with.
_PADDING = np.float32(1.25)
# Hugging Face counts scales in these units. Kept because it rounds to float32 there.
_SCALE_UNIT_PX = 200.0
# A box without area would give a window without one, which nothing can be divided by.
_SMALLEST_SIDE_PX = 1e-3
# Instead of a share: this line of the crop lies outside the frame.
OUTSIDE = np.float32(-1)


class Crowd(NamedTuple):
    """P people in B frames, and the windows of the frames that show them."""

    images: Sequence[NDArray[np.uint8]]  # B of (H, W, 3) BGR, sizes may differ
    owners: NDArray[np.intp]  # (P,), the index of each person's frame, never falling
    centers: NDArray[np.float32]  # (P, 2), of `windows`
    scales: NDArray[np.float32]  # (P, 2), of `windows`

    def part(self, people: slice) -> Crowd:
        """Some of the people."""
        return Crowd(self.images, self.owners[people], self.centers[people], self.scales[people])


class Places(NamedTuple):
    """Where the pixels of P crops lie in their frames, axis by axis, because a window is never rotated.

    A pixel of the crop is (1 - share) x the frame's pixel `first` + share x the next one, along both axes.
    """

    columns: NDArray[np.int32]  # (P, w), the column of the frame at or left of each column of the crop
    column_shares: NDArray[np.float32]  # (P, w), 0..1 of the column right of it, OUTSIDE where there is nothing
    rows: NDArray[np.int32]  # (P, h), likewise the row at or above
    row_shares: NDArray[np.float32]  # (P, h)

    def of(self, person: int) -> tuple[NDArray[Any], ...]:
        """One crop's part: (w,), (w,), (h,), (h,)."""
        return self.columns[person], self.column_shares[person], self.rows[person], self.row_shares[person]


def windows(xyxy: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The parts of the frame that the crops of these boxes show.

    The box is widened or heightened to the crop's aspect ratio and padded by a quarter. Equal to
    `box_to_center_and_scale` of transformers/models/vitpose/image_processing_vitpose.py (5.23) for the same box as
    COCO xywh, to the bit, except that the scale is in pixels and not in 200 of them.

    Args:
        xyxy: float32 (P, 4) boxes x1 y1 x2 y2, pixels of the frame; may lie outside it.
        size: width and height of the crops in pixels.

    Returns:
        Centers float32 (P, 2) x, y and scales float32 (P, 2) width, height, both in pixels of the frame.
    """
    corners = xyxy.astype(np.float64)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], _SMALLEST_SIDE_PX)
    centers = (corners[:, :2] + sides * 0.5).astype(np.float32)
    aspect = size[0] / size[1]
    too_wide = sides[:, 0] > aspect * sides[:, 1]
    widths = np.where(too_wide, sides[:, 0], sides[:, 1] * aspect)
    heights = np.where(too_wide, sides[:, 0] / aspect, sides[:, 1])
    scales = (np.stack((widths, heights), axis=1) / _SCALE_UNIT_PX).astype(np.float32) * _PADDING
    return centers, scales * np.float32(_SCALE_UNIT_PX)


def places(
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
    frame_sizes: NDArray[np.intp],
) -> Places:
    """Where to resample each person's frame.

    Args:
        centers: float32 (P, 2) x, y of the windows' middles, pixels of the frame; likewise scales, their sides, > 0.
        scales: see centers.
        size: width and height of the crops in pixels.
        frame_sizes: int (P, 2), width and height of each person's frame in pixels.

    Returns:
        The places of all pixels of the crops.
    """
    columns = _along(centers[:, 0], scales[:, 0], size[0], frame_sizes[:, 0])
    rows = _along(centers[:, 1], scales[:, 1], size[1], frame_sizes[:, 1])
    return Places(*columns, *rows)


def crop_people(
    images: Sequence[NDArray[np.uint8]],
    owners: NDArray[np.intp],
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
    outside: int = 0,
) -> NDArray[np.uint8]:
    """The crops of people in several frames, resampled bilinearly, in one batch.

    Follows the Hugging Face processor (scipy.ndimage.affine_transform, order 1, mode constant) within one grey level:
    a sample is looked up whole or not at all, so one that lies outside the pixel centres of the frame is `outside`,
    not a blend with it; values round half up.

    Args:
        images: uint8 (H, W, 3) each, any order of colours; sizes may differ.
        owners: int (P,), the index of each person's frame in `images`.
        centers: float32 (P, 2) x, y of the windows' middles, pixels of the frame; likewise scales, their sides, > 0.
        scales: see centers.
        size: width and height of the crops in pixels.
        outside: the grey of samples outside the frame, 0..255.

    Returns:
        uint8 (P, h, w, 3), the order of colours of the images.
    """
    crops = np.empty((len(owners), size[1], size[0], 3), np.uint8)
    if len(owners):
        where = places(centers, scales, size, sizes_of(images)[owners])
        resample = _resampler()
        for person, owner in enumerate(owners):
            resample(np.ascontiguousarray(images[owner]), *where.of(person), np.uint8(outside), crops[person])
    return crops


def sizes_of(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.intp]:
    """Width and height of each image (H, W, 3), int (B, 2)."""
    return np.array([image.shape[1::-1] for image in images], np.intp).reshape(-1, 2)


def _along(
    centers: NDArray[np.float32], scales: NDArray[np.float32], count: int, lengths: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Where the crops' pixels lie along one axis of their frames.

    Rounds where Hugging Face does (`get_warp_matrix` keeps the inverse map in float32): on a window that ends at the
    frame's very border, the last bit decides whether a whole line of samples counts as outside.

    Args:
        centers: (P,) of the windows along this axis, pixels of the frame; likewise scales, their lengths.
        scales: see centers.
        count: pixels of the crops along this axis.
        lengths: (P,) pixels of the frames along this axis.

    Returns:
        The pixel at or before each place, int32 (P, count), 0..length - 1; and how much of the next one counts,
        float32 (P, count), OUTSIDE for places outside 0..length - 1.
    """
    crop_per_frame = (count - 1) / scales.astype(np.float64)
    shifts = (crop_per_frame * (np.float32(0.5) * scales - centers)).astype(np.float32).astype(np.float64)
    frame_per_crop = 1.0 / crop_per_frame.astype(np.float32).astype(np.float64)
    found = np.arange(count) * frame_per_crop[:, np.newaxis] - (shifts * frame_per_crop)[:, np.newaxis]
    last = (lengths - 1)[:, np.newaxis]
    inside = (found >= 0) & (found <= last)
    before = np.floor(np.where(inside, found, 0.0))
    return before.astype(np.int32), np.where(inside, found - before, OUTSIDE).astype(np.float32)


@functools.cache
def _resampler() -> Callable[..., None]:
    axis = "const int32[:]", "const float32[:]"
    return compile_loops(_resample, "const uint8[:, :, :]", *axis, *axis, "uint8", "uint8[:, :, :]")


def _resample(
    image: NDArray[np.uint8],
    columns: NDArray[np.int32],
    column_shares: NDArray[np.float32],
    rows: NDArray[np.int32],
    row_shares: NDArray[np.float32],
    outside: np.uint8,
    out: NDArray[np.uint8],
) -> None:
    """One crop: loops for runtime.native.

    Between the rows first: that runs along memory, in vector instructions. Then along each row, which gathers.
    """
    height, width = out.shape[0], out.shape[1]
    begin, end = 0, width
    while begin < width and column_shares[begin] < 0:
        begin += 1
    while end > begin and column_shares[end - 1] < 0:
        end -= 1
    if begin == end:
        out[:] = outside
        return
    left = columns[begin]
    right = min(columns[end - 1] + 1, image.shape[1] - 1)
    line = np.empty(3 * (right - left + 1), np.float32)
    for y in range(height):
        share = row_shares[y]
        if share < 0:
            out[y] = outside
            continue
        upper = image[rows[y], left : right + 1].reshape(-1)
        lower = image[min(rows[y] + 1, image.shape[0] - 1), left : right + 1].reshape(-1)
        for i in range(len(line)):
            value = np.float32(upper[i])
            line[i] = value + (np.float32(lower[i]) - value) * share
        out[y, :begin] = outside
        out[y, end:] = outside
        for x in range(begin, end):
            here = 3 * (columns[x] - left)
            there = 3 * (min(columns[x] + 1, right) - left)
            for channel in range(3):
                value = line[here + channel]
                value += (line[there + channel] - value) * column_shares[x]
                out[y, x, channel] = np.uint8(value + np.float32(0.5))  # truncated: rounds half up
