import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from realtime.boxes import iou, largest_cover, speed_of

_sides = st.floats(1, 300)
some_boxes = st.lists(
    st.tuples(st.floats(-500, 500), st.floats(-500, 500), _sides, _sides), min_size=1, max_size=6
).map(lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows]))


def test_iou_equals_that_of_torchvision() -> None:
    corners = np.random.default_rng(0).uniform(0, 100, (40, 2, 2)).astype(np.float32)
    boxes = np.sort(corners, axis=1).reshape(-1, 4)
    expected = box_iou(torch.from_numpy(boxes[:15]), torch.from_numpy(boxes)).numpy()
    np.testing.assert_allclose(iou(boxes[:15], boxes), expected, rtol=1e-5, atol=1e-6)
    assert (expected > 0.1).sum() > 30


def test_iou_accepts_boxes_without_an_area_and_empty_arrays() -> None:
    boxes = np.array([(0, 0, 10, 10), (3, 3, 3, 3), (20, 0, 20, 10)], np.float64)
    np.testing.assert_array_equal(iou(boxes, boxes), np.diag([1.0, 0, 0]))
    assert iou(boxes[:0], boxes).shape == (0, 3)
    assert iou(boxes, boxes[:0]).shape == (3, 0)


@given(some_boxes, some_boxes)
def test_the_largest_cover_is_the_largest_share_of_an_intersection(first: np.ndarray, second: np.ndarray) -> None:
    shared = iou(first, second)
    areas, others = ((each[:, 2:] - each[:, :2]).prod(1) for each in (first, second))
    intersections = shared / (1 + shared) * (areas[:, np.newaxis] + others)
    np.testing.assert_allclose(largest_cover(first, second), (intersections / areas[:, np.newaxis]).max(1), atol=1e-9)


def test_a_box_without_others_is_not_covered() -> None:
    assert largest_cover(np.array([[0.0, 0, 10, 10]]), np.zeros((0, 4))).tolist() == [0.0]
    assert largest_cover(np.zeros((0, 4))).shape == (0,)


def test_without_other_boxes_each_is_compared_with_the_rest() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [8, 0, 9, 10], [50, 0, 60, 10]])
    assert largest_cover(boxes).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_a_speed_is_the_least_squares_fit_and_0_for_a_single_box() -> None:
    random = np.random.default_rng(0)
    times_s = np.cumsum(random.uniform(0.02, 0.2, 6))
    boxes = random.uniform(0, 100, (6, 4))
    np.testing.assert_allclose(speed_of(times_s, boxes), np.polyfit(times_s, boxes, 1)[0])
    np.testing.assert_array_equal(speed_of(times_s[:1], boxes[:1]), 0)
