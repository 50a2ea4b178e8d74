import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime.boxes import iou
from realtime.track.overlaps import overlaps

sides = st.floats(1, 300)
boxes = st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500), sides, sides), min_size=1, max_size=6).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows])
)


@given(boxes, boxes)
def test_boxes_that_do_not_grow_have_their_intersection_over_union(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(overlaps(first, second), iou(first, second), atol=1e-12)


@given(boxes, boxes, st.floats(0, 2))
def test_grown_boxes_overlap_as_boxes_of_that_size_do(first: np.ndarray, second: np.ndarray, part: float) -> None:
    larger = [grow(each, part) for each in (first, second)]
    np.testing.assert_allclose(overlaps(first, second, np.full(len(first), part)), iou(*larger), atol=1e-9)


def grow(xyxy: np.ndarray, part: float) -> np.ndarray:
    more = part * (xyxy[:, 2:] - xyxy[:, :2])
    return np.hstack([xyxy[:, :2] - more, xyxy[:, 2:] + more])


def test_no_boxes_have_no_overlaps() -> None:
    none, some = np.zeros((0, 4)), np.array([[0.0, 0, 10, 10]])
    assert overlaps(none, some).shape == (0, 1)
    assert overlaps(some, none, np.array([0.5])).shape == (1, 0)
