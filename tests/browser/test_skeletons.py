"""The checks of skeletons on canvases that are drawn here, right and wrong ones."""

import cv2
import numpy as np
import pytest

from realtime.capture.demo import DEMO_SIZE, demo_frame, demo_motion, demo_people

from .skeletons import Shown, picture_error, share_on_people

FRAME = 40


def shown(image: np.ndarray) -> Shown:
    canvas = np.zeros((400, 660, 3), np.uint8)
    canvas[20:380, 10:650] = image
    return Shown(0, DEMO_SIZE, "none", canvas, 0.5, 10.0, 20.0, 1.0)


def crosses(frame: int) -> Shown:
    """A cross over each person of the demo, as skeletons would lie."""
    image = np.full((360, 640, 3), 40, np.uint8)
    motion = demo_motion(frame)
    for x1, y1, x2, y2 in (demo_people().reshape(-1, 2, 2) @ motion[:, :2].T + motion[:, 2]).reshape(-1, 4) / 2:
        cv2.line(image, (round(x1), round(y1)), (round(x2), round(y2)), (0, 200, 255), 3)
        cv2.line(image, (round(x1), round(y2)), (round(x2), round(y1)), (0, 200, 255), 3)
    return shown(image)


def test_crosses_on_the_people_lie_on_the_people():
    share, least = share_on_people(crosses(FRAME), FRAME)
    assert share > 0.99
    assert least > 0.01


@pytest.mark.parametrize("late", [60, 150, 250])
def test_crosses_of_another_time_do_not(late):
    assert share_on_people(crosses(FRAME), FRAME + late)[0] < 0.97


def test_a_person_without_a_cross_is_found():
    image = crosses(FRAME).canvas[20:380, 10:650].copy()
    image[:, 320:] = 40
    assert share_on_people(shown(image), FRAME)[1] == 0


def test_the_picture_of_the_frame_has_the_least_error():
    seen = shown(cv2.resize(demo_frame(FRAME), (640, 360), interpolation=cv2.INTER_AREA))
    errors = {k: picture_error(seen, FRAME + k) for k in range(-4, 5)}
    assert min(errors, key=errors.__getitem__) == 0
    assert errors[0] < 2 < errors[4]
