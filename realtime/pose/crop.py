"""Crops: each person's box cut out of the frame and resampled to the input size of a pose model.

Used by pose.engine and pose.yolo_pose; pose.on_device resamples at the same coordinates on a GPU. A network is used
with the geometry that it was trained with (skeleton.Geometry). `udp` is unbiased (UDP: Huang et al., "The Devil is in
the Details", CVPR 2020): the centres of the crop's corner pixels lie on the corners of a window in the frame. Pixel i
of n samples the frame at center - scale / 2 + i * scale / (n - 1). `plain` is the affine of mmpose without UDP, which
samples at corner + i * scale / n: the window of `plain` is therefore a little smaller. pose.decode.to_frame inverts
both exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.skeleton import Geometry

# A window is larger than its box by this factor, as in ViTPose's training.
_PADDING = np.float32(1.25)
# Hugging Face measures scales in units of 200 px and rounds them to float32 in this unit, so we do too.
_SCALE_UNIT_PX = 200.0
# Sides of a box are at least this long: a window without area would lead to a division by zero.
_SMALLEST_SIDE_PX = 1e-3
# Marks a row or column of the crop that lies outside the frame, in place of its weight.
OUTSIDE = np.float32(-1)


class Crowd(NamedTuple):
    """P people in B frames, each with the window of the frame that their crop shows.

    Example:
        >>> image, boxes = np.zeros((240, 320, 3), np.uint8), np.array([[10, 20, 40, 120]], np.float32)
        >>> crowd = Crowd.of([image, image], [boxes, boxes.repeat(2, axis=0)], (192, 256))
        >>> crowd.owners.tolist()
        [0, 1, 1]
        >>> [part.tolist() for part in crowd.split(np.array([7, 8, 9]))]
        [[7], [8, 9]]
    """

    images: Sequence[NDArray[np.uint8]]  # B of (H, W, 3) BGR, sizes may differ
    owners: NDArray[np.intp]  # (P,), the index of each person's frame in `images`, in ascending order
    centers: NDArray[np.float32]  # (P, 2), as `windows` returns them
    scales: NDArray[np.float32]  # (P, 2), as `windows` returns them

    @classmethod
    def of(
        cls,
        images: Sequence[NDArray[np.uint8]],
        xyxy: Sequence[NDArray[np.float32]],
        size: tuple[int, int],
        geometry: Geometry = "udp",
    ) -> Crowd:
        """Join the people of all images.

        Args:
            images: B of uint8 (H, W, 3) BGR, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.
            size: width and height of the crops in pixels.
            geometry: with which the network was trained.
        """
        owners = np.repeat(np.arange(len(xyxy)), [len(boxes) for boxes in xyxy])
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *xyxy])
        return cls(images, owners, *windows(boxes, size, geometry))

    def split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Split an array of one row per person, (P, ...), into one array per image."""
        return np.split(values, np.searchsorted(self.owners, np.arange(1, len(self.images))))[: len(self.images)]

    def part(self, people: slice) -> Crowd:
        """Return the crowd of these people alone, with all images."""
        return Crowd(self.images, self.owners[people], self.centers[people], self.scales[people])


class Places(NamedTuple):
    """The coordinates at which the pixels of P crops sample their frames.

    Rows and columns are stored separately, because a window is never rotated. Along each axis, a pixel of the crop is
    (1 - weight) x the frame's pixel at the index stored here + weight x the next pixel.
    """

    columns: NDArray[np.int32]  # (P, w), the frame's column at or left of each column of the crop
    column_shares: NDArray[np.float32]  # (P, w), weight 0..1 of the frame's next column, or OUTSIDE
    rows: NDArray[np.int32]  # (P, h), the frame's row at or above each row of the crop
    row_shares: NDArray[np.float32]  # (P, h), weight 0..1 of the frame's next row, or OUTSIDE

    def of(self, person: int) -> tuple[NDArray[Any], ...]:
        """Return one crop's columns (w,), their weights (w,), rows (h,) and their weights (h,)."""
        return self.columns[person], self.column_shares[person], self.rows[person], self.row_shares[person]


