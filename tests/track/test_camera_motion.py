import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.track.camera_motion import LEAST_PEOPLE, camera_motion


def people(count: int, seed: int = 0) -> np.ndarray:
    """People of different heights who don't overlap."""
    random = np.random.default_rng(seed)
    heights = random.uniform(100, 200, count)
    left, top = np.arange(count) * 250.0, random.uniform(0, 300, count)
    return np.stack([left, top, left + 0.4 * heights, top + heights], 1)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(-80, 80), st.floats(-40, 40))
def test_a_jerk_of_the_camera_is_found_but_for_the_prior(seed: int, x: float, y: float) -> None:
    """Up to 0.8 of the smallest height. With 12 people, 2 of 14 count as still."""
    here = people(12, seed)
    found = camera_motion(here, np.random.default_rng(seed).permutation(here + np.array([x, y, x, y])))
    np.testing.assert_allclose(found, np.array([x, y]) * 12 / 14, atol=1e-6)


@given(st.integers(0, 1000), st.floats(1, 8))
def test_the_jitter_of_boxes_moves_a_still_camera_hardly(seed: int, jitter_px: float) -> None:
    random = np.random.default_rng(seed)
    found = camera_motion(here := people(10, seed), here + random.normal(0, jitter_px, here.shape))
    assert (np.abs(found) < jitter_px).all()


def test_the_mean_error_on_a_still_camera_is_a_small_part_of_the_jitter() -> None:
    random, here = np.random.default_rng(0), people(10)
    found = [camera_motion(here, here + random.normal(0, 4, here.shape)) for _ in range(500)]
    assert np.abs(found).mean() < 0.1


def test_one_who_runs_does_not_move_the_camera() -> None:
    here = people(6)
    seen = here.copy()
    seen[2] += [40, 0, 40, 0]
    assert camera_motion(here, seen).tolist() == [0, 0]


@given(st.integers(0, LEAST_PEOPLE - 1), st.integers(0, 5))
def test_few_people_say_nothing_of_the_camera(before: int, now: int) -> None:
    assert camera_motion(people(before), people(now) + 20).tolist() == [0, 0]
    assert camera_motion(people(now), people(before) + 20).tolist() == [0, 0]


def test_people_who_come_and_go_do_not_disturb() -> None:
    here = people(10)
    found = camera_motion(here[:8], here[3:] + np.array([30, 10, 30, 10]))
    np.testing.assert_allclose(found, np.array([30, 10]) * 5 / 7, atol=1e-6)


@settings(deadline=None)
@given(st.floats(0.3, 3), st.floats(-500, 500))
def test_a_larger_or_moved_picture_has_the_same_motion_in_its_own_pixels(scale: float, offset: float) -> None:
    here = people(7)
    seen = here + np.random.default_rng(3).normal(20, 2, here.shape)
    expected = camera_motion(here, seen) * scale
    np.testing.assert_allclose(camera_motion(here * scale + offset, seen * scale + offset), expected, atol=1e-6)
