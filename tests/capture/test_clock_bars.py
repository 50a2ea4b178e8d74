import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.capture.clock_bars import CELLS, MOST_MS, cells_of, draw_clock, read_clock
from realtime.capture.demo import demo_frame

NOW_MS = 1_764_374_400_123


def frame_with(time_ms, k=0):
    image = demo_frame(k)
    draw_clock(image, time_ms)
    return image


def jpeg(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def alone(time_ms, height=20, cell=10):
    """A bar code as a web page draws it: by itself."""
    return np.repeat(np.tile(np.where(cells_of(time_ms), 255, 0).astype(np.uint8), (height, 1)), cell, axis=1)


@given(st.integers(0, MOST_MS))
def test_any_time_is_read_as_it_was_drawn(time_ms):
    assert read_clock(alone(time_ms, height=2, cell=4)) == time_ms


@given(st.integers(0, MOST_MS))
def test_a_pattern_begins_with_a_white_cell_between_black_ones_and_never_repeats_a_colour_six_times(time_ms):
    cells = cells_of(time_ms)
    assert cells.shape == (CELLS,)
    assert cells[:3].tolist() == [False, True, False]
    text = "".join("#" if white else "." for white in cells)
    assert "." * 6 not in text
    assert "#" * 6 not in text


@pytest.mark.parametrize("time_ms", [-1, MOST_MS + 1])
def test_a_time_that_does_not_fit_is_refused(time_ms):
    with pytest.raises(ValueError, match=r"expected 0\.\."):
        cells_of(time_ms)


@pytest.mark.parametrize("width", [1280, 640, 500, 320, 200])
@pytest.mark.parametrize("quality", [40, 75])
def test_a_frame_of_the_demo_is_read_after_scaling_and_jpeg(width, quality):
    for k in (0, 200, 450):
        small = cv2.resize(frame_with(NOW_MS, k), (width, width * 9 // 16), interpolation=cv2.INTER_AREA)
        assert read_clock(jpeg(small, quality)) == NOW_MS


def test_either_edge_of_a_frame_is_enough():
    image = frame_with(NOW_MS)
    assert read_clock(image[100:]) == read_clock(image[:-100]) == NOW_MS
    assert read_clock(image[100:-100]) is None


@pytest.mark.parametrize("around", [0, 60, 128, 255])
def test_a_bar_code_of_any_size_is_found_anywhere_in_a_screenshot(around):
    for width, x, y in ((640, 77, 100), (333, 300, 3), (178, 0, 170)):
        shot = np.full((200, 800, 4), around, np.uint8)
        bars = cv2.resize(alone(NOW_MS), (width, 24), interpolation=cv2.INTER_LINEAR)
        shot[y : y + 24, x : x + width, :3] = bars[..., None]
        assert read_clock(shot) == NOW_MS


def test_a_frame_of_the_demo_without_a_clock_has_no_time():
    assert read_clock(demo_frame(0)) is None


def test_a_wrong_cell_is_never_read_as_another_time():
    bars = alone(NOW_MS, height=2)
    for cell in range(1, CELLS - 1):
        wrong = bars.copy()
        wrong[:, cell * 10 : (cell + 1) * 10] = 255 - wrong[:, cell * 10 : (cell + 1) * 10]
        assert read_clock(wrong) is None


def test_a_row_of_pixels_alone_is_not_a_bar_code():
    assert read_clock(alone(NOW_MS, height=1)) is None
