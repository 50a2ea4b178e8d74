"""The crop of mmpose 0.x and its way back to the frame, as references: for both geometries.

Written from mmpose/core/post_processing/post_transforms.py (`get_affine_transform`, `get_warp_matrix`,
`transform_preds`) and mmpose/datasets/pipelines/top_down_transform.py (`TopDownAffine`, with and without use_udp), for
crops that are not rotated. Nothing of realtime/ is used.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_UNIT_PX = 200.0
_PADDING = 1.25


def box_to_center_and_scale(
    xyxy: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Center (2,) in pixels, and scale (2,) in units of 200 pixels, of a box x1 y1 x2 y2 (`_xywh2cs`)."""
    x1, y1, x2, y2 = (float(value) for value in xyxy)
    width, height, aspect = x2 - x1, y2 - y1, size[0] / size[1]
    if width > aspect * height:
        height = width / aspect
    elif width < aspect * height:
        width = height * aspect
    return np.array(((x1 + x2) / 2, (y1 + y2) / 2)), np.array((width, height)) / _UNIT_PX * _PADDING


def warp_matrix(
    center: NDArray[np.float64], scale: NDArray[np.float64], size: tuple[int, int], udp: bool
) -> NDArray[np.float64]:
    """The matrix (2, 3) from the frame to the crop of this width and height."""
    width, height = size
    if udp:  # get_warp_matrix(0, center * 2, size - 1, scale * 200)
        target = scale * _UNIT_PX
        x, y = (width - 1) / target[0], (height - 1) / target[1]
        return np.array([[x, 0, x * (0.5 * target[0] - center[0])], [0, y, y * (0.5 * target[1] - center[1])]])
    # get_affine_transform: three points, of which the first two lie on the vertical line through the centre; lengths
    # are measured along the width.
    source, wanted = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], source[1] = center, center + np.array((0, scale[0] * _UNIT_PX * -0.5))
    wanted[0], wanted[1] = (width * 0.5, height * 0.5), (width * 0.5, height * 0.5 + width * -0.5)
    for points in (source, wanted):  # _get_3rd_point: the second one, turned by 90 degrees around the first
        direction = points[0] - points[1]
        points[2] = points[1] + np.array((-direction[1], direction[0]))
    return np.asarray(cv2.getAffineTransform(source, wanted), np.float64)


def crop(image: NDArray[np.uint8], xyxy: NDArray[np.float32], size: tuple[int, int], udp: bool) -> NDArray[np.uint8]:
    """`TopDownAffine`: the crop (h, w, 3) of a box."""
    matrix = warp_matrix(*box_to_center_and_scale(xyxy, size), size, udp)
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)


def to_heatmap(
    points: NDArray[np.float64], xyxy: NDArray[np.float32], size: tuple[int, int], udp: bool
) -> NDArray[np.float64]:
    """Where points (K, 2) of the frame lie on the heatmap (`TopDownGenerateTarget`): a quarter of the crop's size."""
    matrix = warp_matrix(*box_to_center_and_scale(xyxy, size), size, udp)
    in_crop = points @ matrix[:, :2].T + matrix[:, 2]
    width, height = size
    if udp:
        return in_crop / ((width - 1, height - 1) / np.array((width / 4 - 1, height / 4 - 1)))
    return in_crop / 4


def transform_preds(
    points: NDArray[np.float64], xyxy: NDArray[np.float32], size: tuple[int, int], udp: bool
) -> NDArray[np.float64]:
    """Map points (K, 2) of the heatmap to the frame, for crops of this width and height."""
    center, scale = box_to_center_and_scale(xyxy, size)
    sides, heatmap = scale * _UNIT_PX, np.array(size) / 4
    steps = sides / (heatmap - 1) if udp else sides / heatmap
    return points * steps + center - sides * 0.5