def windows(
    xyxy: NDArray[np.float32], size: tuple[int, int], geometry: Geometry = "udp"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the window of the frame that the crop of each box shows, from the first to the last pixel's centre.

    The box is extended to the crop's aspect ratio, in width or in height, and then enlarged by a quarter. Bit-identical
    to `box_to_center_and_scale` of transformers/models/vitpose/image_processing_vitpose.py (5.23) for the same box in
    COCO's xywh, except that the scale is in pixels, not in units of 200 pixels.

    Args:
        xyxy: float32 (P, 4) boxes x1 y1 x2 y2, pixels of the frame; may lie outside it.
        size: width and height of the crops in pixels.
        geometry: with which the network was trained. With `plain`, the last of n pixels lies one n-th before the end of
            the enlarged box, so the window has the same corner and (n - 1) / n of its sides.

    Returns:
        Centers float32 (P, 2) x, y and scales float32 (P, 2) width, height, both in pixels of the frame.

    Example:
        >>> centers, scales = windows(np.array([[10, 20, 40, 120]], np.float32), (192, 256))
        >>> centers.tolist(), scales.tolist()
        ([[25.0, 70.0]], [[93.75, 125.0]])
        >>> centers, scales = windows(np.array([[10, 20, 40, 120]], np.float32), (192, 256), "plain")
        >>> (centers - scales / 2).tolist(), scales.round(1).astype(int).tolist()
        ([[-21.875, 7.5]], [[93, 124]])
    """
    corners = xyxy.astype(np.float64)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], _SMALLEST_SIDE_PX)
    centers = (corners[:, :2] + sides * 0.5).astype(np.float32)
    aspect = size[0] / size[1]
    too_wide = sides[:, 0] > aspect * sides[:, 1]
    widths = np.where(too_wide, sides[:, 0], sides[:, 1] * aspect)
    heights = np.where(too_wide, sides[:, 0] / aspect, sides[:, 1])
    scales = (np.stack((widths, heights), axis=1) / _SCALE_UNIT_PX).astype(np.float32) * _PADDING
    scales *= np.float32(_SCALE_UNIT_PX)
    if geometry == "plain":
        steps = np.asarray(scales / np.array(size, np.float32), np.float32)
        return centers - steps * np.float32(0.5), scales - steps
    return centers, scales


def places(
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    size: tuple[int, int],
    frame_sizes: NDArray[np.intp],
) -> Places:
    """Compute at which coordinates of its frame each crop samples.

    Args:
        centers: float32 (P, 2) x, y of the centres of the windows, pixels of the frame.
        scales: float32 (P, 2) width and height of the windows, pixels of the frame, > 0.
        size: width and height of the crops in pixels.
        frame_sizes: int (P, 2), width and height of each person's frame in pixels.

    Returns:
        The coordinates of all pixels of the P crops.

    Example:
        >>> center, scale = np.array([[1, 0.5]], np.float32), np.array([[2, 1]], np.float32)
        >>> found = places(center, scale, (5, 2), np.array([[3, 2]]))
        >>> found.columns.tolist(), found.column_shares.tolist()
        ([[0, 0, 1, 1, 2]], [[0.0, 0.5, 0.0, 0.5, 0.0]])
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
    """Crop people out of several frames, by bilinear interpolation, into one batch.

    Matches the Hugging Face processor (scipy.ndimage.affine_transform, order 1, mode constant) within one grey level.
    A sample beyond the centres of the frame's outermost pixels is `outside`, never a blend of the frame and `outside`.
    Values round half up.

    Args:
        images: uint8 (H, W, 3) each, any colour order; sizes may differ.
        owners: int (P,), the index of each person's frame in `images`.
        centers: float32 (P, 2) x, y of the centres of the windows, pixels of the frame.
        scales: float32 (P, 2) width and height of the windows, pixels of the frame, > 0.
        size: width and height of the crops in pixels.
        outside: grey level of samples outside the frame, 0..255.

    Returns:
        uint8 (P, h, w, 3), in the colour order of the images.

    Example:
        >>> image = np.tile(np.array([0, 10, 20, 30], np.uint8)[:, np.newaxis], (2, 1, 3))  # (2, 4, 3)
        >>> center, scale = np.array([[1.5, 0.5]], np.float32), np.array([[3, 1]], np.float32)
        >>> crop_people([image], np.array([0]), center, scale, (7, 2))[0, 0, :, 0].tolist()
        [0, 5, 10, 15, 20, 25, 30]
    """
    crops = np.empty((len(owners), size[1], size[0], 3), np.uint8)
    if len(owners):
        where = places(centers, scales, size, sizes_of(images)[owners])
        for person, owner in enumerate(owners):
            _resample(images[owner], where.of(person), outside, crops[person])
    return crops


def sizes_of(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.intp]:
    """Return the width and height of each image (H, W, 3), int (B, 2).

    Example:
        >>> sizes_of([np.zeros((480, 640, 3), np.uint8), np.zeros((100, 50, 3), np.uint8)]).tolist()
        [[640, 480], [50, 100]]
    """
    return np.array([image.shape[1::-1] for image in images], np.intp).reshape(-1, 2)


def _along(
    centers: NDArray[np.float32], scales: NDArray[np.float32], count: int, lengths: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Compute where the crops' pixels lie along one axis of their frames.

    Rounds where Hugging Face rounds (`get_warp_matrix` keeps the inverse map in float32): if a window ends exactly at
    the frame's border, the last bit decides whether a whole line of samples counts as outside.

    Args:
        centers: float32 (P,), centres of the windows along this axis, pixels of the frame.
        scales: float32 (P,), lengths of the windows along this axis, pixels of the frame, > 0.
        count: length of the crops along this axis, in pixels.
        lengths: int (P,), lengths of the frames along this axis, in pixels.

    Returns:
        The frame's pixel at or before each coordinate, int32 (P, count), 0..length - 1; and the weight of the next
        pixel, float32 (P, count), 0..1, or OUTSIDE for coordinates outside 0..length - 1.
    """
    crop_per_frame = (count - 1) / scales.astype(np.float64)
    shifts = (crop_per_frame * (np.float32(0.5) * scales - centers)).astype(np.float32).astype(np.float64)
    frame_per_crop = 1.0 / crop_per_frame.astype(np.float32).astype(np.float64)
    found = np.arange(count) * frame_per_crop[:, np.newaxis] - (shifts * frame_per_crop)[:, np.newaxis]
    last = (lengths - 1)[:, np.newaxis]
    inside = (found >= 0) & (found <= last)
    before = np.floor(np.where(inside, found, 0.0))
    return before.astype(np.int32), np.where(inside, found - before, OUTSIDE).astype(np.float32)


def _resample(image: NDArray[np.uint8], where: tuple[NDArray[Any], ...], outside: int, out: NDArray[np.uint8]) -> None:
    """Resample one crop, at the coordinates of `Places.of`, into `out`, uint8 (h, w, 3).

    Interpolates between rows first, which runs along memory. The result is transposed, because then the columns, too,
    are gathered and interpolated as whole lines: that takes half the time of gathering single pixels.
    """
    columns, column_shares, rows, row_shares = where
    across, down = _inside(column_shares), _inside(row_shares)
    out[:] = outside
    columns, rows = columns[across], rows[down]
    if not (columns.size and rows.size):
        return
    window = image[:, columns[0] : columns[-1] + 2]
    upper, lower = window[rows].astype(np.float32), window[np.minimum(rows + 1, len(image) - 1)].astype(np.float32)
    lines = cv2.transpose(_between(upper, lower, row_shares[down])).reshape(window.shape[1], -1)
    columns = columns - columns[0]
    left, right = lines[columns], lines[np.minimum(columns + 1, len(lines) - 1)]
    values = _between(left, right, column_shares[across])
    values += np.float32(0.5)  # the cast truncates, so this rounds half up
    out[down, across] = cv2.transpose(values.astype(np.uint8).reshape(columns.size, rows.size, 3))


def _inside(shares: NDArray[np.float32]) -> slice:
    """The rows or columns of a crop that lie inside the frame."""
    inside = np.flatnonzero(shares >= 0)
    return slice(inside[0], inside[-1] + 1) if inside.size else slice(0)


def _between(
    first: NDArray[np.float32], second: NDArray[np.float32], shares: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Interpolate between two arrays of lines, float32 (n, ...), with the weight of each second line, float32 (n,).

    The result is in the memory of `second`.
    """
    begin, end = first.reshape(len(first), -1), second.reshape(len(second), -1)
    end -= begin
    end *= shares[:, np.newaxis]
    end += begin
    return second
