"""Drawing of people on an image: limbs, keypoints, track ids, and a caption.

Not part of the data path. It takes plain arrays, so that a subscriber can draw the messages it receives. Colours and
shapes are those of the dashboard's page (page/palette.js, page/draw.js).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.publish.palette import VISIBLE, colour_of, thickness_of

_DARK, _WHITE = (12, 8, 4), (255, 255, 255)
# An image with a shorter side of this many pixels is drawn on with the widths below; others in proportion.
_SHORT_SIDE = 540
# Width of a limb as a part of the person's height, and its bounds in pixels.
_LIMB_PART, _THINNEST, _THICKEST = 1 / 55, 1.6, 5.0
# Length of the dashes and of the gaps between them, in widths of the limb; round ends take one from each gap.
_DASH = 4.0
# Points are passed to OpenCV in units of 1/16 pixel, so that limbs move smoothly. Those farther away than _FAR pixels
# are moved to there, because OpenCV's integers overflow.
_SHIFT = 4
_FAR = 1e5
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_PIXELS = 22.0  # height of a digit at scale 1

_Colour = tuple[int, int, int]
_Point = NDArray[np.float32]


def draw_people(
    image: NDArray[np.uint8],
    track_ids: Sequence[int] | NDArray[np.int64],
    boxes: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    edges: Sequence[Sequence[int]],
    measured: Sequence[bool] | NDArray[np.bool_] | None = None,
    labels: bool = True,
    names: Sequence[str] = (),
    classes: Sequence[str] | NDArray[np.str_] | None = None,
) -> None:
    """Draw people on an image, each track in a colour of its own.

    A person without visible limbs is drawn as the corners of their box.

    Args:
        image: uint8 (H, W, 3) BGR, modified in place.
        track_ids: N track ids.
        boxes: float32 (N, 4) x1 y1 x2 y2 in pixels of the image.
        keypoints: float32 (N, K, 3) x, y in pixels of the image, score 0..1; K may be 0.
        edges: pairs of keypoint indices to connect.
        measured: N; False for a person whose pose was predicted, who gets dashed limbs. None: all were measured.
        labels: whether to write the track ids.
        names: K names of the keypoints. Hands are drawn thinner, and faces as small dots; empty: all alike.
        classes: N names of classes to write beside the ids; None: write the ids alone.
    """
    thick = np.array([thickness_of(name) for name in names] or [1.0] * keypoints.shape[1])
    boxes = np.clip(boxes, -_FAR, _FAR)
    for i, (track_id, box, points) in enumerate(zip(track_ids, boxes, keypoints, strict=True)):
        colour, width = colour_of(int(track_id)), _limb_width(image, box)
        seen = points[:, 2] >= VISIBLE
        places = np.clip(points[:, :2], -_FAR, _FAR)
        limbs = [(places[a], places[b], min(thick[a], thick[b])) for a, b in edges if seen[a] and seen[b]]
        limbs = limbs or [(start, end, 1.0) for start, end in _corners(box)]
        if measured is not None and not measured[i]:
            limbs = [(*dash, part) for start, end, part in limbs for dash in _dashes(start, end, _DASH * width)]
        for thickness, paint in ((2.1 * width, _DARK), (width, colour)):
            for start, end, part in limbs:
                cv2.line(image, _pixel(start), _pixel(end), paint, _whole(thickness * part), cv2.LINE_AA, _SHIFT)
        for radius, paint in ((1.15 * width, _DARK), (0.85 * width, _WHITE)):
            for place, part in zip(places[seen], thick[seen], strict=True):
                cv2.circle(image, _pixel(place), round(radius * part * (1 << _SHIFT)), paint, -1, cv2.LINE_AA, _SHIFT)
    if labels:
        for i, (track_id, box) in enumerate(zip(track_ids, boxes, strict=True)):
            text = str(int(track_id)) if classes is None else f"{track_id} {classes[i]}"
            _draw_label(image, text, box, colour_of(int(track_id)))


def draw_caption(image: NDArray[np.uint8], text: str) -> None:
    """Write a small line of ASCII text into the lower left corner of an image, in place; shorter if it doesn't fit."""
    high = max(9.0, 13.0 * _unit(image))
    scale, margin = high / _FONT_PIXELS, round(0.6 * high)
    while text and cv2.getTextSize(text, _FONT, scale, 1)[0][0] > image.shape[1] - 2 * margin:
        text = text[:-1]
    place = (margin, image.shape[0] - margin)
    thick = _whole(high / 11)
    cv2.putText(image, text, place, _FONT, scale, _DARK, 3 * thick, cv2.LINE_AA)
    cv2.putText(image, text, place, _FONT, scale, _WHITE, thick, cv2.LINE_AA)


