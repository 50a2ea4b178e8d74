"""Drawing of boxes, track ids and skeletons on an image.

Not part of the data path. It takes plain arrays, so that a subscriber can draw the messages it receives.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# Keypoints with a lower score are guesses and are not drawn.
_VISIBLE = 0.3


def draw_people(
    image: NDArray[np.uint8],
    track_ids: Sequence[int] | NDArray[np.int64],
    boxes: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    edges: Sequence[Sequence[int]],
) -> None:
    """Draw people on an image, each track in a colour of its own.

    Args:
        image: uint8 (H, W, 3) BGR, modified in place.
        track_ids: N track ids.
        boxes: float32 (N, 4) x1 y1 x2 y2 in pixels of the image.
        keypoints: float32 (N, K, 3) x, y in pixels of the image, score 0..1; K may be 0.
        edges: pairs of keypoint indices to connect.
    """
    thick = max(1, round(min(image.shape[:2]) / 300))
    for track_id, box, points in zip(track_ids, boxes, keypoints, strict=True):
        colour = colour_of(int(track_id))
        x1, y1, x2, y2 = (round(float(side)) for side in box)
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thick)
        for start, end in edges:
            if min(points[start, 2], points[end, 2]) >= _VISIBLE:
                cv2.line(image, _pixel(points[start]), _pixel(points[end]), colour, 2 * thick, cv2.LINE_AA)
        for point in points:
            if point[2] >= _VISIBLE:
                cv2.circle(image, _pixel(point), 2 * thick, (255, 255, 255), -1, cv2.LINE_AA)
        label = str(int(track_id))
        (width, height), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, thick)
        cv2.rectangle(image, (x1, y1), (x1 + width + 6, y1 + height + 8), colour, -1)
        cv2.putText(image, label, (x1 + 3, y1 + height + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, (0, 0, 0), thick)


def colour_of(track_id: int) -> tuple[int, int, int]:
    """A bright BGR colour, clearly different for consecutive ids: hues advance by the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * 0.618034 % 1.0, 0.75, 1.0)
    return int(blue * 255), int(green * 255), int(red * 255)


def _pixel(point: NDArray[np.float32]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
