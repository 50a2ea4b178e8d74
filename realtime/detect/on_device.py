"""Letterbox on a GPU: frames that are there become the detector's input without coming back.

Used by detect.yolo in place of detect.letterbox.letterboxed, whose pixels it gives: the resampling is that of
cv2.resize with INTER_LINEAR for uint8 (OpenCV 4, modules/imgproc/src/resize.cpp: HResizeLinear, VResizeLinear), whole
numbers only, bit for bit. It runs on a CPU in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.detect.letterbox import PADDING, Letterbox
from realtime.runtime.device import Lane

# OpenCV counts the shares of two neighbouring pixels in these units: INTER_RESIZE_COEF_SCALE.
_UNITS = 2048


class _Lines(NamedTuple):
    """Of which two lines of the picture each line of the result is made, along one axis of n pixels."""

    first: torch.Tensor  # int64 (n,)
    second: torch.Tensor  # int64 (n,)
    first_share: torch.Tensor  # int32 (n,), in _UNITS
    second_share: torch.Tensor  # int32 (n,)


class DeviceLetterbox:
    """detect.letterbox.letterboxed on the device of a lane."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._axes: dict[Letterbox, tuple[_Lines, _Lines]] = {}

    def __call__(self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Letterbox]) -> torch.Tensor:
        """See letterboxed. On the lane's stream; neighbours of one size are scaled together."""
        batch = []
        with self._lane.run():
            for placement, alike in groupby(zip(placements, images, strict=True), key=lambda pair: pair[0]):
                pictures = torch.stack([self._lane.picture(image) for _, image in alike])
                if placement.scaled_size != placement.frame_size:
                    pictures = _resized(pictures, *self._of(placement))
                edges = 0, 0, placement.left, placement.right, placement.top, placement.bottom
                batch.append(torch.nn.functional.pad(pictures, edges, value=PADDING))
            return torch.cat(batch)

    def _of(self, placement: Letterbox) -> tuple[_Lines, _Lines]:
        """Columns and rows, worked out at their first use."""
        if placement not in self._axes:
            (width, height), (scaled_width, scaled_height) = placement.frame_size, placement.scaled_size
            self._axes[placement] = (
                self._lines(width, scaled_width, hold_at_edges=True),
                self._lines(height, scaled_height, hold_at_edges=False),
            )
        return self._axes[placement]

    def _lines(self, length: int, scaled: int, hold_at_edges: bool) -> _Lines:
        """Where `scaled` lines lie among `length`: each in the middle of what it stands for.

        Beyond the first and the last line OpenCV takes that one whole along a row, and twice, a share each, along a
        column, which rounds otherwise.
        """
        places = ((np.arange(scaled) + 0.5) / (scaled / length) - 0.5).astype(np.float32)
        before = np.floor(places)
        shares = places - before
        if hold_at_edges:
            shares[(before < 0) | (before >= length - 1)] = 0
        units = np.rint(np.stack((1 - shares, shares)) * np.float32(_UNITS)).astype(np.int32)
        lines = np.clip(np.stack((before, before + 1)), 0, length - 1).astype(np.int64)
        return _Lines(*self._lane.upload(lines), *self._lane.upload(units))


def _resized(pictures: torch.Tensor, columns: _Lines, rows: _Lines) -> torch.Tensor:
    """uint8 (B, H, W, 3) -> (B, h, w, 3)."""

    def along_rows(number: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        lines = pictures[:, number]
        left, right = lines[:, :, columns.first].int(), lines[:, :, columns.second].int()
        mixed = left * columns.first_share[:, None] + right * columns.second_share[:, None]
        return ((mixed >> 4) * share[:, None, None]) >> 16

    upper, lower = along_rows(rows.first, rows.first_share), along_rows(rows.second, rows.second_share)
    return ((upper + lower + 2) >> 2).to(torch.uint8)
