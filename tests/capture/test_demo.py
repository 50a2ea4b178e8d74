import importlib.util

import cv2
import numpy as np
import pytest

from realtime.capture import demo
from realtime.capture.demo import (
    DEMO_FRAMES,
    DEMO_SIZE,
    DemoSource,
    demo_canvas,
    demo_frame,
    demo_motion,
    demo_people,
)
from realtime.errors import SourceError


def mapped(motion, points):
    return points @ motion[:, :2].T + motion[:, 2]


def test_the_same_index_always_yields_the_same_frame():
    assert np.array_equal(demo_frame(123), demo_frame(123))
    assert demo_frame(0).shape == (DEMO_SIZE[1], DEMO_SIZE[0], 3)


def test_the_loop_is_seamless():
    assert np.array_equal(demo_frame(DEMO_FRAMES), demo_frame(0))
    # The last frame and the first are as close as any two neighbouring frames.
    assert np.abs(demo_motion(DEMO_FRAMES) - demo_motion(DEMO_FRAMES - 1)).max() < 4


def test_people_move_smoothly_and_no_faster_than_pedestrians():
    corners = demo_people().reshape(-1, 2)
    path = np.array([mapped(demo_motion(k), corners) for k in range(DEMO_FRAMES + 2)])
    steps = np.linalg.norm(np.diff(path, axis=0), axis=2)
    assert steps.max() < 4.0
    assert np.linalg.norm(np.diff(path, n=2, axis=0), axis=2).max() < 0.2
    assert np.ptp(path, axis=0).min() > 30  # every corner does move


def test_all_people_are_in_view_in_every_frame():
    corners = demo_people().reshape(-1, 2)
    assert len(corners) == 2 * 5
    for k in range(DEMO_FRAMES):
        seen = mapped(demo_motion(k), corners)
        assert (seen >= 0).all()
        assert (seen <= DEMO_SIZE).all()


@pytest.mark.parametrize("k", [0, 77, 300, 450])
def test_a_patch_of_the_canvas_appears_where_the_motion_maps_it(k):
    # The top left corner of the first person's box, which resembles nothing else on the wall.
    x, y = demo_people()[0, :2].round().astype(int)
    size = 64
    patch = demo_canvas()[y : y + size, x : x + size]
    motion = demo_motion(k)
    zoomed = cv2.resize(patch, None, fx=motion[0, 0], fy=motion[1, 1])
    match = cv2.matchTemplate(demo_frame(k), zoomed, cv2.TM_CCOEFF_NORMED)
    found = np.array(np.unravel_index(match.argmax(), match.shape))[::-1]
    assert match.max() > 0.95
    assert found == pytest.approx(mapped(motion, np.array([x, y])), abs=1.5)


def test_the_source_has_timestamps_of_its_own_and_is_not_live():
    source = DemoSource()
    pictures = [source.read() for _ in range(4)]
    assert [p.media_s for p in pictures] == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])
    assert not source.live
    assert np.array_equal(pictures[2].image, demo_frame(2))


def test_without_ultralytics_the_error_names_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(demo, "_offered", [])  # an earlier test may have loaded exported networks
    demo_canvas.cache_clear()
    with pytest.raises(SourceError, match=r"pip install 'realtime-pose\[run\]'"):
        demo.DemoSource()
