"""Whether an image shows another scene than the image before. Used by track/association.py.

In a folder of unrelated images, no one is found a second time, so the people of each image are published at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The image is divided into this many cells, rows and columns, with as many samples in each cell, down and across.
_CELLS, _SAMPLES = (9, 16), 2
# Two images are of different scenes if more than half of the cells have changed, by 10 grey levels per sample, and the
# correlation of the cells is low. The first excludes a person in front of a plain wall, the second a change of light.
# Of 325 pairs of unrelated photographs, all have changes in at least 75 % of the cells and a correlation below 0.75; in
# a street scene, frames 5 s apart have changes in at most 22 % and a correlation of at least 0.82.
_CHANGE, _LEAST_SIMILAR = 10.0 * _SAMPLES**2, 0.75
_GREEN = 1  # of BGR


class Scene:
    """Compares each image of a camera with the one before. All images have the same size.

    >>> light, dark = np.full((90, 160, 3), 200, np.uint8), np.full((90, 160, 3), 20, np.uint8)
    >>> left, right = np.hstack([light, dark]), np.hstack([dark, light])
    >>> scene = Scene()
    >>> [scene.is_new(image) for image in (left, left // 2, right, right)]
    [True, False, True, False]
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def is_new(self, image: NDArray[np.uint8]) -> bool:
        """Return whether this image, uint8 (H, W, 3) BGR, shows another scene than the last one. The first one does."""
        cells = _cells(image)
        last, self._last = self._last, cells
        if last is None:
            return True
        if 2 * np.count_nonzero(np.abs(cells - last) > _CHANGE) <= len(cells):
            return False
        return bool(cells @ last < _LEAST_SIMILAR * np.sqrt((cells @ cells) * (last @ last)))


def _cells(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the sums of the cells' samples relative to their mean, float32 (C,). A tiny image has fewer cells."""
    rows, columns = (
        slice(step // 2, step // 2 + step * count * _SAMPLES, step)
        for count, side in zip(_CELLS, image.shape[:2], strict=True)
        if (step := max(side // (count * _SAMPLES), 1))
    )
    samples = image[rows, columns, _GREEN].astype(np.float32)
    height, width = (side // _SAMPLES * _SAMPLES for side in samples.shape)
    pairs = samples[:height:2, :width] + samples[1:height:2, :width]
    cells: NDArray[np.float32] = (pairs[:, ::2] + pairs[:, 1::2]).ravel()
    np.subtract(cells, cells.sum() / max(len(cells), 1), out=cells)
    return cells