def draw_notice(image: NDArray[np.uint8], text: str) -> None:
    """Write a line of ASCII text across the middle of an image, in place, as large as fits."""
    (wide, _), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    high = min(30.0 * _unit(image) + 6.0, 0.9 * image.shape[1] / max(1, wide) * _FONT_PIXELS)
    scale, thick = high / _FONT_PIXELS, _whole(high / 14)
    place = (round((image.shape[1] - wide * scale) / 2), round((image.shape[0] + high) / 2))
    cv2.putText(image, text, place, _FONT, scale, _DARK, 3 * thick, cv2.LINE_AA)
    cv2.putText(image, text, place, _FONT, scale, _WHITE, thick, cv2.LINE_AA)


def _unit(image: NDArray[np.uint8]) -> float:
    height, width = image.shape[:2]
    return float(min(height, width)) / _SHORT_SIDE


def _limb_width(image: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    unit, wanted = _unit(image), float(box[3] - box[1]) * _LIMB_PART
    return float(max(1.0, _THINNEST * unit, min(wanted, _THICKEST * unit)))


def _corners(box: NDArray[np.float32]) -> list[tuple[_Point, _Point]]:
    """The lines along a quarter of the shorter sides, from each corner."""
    x1, y1, x2, y2 = box
    arm = min(x2 - x1, y2 - y1) / 4
    ends = [(x1, y1, arm, arm), (x2, y1, -arm, arm), (x2, y2, -arm, -arm), (x1, y2, arm, -arm)]
    return [
        (np.array((x, y), np.float32), np.array(end, np.float32))
        for x, y, dx, dy in ends
        for end in ((x + dx, y), (x, y + dy))
    ]


def _dashes(start: _Point, end: _Point, length: float) -> list[tuple[_Point, _Point]]:
    """Every second of the pieces of a line. A line beyond all images has few and long ones."""
    pieces = 2 * min(50, int(np.hypot(*(end - start)) / length / 2)) + 1
    stops = np.linspace(start, end, pieces + 1, dtype=np.float32)
    return list(zip(stops[:-1:2], stops[1::2], strict=True))


def _draw_label(image: NDArray[np.uint8], text: str, box: NDArray[np.float32], colour: _Colour) -> None:
    """Write an id above the box, inside the image if the box begins above it."""
    unit = _unit(image)
    high = float(np.clip((box[3] - box[1]) * 0.07, max(9.0, 12 * unit), max(9.0, 20 * unit)))
    scale, thick = high * 0.75 / _FONT_PIXELS, _whole(high / 12)
    (wide, _), _ = cv2.getTextSize(text, _FONT, scale, thick)
    if box[2] < 0 or box[0] > image.shape[1] or box[3] < 0 or box[1] > image.shape[0]:
        return
    left = float(np.clip((box[0] + box[2] - wide) / 2 - 0.3 * high, 1, max(1, image.shape[1] - wide - 0.6 * high - 1)))
    top = max(float(box[1]) - 1.6 * high, 1.0)
    corner, far = (round(left), round(top)), (round(left + wide + 0.6 * high), round(top + 1.3 * high))
    cv2.rectangle(image, corner, far, _DARK, 2 * _whole(0.1 * high))
    cv2.rectangle(image, corner, far, colour, -1)
    cv2.putText(
        image, text, (round(left + 0.3 * high), round(top + 1.02 * high)), _FONT, scale, _DARK, thick, cv2.LINE_AA
    )


def _whole(width: float) -> int:
    return max(1, round(width))


def _pixel(point: NDArray[np.float32]) -> tuple[int, int]:
    return round(float(point[0]) * (1 << _SHIFT)), round(float(point[1]) * (1 << _SHIFT))
