"""What the motion gate sees, drawn on pictures of every size and brightness."""

import numpy as np
import pytest

from realtime.publish.draw_motion import draw_motion
from realtime.types import Motion

NO_BOXES = np.zeros((0, 4), np.float32)
CORNER = np.float32([[0, 0], [320, 0], [320, 240], [0, 240]])


def drawn(motion: Motion, size: tuple[int, int] = (160, 120), grey: int = 0) -> np.ndarray:
    image = np.full((size[1], size[0], 3), grey, np.uint8)
    draw_motion(image, motion, (640, 480))
    return image


def mask(*polygons: np.ndarray) -> Motion:
    return Motion("active", NO_BOXES, 0.0, tuple(np.float32(polygon) for polygon in polygons))


def boxes(*xyxy: tuple[float, float, float, float]) -> Motion:
    return Motion("active", np.array(xyxy, np.float32), 0.0)


@pytest.mark.parametrize("size", [(160, 120), (640, 480), (1280, 960)])
def test_a_mask_covers_its_part_of_the_picture_at_every_scale(size: tuple[int, int]) -> None:
    image = drawn(mask(CORNER), size)
    scale = size[0] / 640
    inside = image.any(axis=2)
    edge = round(8 * scale) + 3
    assert inside[: round(240 * scale) - edge, : round(320 * scale) - edge].all()
    assert not inside[round(240 * scale) + edge :].any()
    assert not inside[:, round(320 * scale) + edge :].any()


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_the_picture_behind_a_mask_can_still_be_recognised(grey: int) -> None:
    image = np.full((120, 160, 3), grey, np.uint8)
    image[20:40, 20:40] = 255 - grey if grey != 128 else 200
    draw_motion(image, mask(CORNER), (640, 480))
    assert np.abs(image[30, 30].astype(int) - image[30, 50]).max() > 30


def test_where_two_polygons_overlap_is_also_masked() -> None:
    assert (drawn(mask(CORNER, CORNER))[30, 40] == drawn(mask(CORNER))[30, 40]).all()


@pytest.mark.parametrize("grey", [0, 60, 128, 255])
def test_an_area_that_moves_has_a_frame_that_differs_from_the_picture(grey: int) -> None:
    image = drawn(boxes((100, 100, 300, 300)), grey=grey)
    row = image[50].astype(int)
    assert (np.abs(row - grey).max(axis=1) > 50).sum() >= 2  # its left and its right side
    assert (image[45:55, 40:60] == grey).all()  # nothing is drawn in it


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 3)])
@pytest.mark.parametrize(
    "motion",
    [
        mask(np.array([[0, 0], [65536, 0], [65536, 65536]])),  # far beyond the frame
        mask(np.array([[700, 10], [900, 10], [900, 90]])),  # completely beyond it
        boxes((-50, -50, 5000, 5000), (639, 479, 640, 480), (10, 10, 10, 10)),
        Motion("empty", NO_BOXES, 0.0),
    ],
)
def test_coordinates_beyond_the_frame_and_tiny_pictures_are_drawn_without_an_error(
    motion: Motion, size: tuple[int, int]
) -> None:
    assert drawn(motion, size).shape == (size[1], size[0], 3)
    assert drawn(motion, (640, 480)).shape == (480, 640, 3)
