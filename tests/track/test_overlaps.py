import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime.boxes import iou
from realtime.track.overlaps import largest_cover, overlaps

sides = st.floats(1, 300)
boxes = st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500), sides, sides), min_size=1, max_size=6).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows])
)


@given(boxes, boxes)
def test_overlaps_are_intersections_over_unions(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(overlaps(first, second), iou(first, second), atol=1e-12)


def test_no_boxes_have_no_overlaps() -> None:
    none, some = np.zeros((0, 4)), np.array([[0.0, 0, 10, 10]])
    assert overlaps(none, some).shape == (0, 1)
    assert overlaps(some, none).shape == (1, 0)


@given(boxes, boxes)
def test_the_largest_cover_is_the_largest_share_of_an_intersection(first: np.ndarray, second: np.ndarray) -> None:
    shared = overlaps(first, second)
    areas, others = ((each[:, 2:] - each[:, :2]).prod(1) for each in (first, second))
    intersections = shared / (1 + shared) * (areas[:, np.newaxis] + others)
    np.testing.assert_allclose(largest_cover(first, second), (intersections / areas[:, np.newaxis]).max(1), atol=1e-9)


def test_a_box_without_others_is_not_covered() -> None:
    assert largest_cover(np.array([[0.0, 0, 10, 10]]), np.zeros((0, 4))).tolist() == [0.0]
