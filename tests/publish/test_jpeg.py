"""Pictures: their sizes, their content, and sizes that JPEG can't hold."""

import cv2
import numpy as np
import pytest

from realtime import wire
from realtime.capture.demo import demo_frame
from realtime.publish.jpeg import size_for, to_jpeg
from realtime.types import Motion


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), [(320, 180), (640, 360), (1280, 720), (1920, 1080)]),
        ((640, 480), [(320, 240), (640, 480), (640, 480), (640, 480)]),  # never enlarged
        ((321, 100), [(320, 100), (321, 100), (321, 100), (321, 100)]),
        ((1, 60_000), [(1, 60_000)] * 4),
        ((60_000, 1), [(320, 1), (640, 1), (1280, 1), (60_000, 1)]),  # no side is 0
    ],
)
def test_a_picture_has_the_shape_of_the_frame_and_is_never_wider_than_asked(
    size: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert [size_for(size, width) for width in wire.WIDTHS] == expected


@pytest.mark.parametrize("width", wire.WIDTHS)
def test_the_picture_shows_the_frame(width: wire.Width) -> None:
    frame = demo_frame(0)
    frame.setflags(write=False)
    size = size_for((frame.shape[1], frame.shape[0]), width)
    shown = cv2.imdecode(np.frombuffer(to_jpeg(frame, size), np.uint8), cv2.IMREAD_COLOR)
    assert (shown.shape[1], shown.shape[0]) == size
    expected = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - expected).mean() < 6  # grey levels; another frame of the demo differs by 20


@pytest.mark.parametrize(("size", "is_possible"), [((1, 60_000), True), ((1, 65_500), True), ((1, 65_501), False)])
def test_a_side_that_jpeg_cannot_hold_is_refused(size: tuple[int, int], is_possible: bool) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    if is_possible:
        assert to_jpeg(image, size)[:2] == b"\xff\xd8"
    else:
        with pytest.raises(ValueError, match="got 1x65501 pixels, expected at most 64 megapixels and 65500"):
            to_jpeg(image, size)


def test_a_picture_of_too_many_pixels_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(ValueError, match="got 10000x7000 pixels"):
        to_jpeg(np.broadcast_to(np.uint8(0), (7000, 10_000, 3)), (10_000, 7000))


@pytest.mark.parametrize("capture", ["out", "err"])
def test_nothing_is_printed_about_a_picture_that_cannot_be_encoded(
    capture: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="pixels"):
        to_jpeg(np.zeros((70_000, 2, 3), np.uint8), (2, 70_000))
    assert getattr(capfd.readouterr(), capture) == ""


@pytest.mark.parametrize("size", [(160, 120), (80, 60)])
def test_motion_is_drawn_on_a_copy(size: tuple[int, int]) -> None:
    image = np.full((120, 160, 3), 90, np.uint8)
    image.setflags(write=False)
    motion = Motion("active", np.float32([[40, 40, 80, 80]]), 0.0, (np.float32([[80, 0], [160, 0], [160, 120]]),))
    with_it, without = (
        cv2.imdecode(np.frombuffer(to_jpeg(image, size, what), np.uint8), cv2.IMREAD_COLOR) for what in (motion, None)
    )
    assert (image == 90).all()
    assert np.abs(without.astype(int) - 90).max() < 5
    assert np.abs(with_it.astype(int) - 90).max() > 50
