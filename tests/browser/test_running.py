"""The page in a real browser, beside a running pipeline: skeletons and pictures are where and what they should be.

A plain subscriber reads the same stream, so the tests know what belongs to the frame that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from .people import pose_weights
from .running import DEMO, Web, view
from .skeletons import agreement, picture_error, share_on_people, shown

# The detector's own keypoints, at the size at which it finds all five people in every frame.
POSES = "--detector.size", "640", "--pose.model", "detector"
MIN_SCORE = 0.3
# The options that the page keeps: nothing but skeletons.
PLAIN = {"skeletonOnly": True, "labels": False, "trails": False, "threshold": MIN_SCORE}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The program on its demo source."""
    folder = tmp_path_factory.mktemp("demo")
    with Web(*DEMO, *POSES, "--detector.weights", str(pose_weights()), folder=folder) as program:
        program.until_pose()
        yield program


@pytest.fixture(params=["desktop", pytest.param("phone", marks=pytest.mark.browser)])
def size(request: pytest.FixtureRequest) -> str:
    return request.param


def test_skeletons_lie_on_the_people_of_the_frame_that_is_shown(demo: Web, open_page, size):
    page = open_page(demo.address, size=size, density=3 if size == "phone" else 1, options=PLAIN)
    page.wait_for_selector(view("cam0", state="live", picture="none") + "[data-seq]")
    demo.until(lambda: demo.told and demo.subscriber.of("info"), what="info")
    edges = [tuple(edge) for edge in demo.subscriber.of("info")[-1].body["edges"]]
    right, wrong = [], []
    for _ in range(5):
        seen = shown(page, "cam0")
        pose, earlier = demo.pose(seen.seq), demo.pose(max(0, seen.seq - 20))
        right.append(agreement(seen, pose, edges, MIN_SCORE))
        wrong.append(agreement(seen, earlier, edges, MIN_SCORE))
        share, least = share_on_people(seen, pose.frame)
        assert share > 0.95
        assert least > 0.02, "a person without a skeleton"
        # Both checks can tell this frame from those of another moment.
        assert min(share_on_people(seen, pose.frame + late)[0] for late in (80, 120, 160)) < 0.8
        page.wait_for_timeout(200)
    assert np.min(right) > 0.95
    assert np.mean(wrong, axis=0).max() < 0.7


def test_the_picture_is_that_of_the_same_frame(demo: Web, open_page):
    page = open_page(demo.address, options={**PLAIN, "skeletonOnly": False, "threshold": 0.95})
    page.wait_for_selector(view("cam0", state="live") + '[data-picture]:not([data-picture="none"])')
    for _ in range(3):
        seen = shown(page, "cam0")
        frame = demo.pose(seen.seq).frame
        errors = {late: picture_error(seen, frame + late) for late in (-6, -3, -1, 0, 1, 3, 6)}
        assert min(errors, key=errors.__getitem__) == 0, errors
        page.wait_for_timeout(300)
