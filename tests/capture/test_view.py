import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.view import crop, turned_back, viewed
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

SIDES = st.integers(1, 70)


def picture(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def camera(**options):
    return CameraConfig(name="cam0", source="demo", **options)


def turned(image, degrees):
    """Rotate an image clockwise. numpy rotates counterclockwise by default."""
    return np.rot90(image, -(degrees // 90))


@st.composite
def boxes(draw, width, height):
    """Draw a box of at least one pixel within an image of this size."""
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (1, 1), (1, 70), (70, 1)])
@pytest.mark.parametrize("options", [{}, {"resize": 70}, {"resize": 16384}])
def test_an_image_that_needs_no_change_is_returned_as_the_same_array(size, options):
    image = picture(*size)
    assert viewed(image, camera(**options)) is image


@pytest.mark.parametrize(
    ("degrees", "corner"),
    [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))],  # new index of the top left pixel
)
def test_rotate_turns_the_image_clockwise(degrees, corner):
    image = np.zeros((3, 5, 3), np.uint8)
    image[0, 0] = 10, 20, 30
    out = viewed(image, camera(rotate=degrees))
    assert out[corner].tolist() == [10, 20, 30]
    assert out.sum() == 60


@given(SIDES, SIDES, st.sampled_from([0, 90, 180, 270]), st.data())
def test_an_image_is_rotated_and_then_cropped_as_by_numpy(width, height, degrees, data):
    image = picture(width, height)
    before, expected = image.copy(), turned(image, degrees)
    box = data.draw(st.none() | boxes(expected.shape[1], expected.shape[0]))
    if box is not None:
        expected = expected[box[1] : box[3], box[0] : box[2]]
    out = viewed(image, camera(rotate=degrees, crop_xyxy=box))
    assert np.array_equal(out, expected)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert np.array_equal(image, before)


@given(SIDES, SIDES, st.sampled_from([0, 90, 180, 270]), st.data())
def test_a_box_of_a_rotated_image_is_found_in_the_image_before(width, height, degrees, data):
    image = picture(width, height)
    after = turned(image, degrees)
    size = after.shape[1], after.shape[0]
    x1, y1, x2, y2 = box = data.draw(boxes(*size))
    part = crop(image, turned_back(box, size, degrees))
    np.testing.assert_array_equal(turned(part, degrees), after[y1:y2, x1:x2])


@pytest.mark.parametrize("by", [2, 3, 4])
def test_resize_averages_the_pixels_that_each_new_pixel_covers(by):
    image = picture(32 * by, 20 * by)
    means = image.reshape(20, by, 32, by, 3).mean((1, 3))
    out = viewed(image, camera(resize=32))
    assert out.shape == (20, 32, 3)
    assert np.abs(out - means).max() <= 0.51  # a half may be rounded up or down


@given(st.integers(1, 400), st.integers(1, 400), st.integers(32, 300), st.sampled_from([0, 90]))
def test_resize_sets_the_longer_side_and_keeps_the_aspect_ratio(width, height, resize, degrees):
    out = viewed(picture(width, height), camera(resize=resize, rotate=degrees))
    if degrees:
        width, height = height, width
    scale = min(1.0, resize / max(width, height))
    assert max(out.shape[:2]) == min(resize, max(width, height))
    assert abs(out.shape[1] - width * scale) <= 0.5 or out.shape[1] == 1
    assert abs(out.shape[0] - height * scale) <= 0.5 or out.shape[0] == 1
    assert out.flags.c_contiguous


def test_the_crop_is_in_pixels_of_the_rotated_image_and_resize_comes_last():
    image = picture(100, 200)
    crop = (150, 10, 200, 90)  # outside the unrotated image, which is 100 wide
    out = viewed(image, camera(rotate=270, crop_xyxy=crop, resize=40))
    means = turned(image, 270)[10:90, 150:200].reshape(40, 2, 25, 2, 3).mean((1, 3))
    assert out.shape == (40, 25, 3)
    assert np.abs(out - means).max() <= 0.51


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((640, 480), {"crop_xyxy": (0, 0, 640, 480)}),  # the whole image
        ((640, 480), {"crop_xyxy": (639, 479, 640, 480)}),  # the last pixel
        ((480, 640), {"rotate": 90, "crop_xyxy": (0, 0, 640, 480)}),  # the whole rotated image
    ],
)
def test_a_crop_may_reach_the_edge(size, options):
    x1, y1, x2, y2 = options["crop_xyxy"]
    assert viewed(picture(*size), camera(**options)).shape == (y2 - y1, x2 - x1, 3)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"crop_xyxy": (0, 0, 641, 480)}, "640x480"),  # one pixel too wide
        ({"crop_xyxy": (0, 0, 640, 481)}, "640x480"),  # one pixel too high
        ({"crop_xyxy": (700, 0, 800, 480)}, "640x480"),  # completely outside
        ({"crop_xyxy": (0, 0, 640, 480), "rotate": 90}, "480x640"),  # inside the image, but not inside the rotated one
        ({"crop_xyxy": (0, 0, 640, 481), "resize": 32}, "640x480"),  # resize doesn't help: it comes after the crop
    ],
)
def test_the_error_for_a_crop_beyond_the_image_gives_the_crop_and_the_size(options, shape):
    with pytest.raises(SourceError) as caught:
        viewed(picture(640, 480), camera(**options))
    assert caught.value.reason is SourceReason.MODE
    assert str(list(options["crop_xyxy"])) in str(caught.value)
    assert shape in str(caught.value)


@pytest.mark.parametrize("options", [{"rotate": 90}, {"crop_xyxy": (3, 3, 9, 9)}, {"resize": 32}])
def test_a_read_only_image_is_accepted(options):
    image = picture(64, 48)
    image.setflags(write=False)
    assert viewed(image, camera(**options)).size
