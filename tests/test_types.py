"""The message for a field that does not fit: the field, the expected value and the value found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from realtime.types import Detections, Frame, Poses, Tracks
from tests.builders import make_detections, make_frame, make_poses, make_tracks

F32, F64 = np.float32, np.float64

# What two people with 17 keypoints look like: each field, of the right dtype and shape.
FIELDS: dict[type, dict[str, object]] = {
    Frame: {"camera": "cam0", "epoch": 0, "index": 0, "image": np.zeros((48, 64, 3), np.uint8), "time_s": 0.0}
    | {"captured_mono_ns": 0, "captured_unix_ns": 0},
    Detections: {"frame": make_frame(), "xyxy": np.array([(0, 0, 9, 9), (5, 5, 50, 90)], F32)}
    | {"scores": np.ones(2, F32), "keypoints": np.ones((2, 17, 3), F32)},
    Tracks: {"frame": make_frame(), "xyxy": np.ones((2, 4), F32), "scores": np.ones(2, F32)}
    | {"track_ids": np.array([1, 2]), "measured": np.ones(2, np.bool_), "keypoints": np.ones((2, 17, 3), F32)},
    Poses: {"frame": make_frame(), "track_ids": np.array([1, 2]), "xyxy": np.ones((2, 4), F32)}
    | {"scores": np.ones(2, F32), "keypoints": np.ones((2, 17, 2), F32), "keypoint_scores": np.ones((2, 17), F32)}
    | {"measured": np.ones(2, np.bool_), "raw": np.ones((2, 17, 2), F32)},
}


def every(n: int, *shape: int, dtype: type = F32) -> np.ndarray:
    """An array that is not contiguous: every nth row of a larger one."""
    return np.ones((n * shape[0], *shape[1:]), dtype)[::n]


@pytest.mark.parametrize("owner", FIELDS)
def test_fields_that_fit_are_kept_as_they_are(owner: Callable[..., object]) -> None:
    made = owner(**FIELDS[owner])
    for name, value in FIELDS[owner].items():
        assert getattr(made, name) is value


@pytest.mark.parametrize(
    ("owner", "field", "value", "message"),
    [
        # not an array
        (Frame, "image", None, "expected a numpy array, got NoneType"),
        (Detections, "xyxy", [(0, 0, 9, 9), (5, 5, 50, 90)], "expected a numpy array, got list"),
        (Tracks, "track_ids", (1, 2), "expected a numpy array, got tuple"),
        (Poses, "keypoint_scores", 0.5, "expected a numpy array, got float"),
        # another dtype
        (Frame, "image", np.zeros((48, 64, 3), F32), "expected dtype uint8, got float32"),
        (Detections, "xyxy", np.ones((2, 4), F64), "expected dtype float32, got float64"),
        (Detections, "keypoints", np.ones((2, 17, 3), F64), "expected dtype float32, got float64"),
        (Tracks, "scores", np.ones(2, F64), "expected dtype float32, got float64"),
        (Tracks, "track_ids", np.array([1, 2], np.int32), "expected dtype int64, got int32"),
        (Tracks, "measured", np.ones(2, np.uint8), "expected dtype bool, got uint8"),
        (Poses, "keypoints", np.ones((2, 17, 2), F64), "expected dtype float32, got float64"),
        (Poses, "raw", np.ones((2, 17, 2), F64), "expected dtype float32, got float64"),
        (Tracks, "labels", np.array([1, 2]), "expected dtype <U0, got int64"),
        # another number of axes, or another size of one
        (Frame, "image", np.zeros((48, 64), np.uint8), "expected shape (H, W, 3), got (48, 64)"),
        (Frame, "image", np.zeros((48, 64, 4), np.uint8), "expected shape (H=48, W=64, 3), got (48, 64, 4)"),
        (Detections, "xyxy", np.ones(4, F32), "expected shape (N, 4), got (4,)"),
        (Tracks, "xyxy", np.ones((2, 5), F32), "expected shape (N=2, 4), got (2, 5)"),
        (Tracks, "keypoints", np.ones((2, 17, 2), F32), "expected shape (N=2, K=17, 3), got (2, 17, 2)"),
        (Poses, "keypoints", np.ones((2, 17, 3), F32), "expected shape (N=2, K=17, 2), got (2, 17, 3)"),
        # another number of people than in the fields before it
        (Detections, "scores", np.ones(3, F32), "expected shape (N=2), got (3,)"),
        (Poses, "labels", np.array(["cat"]), "expected shape (N=2), got (1,)"),
        (Detections, "keypoints", np.ones((3, 17, 3), F32), "expected shape (N=2, K, 3), got (3, 17, 3)"),
        (Tracks, "measured", np.ones(1, np.bool_), "expected shape (N=2), got (1,)"),
        (Poses, "xyxy", np.ones((0, 4), F32), "expected shape (N=2, 4), got (0, 4)"),
        # another number of keypoints
        (Poses, "keypoint_scores", np.ones((2, 16), F32), "expected shape (N=2, K=17), got (2, 16)"),
        (Poses, "raw", np.ones((2, 16, 2), F32), "expected shape (N=2, K=17, 2), got (2, 16, 2)"),
        # not contiguous
        (Frame, "image", every(2, 48, 64, 3, dtype=np.uint8), "expected a C-contiguous array, got strides (384, 3, 1)"),
        (Detections, "xyxy", np.ones((4, 2), F32).T, "expected a C-contiguous array, got strides (4, 8)"),
        (Tracks, "track_ids", every(2, 2, dtype=np.int64), "expected a C-contiguous array, got strides (16,)"),
        (Poses, "scores", every(3, 2), "expected a C-contiguous array, got strides (12,)"),
    ],
)
def test_the_error_names_the_field_and_the_expected_and_the_actual_value(
    owner: type, field: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        owner(**FIELDS[owner] | {field: value})
    assert str(caught.value) == f"{owner.__name__}.{field}: {message}"


# No width, no height, or corners in the wrong order.
@pytest.mark.parametrize("box", [(5, 0, 5, 9), (0, 9, 9, 9), (9, 0, 5, 9), (0, 9, 9, 5), (0, 0, np.nan, 9)])
def test_a_detection_without_an_area_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"^Detections.xyxy: expected x2 > x1 and y2 > y1 in every row$"):
        make_detections(make_frame(), [(0, 0, 9, 9), box])


def test_a_frame_makes_its_image_read_only() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    make_frame(image=image)
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 1


def test_an_empty_frame_has_no_people_but_keeps_its_number_of_keypoints() -> None:
    frame = make_frame()
    assert [len(empty) for empty in (Detections.empty(frame), Tracks.empty(frame), Poses.empty(frame, 17))] == [0, 0, 0]
    assert Poses.empty(frame, 5).keypoints.shape == (0, 5, 2)
    assert not Detections.empty(frame, looked=False).looked


def test_poses_take_over_the_people_of_their_tracks() -> None:
    tracks = make_tracks(make_frame(), [(0, 0, 9, 9)], ids=[7], measured=False, ended=(3,))
    poses = Poses.of(tracks, np.ones((1, 17, 2), F32), np.ones((1, 17), F32))
    for name in ("frame", "xyxy", "scores", "track_ids", "measured", "ended"):
        assert getattr(poses, name) is getattr(tracks, name)
    assert poses.raw is None


def test_people_are_not_compared_field_by_field() -> None:
    """With `==`, numpy would compare arrays element by element, and raise an error for two people or more."""
    poses = make_poses(make_frame(), np.ones((2, 17, 2)))
    assert poses == poses
    assert poses != make_poses(make_frame(), np.ones((2, 17, 2)))
