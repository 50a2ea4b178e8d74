import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.detect.letterbox import Letterbox


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([320, 640, 1280]))
def test_the_input_is_a_multiple_of_the_stride_and_points_map_back_to_the_frame(
    width: int, height: int, size: int
) -> None:
    letterbox = Letterbox.of((width, height), size, 32)
    assert max(letterbox.input_size) == size or max(letterbox.scaled_size) == size
    assert all(side % 32 == 0 for side in letterbox.input_size)
    scaled = np.array(letterbox.scaled_size, np.float32) / (width, height)
    points = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float32)
    there = points * scaled + (letterbox.left, letterbox.top)
    np.testing.assert_allclose(letterbox.to_frame(there.astype(np.float32)), points, rtol=1e-4, atol=1e-2)


def test_a_frame_is_centred_on_a_grey_background() -> None:
    for size, shape, columns in (((100, 50), (32, 64), slice(0, 64)), ((50, 110), (64, 32), slice(1, 30))):
        letterbox = Letterbox.of(size, 64, 32)
        assert letterbox.input_size == shape[::-1]
        image = np.full((*shape, 3), 7, np.uint8)
        letterbox.apply(np.zeros((*size[::-1], 3), np.uint8), image)
        expected = np.full((*shape, 3), 114, np.uint8)
        expected[:, columns] = 0
        np.testing.assert_array_equal(image, expected)


sides = st.integers(1, 40).map(lambda n: 32 * n)


@settings(deadline=None)  # no test asserts a duration
@given(st.integers(1, 4000), st.integers(1, 4000), sides, sides, st.sampled_from([160, 640, 1280]))
def test_a_frame_fits_into_a_given_input_and_points_map_back_to_it(
    width: int, height: int, input_width: int, input_height: int, size: int
) -> None:
    own = Letterbox.of((width, height), size, 32)
    letterbox = Letterbox.of((width, height), size, 32, (input_width, input_height))
    assert letterbox.input_size == (input_width, input_height)
    assert letterbox.left >= 0 <= letterbox.top
    assert letterbox.right >= 0 <= letterbox.bottom
    assert all(there <= here for there, here in zip(letterbox.scaled_size, own.scaled_size, strict=True))
    scaled = np.array(letterbox.scaled_size, np.float32) / (width, height)
    points = np.array([[0, 0], [width, height], [width / 3, height / 7]], np.float32)
    there = points * scaled + (letterbox.left, letterbox.top)
    np.testing.assert_allclose(letterbox.to_frame(there.astype(np.float32)), points, rtol=1e-4, atol=2e-2)
