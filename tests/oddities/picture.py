"""Pictures that tell their number and which way up they are, so that both survive a lossy codec.

A grid of 4 x 4 cells: the corners are red, green, blue and white, the eight cells of the two rows in the middle are the
bits of the number, the lowest first.
"""

from __future__ import annotations

import numpy as np

# Top left, top right, bottom left, bottom right: RGB. Their brightness differs too, for pictures without colours.
CORNERS = {(0, 0): (255, 0, 0), (0, 3): (0, 255, 0), (3, 0): (0, 0, 255), (3, 3): (255, 255, 255)}
BITS = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])

# The eight ways in which a picture may have to be shown: the linear part of a display matrix, which maps the stored
# x, y to the shown x, y, and the EXIF orientation that means the same.
Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)
TURNS: dict[str, tuple[Turn, int]] = {
    "upright": (UPRIGHT, 1),
    "mirrored": ((-1, 0, 0, 1), 2),
    "turned by 180": ((-1, 0, 0, -1), 3),
    "upside down, mirrored": ((1, 0, 0, -1), 4),
    "transposed": ((0, 1, 1, 0), 5),
    "turned clockwise": ((0, 1, -1, 0), 6),
    "transposed the other way": ((0, -1, -1, 0), 7),
    "turned anticlockwise": ((0, -1, 1, 0), 8),
}


def draw(number: int, size: tuple[int, int]) -> np.ndarray:
    """Return the picture of a number from 0 to 255: uint8 (H, W, 3), RGB."""
    cells = np.zeros((4, 4, 3), np.uint8)
    cells[0, 1:3] = cells[3, 1:3] = 90
    for cell, colour in CORNERS.items():
        cells[cell] = colour
    for bit, cell in enumerate(BITS):
        cells[cell] = 235 if number >> bit & 1 else 20
    rows = np.arange(size[1]) * 4 // size[1]
    columns = np.arange(size[0]) * 4 // size[0]
    return np.ascontiguousarray(cells[rows][:, columns])


def shown(image: np.ndarray, turn: Turn) -> np.ndarray:
    """Return a stored picture as a player shows it with this display matrix."""
    a, b, c, d = turn  # x' = a x + c y, y' = b x + d y
    if a == 0:
        image = image.transpose(1, 0, 2)
        across, down = c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(image[::down, ::across])


def turn_of(image: np.ndarray) -> str:
    """Return how an RGB picture differs from an upright one: a key of TURNS, or `no corners`."""
    seen = _corners(image)
    for name, (turn, _) in TURNS.items():
        if np.array_equal(seen, _corners(shown(draw(0, (64, 64)), turn))):
            return name
    return "no corners"


def number_of(image: np.ndarray) -> int:
    """Return the number that an upright RGB picture tells."""
    return sum(int(_cell(image, cell) @ _BRIGHTNESS > 127) << bit for bit, cell in enumerate(BITS))


def _corners(image: np.ndarray) -> list[int]:
    """Return for each corner which of the four colours it is nearest to."""
    colours = np.array(list(CORNERS.values()), float)
    values = np.array([_cell(image, cell) for cell in CORNERS])
    if np.ptp(values, axis=1).max() < 40:  # no colours: only the brightness is left
        return [int(np.abs(colours @ _BRIGHTNESS - value).argmin()) for value in values @ _BRIGHTNESS]
    return [int(np.abs(colours - value).sum(axis=1).argmin()) for value in values]


def _cell(image: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Return the mean colour of the middle of a cell."""
    (height, width), (row, column) = image.shape[:2], cell
    top, left = (2 * row + 1) * height // 8, (2 * column + 1) * width // 8
    reach_y, reach_x = height // 16, width // 16
    part = image[top - reach_y : top + reach_y + 1, left - reach_x : left + reach_x + 1]
    return part.reshape(-1, 3).mean(axis=0)
