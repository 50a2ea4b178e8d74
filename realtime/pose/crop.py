"""Crops: each person's box cut out of the frame and resampled to the size of a pose model's input.

Used by pose.vitpose and pose.yolo_pose. The geometry is unbiased (UDP: Huang et al., "The Devil is in the Details",
CVPR 2020): the centres of the crop's corner pixels lie on the corners of a window in the frame, so that pixel i of n
samples the frame at center - scale / 2 + i * scale / (n - 1), and pose.decode.to_frame undoes it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# How much a window is wider than its box: what ViTPose was trained with.
_PADDING = np.float32(1.25)
# Hugging Face counts scales in these units. Kept because it rounds to float32 there.
_SCALE_UNIT_PX = 200.0
# A box without area would give a window without one, which nothing can be divided by.
_SMALLEST_SIDE_PX = 1e-3


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


def crop(
    image: NDArray[np.uint8],
    center: NDArray[np.float32],
    scale: NDArray[np.float32],
    out: NDArray[np.uint8],
    outside: int = 0,
) -> None:
    """Resample a window of the frame, bilinearly.

    Follows the Hugging Face processor (scipy.ndimage.affine_transform, order 1, mode constant) within one grey level:
    a sample is looked up whole or not at all, so one that lies outside the pixel centres of the frame is `outside`,
    not a blend with it; values round half up.

    Args:
        image: uint8 (H, W, 3), any order of colours.
        center: float32 (2,) x, y of the window's middle, pixels of the frame.
        scale: float32 (2,) width and height of the window, pixels of the frame, > 0.
        out: uint8 (h, w, 3), written here.
        outside: the grey of samples outside the frame, 0..255.
    """
    image_height, image_width = image.shape[:2]
    out_height, out_width = out.shape[:2]
    columns, x = _samples(center[0], scale[0], out_width, image_width)
    rows, y = _samples(center[1], scale[1], out_height, image_height)
    out[...] = outside
    if not len(x) or not len(y):
        return
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, image_width - 1), np.minimum(top + 1, image_height - 1)
    # Axis by axis, because the window is never rotated: first along the rows that are needed, then between them.
    band = image[np.concatenate((top, bottom)), left[0] : right[-1] + 1]
    lines = _mix(band[:, left - left[0]], band[:, right - left[0]], (x - left)[:, np.newaxis])
    values = _mix(lines[: len(y)], lines[len(y) :], (y - top)[:, np.newaxis, np.newaxis])
    out[rows, columns] = values + np.float32(0.5)  # truncated to uint8: rounds half up


def crop_people(
    images: Sequence[NDArray[np.uint8]],
    owners: NDArray[np.intp],
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
    outside: int = 0,
) -> NDArray[np.uint8]:
    """The crops of people in several frames, in one batch.

    Args:
        images: uint8 (H, W, 3) each, sizes may differ.
        owners: int (P,), the index of each person's frame in `images`.
        centers: float32 (P, 2), as in `crop`; likewise scales.
        size: width and height of the crops in pixels.
        outside: as in `crop`.

    Returns:
        uint8 (P, h, w, 3), the order of colours of the images.
    """
    crops = np.empty((len(owners), size[1], size[0], 3), np.uint8)
    for owner, center, scale, out in zip(owners, centers, scales, crops, strict=True):
        crop(images[owner], center, scale, out, outside)
    return crops


def _samples(center: np.float32, scale: np.float32, count: int, length: int) -> tuple[slice, NDArray[np.float64]]:
    """Where the crop's pixels lie along one axis of the frame, for those that lie in it.

    Rounds where Hugging Face does (`get_warp_matrix` keeps the inverse map in float32): on a window that ends at the
    frame's very border, the last bit decides whether a whole line of samples counts as outside.

    Args:
        center: of the window along this axis, pixels of the frame.
        scale: length of the window, pixels of the frame.
        count: pixels of the crop along this axis.
        length: pixels of the frame along this axis.

    Returns:
        Which pixels of the crop lie in the frame, and their places, float64, rising, within 0..length - 1.
    """
    crop_per_frame = (count - 1) / np.float64(scale)
    shift = np.float64(np.float32(crop_per_frame * (np.float32(0.5) * scale - center)))
    frame_per_crop = 1.0 / np.float64(np.float32(crop_per_frame))
    places = np.arange(count) * frame_per_crop - shift * frame_per_crop
    inside = np.flatnonzero((places >= 0) & (places <= length - 1))
    if not len(inside):
        return slice(0, 0), places[:0]
    found = slice(int(inside[0]), int(inside[-1]) + 1)
    return found, places[found]


def _mix(
    first: NDArray[np.uint8] | NDArray[np.float32],
    second: NDArray[np.uint8] | NDArray[np.float32],
    share: NDArray[np.float64],
) -> NDArray[np.float32]:
    """`first` where share is 0, `second` where it is 1."""
    mixed = second.astype(np.float32)
    mixed -= first
    mixed *= share.astype(np.float32)
    mixed += first
    return mixed
