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
def test_overlaps_are_intersections_over_unions(first: np.ndarray, second: np.ndarray) -> None:
    np.testing.assert_allclose(overlaps(first, second), iou(first, second), atol=1e-12)


def test_no_boxes_have_no_overlaps() -> None:
    none, some = np.zeros((0, 4)), np.array([[0.0, 0, 10, 10]])
    assert overlaps(none, some).shape == (0, 1)
    assert overlaps(some, none).shape == (1, 0)
