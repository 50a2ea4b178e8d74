"""Checks, on the pixels of the page's canvas, that people are drawn where they are.

There are two truths: the keypoints that the stream sent for the frame that is shown, and, independent of any model,
where the demo source put its people in that frame.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from realtime import wire
from realtime.capture.demo import demo_frame, demo_motion, demo_people
from realtime.dashboard.frames import SCORE_DECIMALS

# A pixel of a plain ground was drawn on if it differs by more than this in a channel. Every colour of the palette does.
DRAWN = 50
# Blurred edges and rounding to pixels: this far beyond the width of a line (canvas pixels), drawn pixels still belong
# to it.
EDGE = 2
# Where the picture has strong edges, a frame that is shifted by a few pixels differs most (grey levels).
STRONG_EDGE = 30

# The canvas of a camera, and what it shows. One script, so that no frame can come between.
_SHOWN = """name => {
  const view = document.querySelector(`.view[data-camera="${name}"]`);
  const canvas = view.querySelector("canvas");
  return {seq: Number(view.dataset.seq), size: view.dataset.frameSize.split("x").map(Number),
          picture: view.dataset.picture, png: canvas.toDataURL("image/png"), scale: Number(canvas.dataset.scale),
          left: Number(canvas.dataset.left), top: Number(canvas.dataset.top), density: devicePixelRatio};
}"""


@dataclass(frozen=True)
class Shown:
    """What a camera's canvas shows.

    Attributes:
        seq: of the frame.
        size: width and height of the source frame.
        picture: size of the JPEG (WIDTHxHEIGHT), or "none".
        canvas: its pixels, uint8 (H, W, 3), BGR.
        scale, left, top: where the frame lies: its point (x, y) is at (left + x * scale, top + y * scale).
        density: device pixels per CSS pixel.
    """

    seq: int
    size: tuple[int, int]
    picture: str
    canvas: NDArray[np.uint8]
    scale: float
    left: float
    top: float
    density: float

    def place(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points (..., 2) of the frame to pixels of `frame`."""
        return np.asarray(xy, np.float64) * self.scale

    @property
    def frame(self) -> NDArray[np.uint8]:
        """The part of the canvas that shows the frame."""
        (x, y), (width, height) = (
            (round(self.left), round(self.top)),
            self.place(np.array(self.size)).round().astype(int),
        )
        return self.canvas[y : y + height, x : x + width]

    def drawn(self) -> NDArray[np.bool_]:
        """Which pixels of `frame` differ from its ground, which is its most frequent colour. Without a picture only."""
        packed = self.frame.astype(np.int32) @ (1, 256, 65536)
        colours, counts = np.unique(packed, return_counts=True)
        ground = colours[counts.argmax()] >> np.array([0, 8, 16]) & 255
        return np.abs(self.frame.astype(np.int16) - ground).max(axis=2) > DRAWN


def shown(page: Page, camera: str) -> Shown:
    """Read what the canvas of a camera shows now."""
    told = page.evaluate(_SHOWN, camera)
    png = np.frombuffer(base64.b64decode(told.pop("png").partition(",")[2]), np.uint8)
    return Shown(canvas=cv2.imdecode(png, cv2.IMREAD_COLOR), **{**told, "size": tuple(told["size"])})


def agreement(
    seen: Shown, pose: wire.PoseMessage, edges: list[tuple[int, int]], min_score: float
) -> tuple[float, float]:
    """Compare the drawn pixels with the limbs of a pose message. Labels and trails must be off.

    Returns:
        The share of the limbs' length that is drawn, and the share of the drawn pixels that lie on limbs or keypoints.
    """
    drawn = seen.drawn()
    thin, thick = np.zeros(drawn.shape, np.uint8), np.zeros(drawn.shape, np.uint8)
    for box, points in zip(pose.boxes_array(), pose.keypoints_array(), strict=True):
        reach = 0.5 * _line_width(float(box[3] - box[1]) * seen.scale, seen.density)
        placed = [tuple(map(round, xy)) for xy in seen.place(points[:, :2]).tolist()]
        scores = points[:, 2].astype(float).round(SCORE_DECIMALS)  # as the page gets them
        seen_points = [i for i in range(len(points)) if scores[i] >= min_score]
        for i in seen_points:
            cv2.circle(thick, placed[i], round(reach) + EDGE, 255, -1)
        for a, b in edges:
            if a in seen_points and b in seen_points:
                cv2.line(thin, placed[a], placed[b], 255, 1)
                cv2.line(thick, placed[a], placed[b], 255, round(2 * reach) + 2 * EDGE)
    return float(drawn[thin > 0].mean()), float((thick > 0)[drawn].mean())


def _line_width(person_height: float, density: float) -> float:
    """Return the greatest width of a limb and its keypoints with their outlines (canvas pixels), as in draw.js."""
    return 2.2 * min(max(person_height / 55, 2.0 * density), 5.0 * density)


def share_on_people(seen: Shown, frame: int) -> tuple[float, float]:
    """Compare the drawn pixels with the boxes in which the demo source put its people in a frame.

    Returns:
        The share of the drawn pixels that lie in or next to a box, and the least share of a box's area that is drawn.
    """
    drawn = seen.drawn()
    inside, least = np.zeros(drawn.shape, bool), 1.0
    motion = demo_motion(frame)
    for (x1, y1), (x2, y2) in seen.place(demo_people().reshape(-1, 2, 2) @ motion[:, :2].T + motion[:, 2]):
        margin = 0.06 * (y2 - y1)
        inside[_part(y1 - margin, y2 + margin), _part(x1 - margin, x2 + margin)] = True
        least = min(least, float(drawn[_part(y1, y2), _part(x1, x2)].mean()))
    return float(inside[drawn].mean()), least


def _part(begin: float, end: float) -> slice:
    return slice(max(0, round(begin)), max(0, round(end)))


def picture_error(seen: Shown, frame: int) -> float:
    """Return the median difference in grey levels between what is shown and a frame of the demo source, at edges."""
    height, width = seen.frame.shape[:2]
    there = cv2.resize(demo_frame(frame), (width, height), interpolation=cv2.INTER_AREA)
    images = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (there, seen.frame)]
    strong = np.abs(cv2.Laplacian(images[0], cv2.CV_32F, ksize=3)) > STRONG_EDGE
    return float(np.median(cv2.absdiff(*images)[strong]))
