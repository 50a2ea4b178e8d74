import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.capture.demo import demo_canvas, demo_people
from realtime.pose.stillness import Stillness
from tests.pose.clothes import dressed

# The person of the built-in source in the middle of bus.jpg, 275 px high, and the others.
BOXES = demo_people()
BOX = BOXES[1]
HEIGHT = float(BOX[3] - BOX[1])


def noisy(image, sigma=3.0, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, (*image.shape[:2], 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def moved_limb(box=BOX, share=0.01, at=(0.5, 0.6)):
    """The people, one with a part of a tenth of their height moved sideways by a share of their height."""
    height = max(box[2:] - box[:2])  # one of them sits
    x, y = box[:2] + np.array(at) * (box[2:] - box[:2])
    rows, columns = np.mgrid[: demo_canvas().shape[0], : demo_canvas().shape[1]].astype(np.float32)
    near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (0.06 * height) ** 2))
    return cv2.remap(demo_canvas(), np.float32(columns - near * share * height), rows, cv2.INTER_LINEAR)


def has_changed(now, *, before=None, box=BOX, now_box=None):
    stillness = Stillness()
    stillness.remember(noisy(demo_canvas(), seed=1) if before is None else before, box)
    return stillness.has_changed(now, box if now_box is None else now_box, 0.04)


NO_CHANGES = {
    "noise": lambda image: image,
    "less light": lambda image: image * 0.7,
    "another exposure": lambda image: 255 * (image / 255) ** 1.1,
}


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_noise_and_other_light_are_no_change(change):
    one, other = noisy(demo_canvas(), seed=1), noisy(change(demo_canvas().astype(np.float64)))
    assert [has_changed(other, before=one, box=box) for box in BOXES] == [False] * len(BOXES)
    assert [has_changed(one, before=other, box=box) for box in BOXES] == [False] * len(BOXES)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
def test_noise_of_any_strength_is_no_change(sigma):
    before, now = (noisy(demo_canvas(), sigma, seed) for seed in (1, 2))
    assert [has_changed(now, before=before, box=box) for box in BOXES] == [False] * len(BOXES)


@pytest.mark.parametrize("box", BOXES)
def test_a_limb_that_moves_by_2_percent_of_the_height_is_a_change(box):
    assert has_changed(noisy(moved_limb(box, 0.02)), box=box)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_a_movement_counts_in_other_light_too(share):
    assert has_changed(noisy(moved_limb(share=share) * 0.8))


def test_a_slow_movement_adds_up_because_the_picture_of_the_last_measurement_stays():
    stillness = Stillness()
    stillness.remember(noisy(demo_canvas(), seed=1), BOX)
    shares = np.arange(0, 0.02, 0.001)
    changed = [stillness.has_changed(noisy(moved_limb(share=share)), BOX, i / 25) for i, share in enumerate(shares)]
    assert changed[0] is False
    assert changed[-1] is True


@pytest.mark.parametrize("amplitude", [8, 12, 20])
@pytest.mark.parametrize("height", [85, 170, 340])
def test_a_person_who_turns_inside_their_box_is_not_taken_for_noise(amplitude, height):
    stillness = Stillness()
    before, box = dressed(amplitude, height=height, seed=1)
    stillness.remember(before, box)
    assert not stillness.has_changed(dressed(amplitude, height=height, seed=2)[0], box, 0.04)
    for share in (0.03, 0.05, 0.08):
        for i in range(3):  # and it is not learned as noise either
            now, _ = dressed(amplitude, round(share * height), height=height, seed=3 + i)
            assert stillness.has_changed(now, box, 0.08 + i / 25)


def test_a_camera_that_shakes_counts_as_a_change_although_everything_moves():
    before, box = dressed(20, seed=1)
    stillness = Stillness()
    stillness.remember(before, box)
    assert stillness.has_changed(np.roll(before, 6, axis=1), box, 0.04)


def test_a_box_that_fills_the_frame_leaves_no_ring_and_is_compared_all_the_same():
    image = demo_canvas()[200:500, 200:420]
    box = np.float32([0, 0, 220, 300])
    moved = image.copy()
    moved[150:165, 100:115] = 255 - moved[150:165, 100:115]
    assert not has_changed(noisy(image), before=noisy(image, seed=1), box=box)
    assert has_changed(noisy(moved), before=noisy(image, seed=1), box=box)


def test_a_box_that_jitters_is_no_change_and_one_that_moves_away_is():
    now = noisy(demo_canvas())
    assert not has_changed(now, now_box=BOX + np.float32([4, -6, -3, 5]))
    assert has_changed(now, now_box=BOX + np.float32([40, 0, 40, 0]))


def test_someone_who_passes_in_front_is_a_change():
    image = demo_canvas().copy()
    x = int(BOX[0])
    image[300:420, x : x + 30] = 20
    assert has_changed(noisy(image))


@pytest.mark.filterwarnings("error")
def test_rounding_in_flat_parts_of_the_picture_makes_no_comparison_fail():
    """A blur of squares may be slightly negative beside a strong change, and a NaN would count as still."""
    image = np.full((400, 400, 3), 90, np.uint8)
    box, stillness = np.float32([100, 50, 250, 350]), Stillness()
    stillness.remember(image, box)
    for size in range(3, 40, 3):
        now = image.copy()
        now[100 : 100 + size, 110 : 110 + size] = 255
        assert stillness.has_changed(now, box, size / 25)


def test_a_person_never_measured_counts_as_changed():
    assert Stillness().has_changed(demo_canvas(), BOX, 0.0)


coordinates = st.floats(-1e5, 1e5, width=32)


@given(box=st.tuples(*[coordinates] * 4), size=st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=100, deadline=None)
def test_any_box_and_any_image_can_be_compared(box, size):
    """Boxes are clipped by the tracker, but a flat, blank or tiny one must not stop the run."""
    stillness, image = Stillness(), np.zeros((*size, 3), np.uint8)
    stillness.remember(image, np.array(box, np.float32))
    assert stillness.has_changed(image, np.array(box, np.float32), 1.0) in (True, False)
