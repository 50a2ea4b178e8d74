"""A clock as a bar code: Unix time in milliseconds, drawn into a picture and read from it again.

Used by the source `demo:clock`, to measure how long a frame takes until it is seen. Whoever shows the frame draws a bar
code of their own beside it, and one screenshot holds both times.

The pattern is a row of 64 cells of equal width and any height, black (0) or white (255), from left to right:

    cell   0       black
    cell   1       white
    cell   2       black
    cells  3..62   12 groups of 5 cells: four bits of the code, then the inverse of the fourth one; white is 1
    cell  63       the inverse of cell 62

The code has 48 bits, the most significant first: time_ms * 64 + time_ms % 61. `time_ms` is Unix time in milliseconds,
less than 2**42 (until the year 2109). In JavaScript, whose numbers are exact up to 2**53:

    const code = timeMs * 64 + (timeMs % 61);
    const cells = [0, 1, 0];
    for (let bit = 47; bit >= 0; bit--) {
      cells.push(Math.floor(code / 2 ** bit) % 2);
      if (bit % 4 === 0) cells.push(1 - cells.at(-1));
    }
    cells.push(1 - cells.at(-1));

At most five cells in a row have the same colour. The reader needs cells of at least 2.5 pixels, and two rows of pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CELLS = 64
# The latest time that fits, in Unix ms.
MOST_MS = 2**42 - 1
# A prime, so that the remainder reveals any single wrong bit. It fits into 6 bits.
_PRIME = 61
_CHECK_BITS = 6
_CODE_BITS = 48
_GROUP = 4
# Height of a strip as a part of the picture: 32 of 720 pixels. In all frames of the demo, only wall is there.
_STRIPS = 22
# A pixel at least this bright counts as white.
_WHITE = 128
# Cells between the first edge that the surroundings can't hide (before cell 1) and the last one (after cell 62).
_INNER = CELLS - 2
# The width of cell 1, compared with the mean: blur and rounding to pixels change it.
_NARROWEST, _WIDEST = 0.6, 1.6
_LEAST_PIXELS = 2.5
# Each cell is sampled at these parts of its width. The samples of a cell must agree, and all 62 cells of a picture
# that shows something else hardly ever do.
_SAMPLES = np.array([0.25, 0.5, 0.75])
_LEAST_ROWS = 2


def cells_of(time_ms: int) -> NDArray[np.bool_]:
    """Return the pattern of a time, from left to right: bool (64,), True for white.

    >>> "".join("#" if white else "." for white in cells_of(1_764_374_400_123))
    '.#..##.#.##.##.##...##...##.#.#.#..##...##....#.###.#####...#.#.'

    Args:
        time_ms: Unix time in milliseconds, 0..MOST_MS.

    Raises:
        ValueError: the time is out of range.
    """
    if not 0 <= time_ms <= MOST_MS:
        raise ValueError(f"time_ms: got {time_ms}, expected 0..{MOST_MS}")
    code = time_ms << _CHECK_BITS | time_ms % _PRIME
    cells = [False, True, False]
    for bit in reversed(range(_CODE_BITS)):
        cells.append(bool(code >> bit & 1))
        if bit % _GROUP == 0:
            cells.append(not cells[-1])
    return np.array([*cells, not cells[-1]])


def draw_clock(image: NDArray[np.uint8], time_ms: int) -> None:
    """Draw a time along the upper and the lower edge of an image, in place.

    >>> image = np.full((720, 1280, 3), 60, np.uint8)
    >>> draw_clock(image, 1_764_374_400_123)
    >>> read_clock(image)
    1764374400123

    Args:
        image: uint8 (H, W) or (H, W, 3), at least 64 pixels wide.
        time_ms: Unix time in milliseconds, 0..MOST_MS.

    Raises:
        ValueError: the time is out of range.
    """
    height, width = image.shape[:2]
    columns = np.where(cells_of(time_ms), np.uint8(255), np.uint8(0))[np.arange(width) * CELLS // width]
    strip = columns if image.ndim == 2 else columns[:, None]
    rows = max(1, height // _STRIPS)
    image[:rows] = strip
    image[height - rows :] = strip


def read_clock(image: NDArray[np.uint8]) -> int | None:
    """Return the time of the uppermost bar code in an image, Unix ms; None if there is none.

    The bar code may have any place and size. Cut out the part of a screenshot in which to search.

    Args:
        image: uint8 (H, W) or (H, W, channels); a fourth channel (alpha) is ignored.
    """
    grey = image if image.ndim == 2 else image[..., :3].mean(axis=2)
    seen: set[int] = set()
    before: set[int] = set()
    for row in grey.astype(np.float32):
        seen = set(_times_in(row))
        if both := seen & before:
            return min(both)
        before = seen
    return None


def _times_in(row: NDArray[np.float32]) -> Iterator[int]:
    """Yield the times of the bar codes that cross a row of pixels."""
    white = row >= _WHITE
    before = np.flatnonzero(white[1:] != white[:-1])
    if len(before) < CELLS // 5:  # the pattern has more edges
        return
    # An edge lies where the brightness crosses _WHITE between the centres of two pixels.
    edges = before + 0.5 + (_WHITE - row[before]) / (row[before + 1] - row[before])
    for begin in np.flatnonzero(white[before + 1])[:-1]:
        if begin + 2 > len(edges) - 1:
            return
        first = edges[begin + 1] - edges[begin]
        widths = (edges[begin + 2 :] - edges[begin]) / _INNER
        likely = (first >= _NARROWEST * widths) & (first <= _WIDEST * widths) & (widths >= _LEAST_PIXELS)
        for width in widths[likely]:
            time_ms = _time_at(white, edges[begin], width)
            if time_ms is not None:
                yield time_ms


def _time_at(white: NDArray[np.bool_], left: float, width: float) -> int | None:
    """Return the time of a bar code whose cell 1 begins at `left` and whose cells have this width; None if it has none.

    Both are in pixels.
    """
    places = left + width * (np.arange(_INNER)[:, None] + _SAMPLES)
    samples = white[np.minimum(places.astype(np.intp), len(white) - 1)]
    cells = samples[:, 1]
    if not ((samples == cells[:, None]).all() and cells[0] and not cells[1]):
        return None
    groups = cells[2:].reshape(-1, _GROUP + 1)
    if (groups[:, _GROUP] == groups[:, _GROUP - 1]).any():
        return None
    code = int("".join("1" if bit else "0" for bit in groups[:, :_GROUP].ravel()), 2)
    time_ms, check = code >> _CHECK_BITS, code & (2**_CHECK_BITS - 1)
    return time_ms if time_ms % _PRIME == check else None
