from __future__ import annotations

import numpy as np
import pytest

from realtime.pose.crop import crop_people, places, sizes_of, windows
from tests.pose.checkpoints import picture

SIZE = (192, 256)


def crop_of(image, box, size=SIZE, outside=0):
    centers, scales = windows(np.array([box], np.float32), size)
    return crop_people([image], np.array([0]), centers, scales, size, outside)[0]


def resample(image, center, scale):
    centers, scales = np.array([center], np.float32), np.array([scale], np.float32)
    return crop_people([image], np.array([0]), centers, scales, SIZE)[0]


def test_a_window_has_the_crops_aspect_ratio_and_is_a_quarter_larger_than_the_box():
    boxes = np.array([[0, 0, 30, 100], [0, 0, 100, 30]], np.float32)  # a narrow box is widened, a flat one heightened
    centers, scales = windows(boxes, SIZE)
    np.testing.assert_allclose(centers, [[15, 50], [50, 15]])
    np.testing.assert_allclose(scales, [[93.75, 125], [125, 125 / 0.75]])


def test_a_box_without_area_has_a_window_with_area():
    centers, scales = windows(np.array([[5, 5, 5, 5], [9, 9, 7, 7]], np.float32), SIZE)
    assert np.isfinite(centers).all()
    assert (scales > 0).all()


def test_without_boxes_windows_and_crops_are_empty():
    centers, scales = windows(np.zeros((0, 4), np.float32), SIZE)
    assert centers.shape == scales.shape == (0, 2)
    assert crop_people([], np.zeros(0, np.intp), centers, scales, SIZE).shape == (0, 256, 192, 3)


def test_the_corner_pixels_of_a_crop_lie_on_the_corners_of_its_window():
    image = picture(400, 400)
    out = resample(image, (200, 180), (95.5, 127.5))
    # The window of 95.5 x 127.5 px starts at 152.25, 116.25; crop pixels are half a frame pixel apart.
    exact = image[116:118, 152:154].astype(np.float64)
    weights = np.array([0.75, 0.25])
    expected = np.einsum("yxc,y,x->c", exact, weights, weights)
    np.testing.assert_allclose(out[0, 0], expected, atol=0.51)


def test_a_window_of_the_crops_own_size_copies_the_frame():
    image = picture(400, 400)
    out = resample(image, (150 + 95.5, 100 + 127.5), (191, 255))
    np.testing.assert_array_equal(out, image[100:356, 150:342])


def test_samples_outside_the_frame_have_the_requested_grey_level():
    image = np.full((100, 100, 3), 200, np.uint8)
    out = crop_of(image, (50, 50, 150, 150), outside=114)
    assert set(np.unique(out)) == {114, 200}
    assert (crop_of(image, (500, 500, 600, 600), outside=114) == 114).all()


def test_crops_of_several_frames_equal_those_of_each_frame_alone():
    images = [picture(300, 200, seed=1), picture(100, 400, seed=2)]
    boxes = np.array([[10, 10, 60, 160], [20, 50, 90, 300], [100, 20, 250, 190]], np.float32)
    centers, scales = windows(boxes, SIZE)
    together = crop_people(images, np.array([0, 1, 0]), centers, scales, SIZE)
    for owner, box, one in zip((0, 1, 0), boxes, together, strict=True):
        np.testing.assert_array_equal(one, crop_of(images[owner], box))


def test_a_read_only_frame_can_be_cropped():
    image = picture(300, 200)
    image.setflags(write=False)
    crop_of(image, (10, 10, 60, 160))


def in_loops(image, centers, scales, size, outside):
    """One crop, pixel by pixel: float32 throughout, between rows first, rounded half up."""
    where = places(centers, scales, size, sizes_of([image]))
    out = np.full((size[1], size[0], 3), outside, np.uint8)
    bottom, right = image.shape[0] - 1, image.shape[1] - 1
    floats = image.astype(np.float32)
    for y, (row, down) in enumerate(zip(where.rows[0], where.row_shares[0], strict=True)):
        below = min(row + 1, bottom)
        for x, (column, across) in enumerate(zip(where.columns[0], where.column_shares[0], strict=True)):
            if down >= 0 and across >= 0:
                beside = min(column + 1, right)
                near = floats[row, column] + (floats[below, column] - floats[row, column]) * down
                far = floats[row, beside] + (floats[below, beside] - floats[row, beside]) * down
                out[y, x] = (near + (far - near) * across + np.float32(0.5)).astype(np.uint8)
    return out


@pytest.mark.parametrize("geometry", ["udp", "plain"])
@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 60, 110),  # inside
        (-30, -20, 40, 50),  # over the corner
        (90, 130, 200, 300),  # over the other one
        (0, 0, 400, 900),  # much larger than the frame
        (50.5, 40.5, 52, 43),  # a few pixels
        (-300, 10, -200, 110),  # beside the frame
    ],
)
def test_every_pixel_of_a_crop_is_that_of_loops_over_rows_and_columns(box, geometry):
    size = (24, 32)
    centers, scales = windows(np.array([box], np.float32), size, geometry)
    for height, width in ((150, 100), (150, 1), (1, 100)):
        image = picture(height, width)
        found = crop_people([image], np.array([0]), centers, scales, size, 114)[0]
        np.testing.assert_array_equal(found, in_loops(image, centers, scales, size, 114))
