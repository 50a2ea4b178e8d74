"""Which pictures are due: rates per camera and width, a share for the widest, and readers that come and go."""

import itertools

import numpy as np
import pytest

from realtime.publish.demand import Demand


def taken(demand: Demand, camera: str, fps: float, seconds: float, jitter_s: float = 0.0) -> dict[str, int]:
    """How many pictures of each width are taken of a camera whose frames arrive at this rate."""
    random = np.random.default_rng(0)
    counts: dict[str, int] = {}
    for number in range(round(fps * seconds)):
        now_s = 100.0 + number / fps + random.uniform(-jitter_s, jitter_s)
        if demand.is_due(camera, now_s):
            for width in demand.take(camera, now_s):
                counts[width] = counts.get(width, 0) + 1
    return counts


def wanting(*pictures: tuple[str, str], fps: float = 5.0) -> Demand:
    demand = Demand(fps)
    demand.update(set(pictures), now_s=0.0)
    return demand


def test_nothing_is_due_until_it_is_subscribed_to_and_after_it_is_cancelled() -> None:
    demand = Demand(5.0)
    assert not demand.is_due("cam0", 1.0)
    demand.update({("cam0", "320")}, now_s=1.0)
    assert demand.is_due("cam0", 1.0)
    assert not demand.is_due("cam1", 1.0)
    demand.update(set(), now_s=1.0)
    assert not demand.is_due("cam0", 2.0)
    assert demand.take("cam0", 2.0) == []  # it was offered a moment before


@pytest.mark.parametrize("frames_fps", [30.0, 25.0, 60.0, 7.0])
def test_a_width_that_is_not_the_widest_gets_at_most_its_rate(frames_fps: float) -> None:
    demand = wanting(("cam0", "320"), ("yard", "640"))
    assert taken(demand, "cam0", frames_fps, 10.0)["320"] == pytest.approx(50, abs=3)


@pytest.mark.parametrize(
    ("cameras", "each_fps"),
    [(1, 30), (2, 15), (6, 5), (20, 5)],  # thirty together, but never less than pictures_fps
)
def test_the_cameras_at_the_widest_width_share_thirty_per_second(cameras: int, each_fps: int) -> None:
    demand = wanting(*((f"cam{number}", "640") for number in range(cameras)), ("small", "320"))
    assert taken(demand, "cam0", 60.0, 10.0)["640"] == pytest.approx(10 * each_fps, abs=2)


def test_a_higher_configured_rate_holds_for_every_width() -> None:
    demand = wanting(*((f"cam{number}", "640") for number in range(20)), ("cam0", "320"), fps=12.0)
    assert taken(demand, "cam0", 60.0, 10.0) == {"320": pytest.approx(120, abs=2), "640": pytest.approx(120, abs=2)}


def test_a_camera_at_the_rate_itself_loses_no_picture_to_frames_that_come_a_little_early() -> None:
    assert taken(wanting(("cam0", "full")), "cam0", 30.0, 10.0, jitter_s=0.008)["full"] >= 298


def test_a_slow_camera_gives_every_frame_and_no_burst_follows() -> None:
    demand = wanting(("cam0", "320"), ("yard", "full"))
    assert taken(demand, "cam0", 1.0, 10.0) == {"320": 10}
    burst = [demand.take("cam0", 200.0 + number / 1000) for number in range(100)]
    assert sum(map(bool, burst)) <= 2  # of 0.1 s at 1000 frames per second


def test_a_reader_that_comes_and_goes_gets_no_more_pictures_than_one_that_stays() -> None:
    demand = Demand(5.0)
    count = 0
    for number in range(1000):
        now_s = number / 100
        demand.update({("cam0", "320"), ("yard", "640")} if number % 2 else {("yard", "640")}, now_s)
        count += demand.is_due("cam0", now_s) and bool(demand.take("cam0", now_s))
    assert count <= 52


def test_a_width_that_becomes_the_widest_speeds_up_at_once() -> None:
    demand = wanting(("cam0", "320"), ("yard", "640"), fps=0.01)
    assert demand.take("cam0", 0.0) == ["320"]
    demand.update({("cam0", "320")}, now_s=1.0)
    assert demand.is_due("cam0", 1.04)


def test_pictures_that_are_no_longer_wanted_are_forgotten() -> None:
    demand = Demand(5.0)
    for number, width in itertools.product(range(300), ("320", "640")):
        demand.update({(f"cam{number}", width)}, now_s=float(number))
        demand.take(f"cam{number}", float(number))
    assert len(demand._next_s) <= 4
