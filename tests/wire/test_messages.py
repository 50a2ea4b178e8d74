import msgspec
import numpy as np
import pytest

from realtime import wire
from tests.wire.examples import INFO, STATUS, pose


def test_the_arrays_have_the_documented_shapes():
    message = pose(n=2, k=3)
    assert message.boxes_array().shape == (2, 4)
    assert message.keypoints_array().shape == (2, 3, 3)
    assert pose(n=2, k=0).keypoints_array().shape == (2, 0, 3)
    assert pose(n=0).keypoints_array().shape == (0, 0, 3)


def test_topics_end_in_a_slash():
    assert [wire.pose_topic("a"), wire.info_topic("a"), wire.status_topic("a")] == [
        b"pose/a/",
        b"info/a/",
        b"status/a/",
    ]


# ---- messages that can't be built


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["boxes", "keypoints", "keypoint_scores", "scores"])
def test_arrays_with_nan_or_infinity_are_rejected(key, bad):
    shape = {"boxes": (2, 4), "keypoints": (2, 3, 2), "keypoint_scores": (2, 3), "scores": (2,)}[key]
    with pytest.raises(ValueError, match="expected finite"):
        pose(**{key: [bad] * 2 if key == "scores" else np.full(shape, bad, np.float32)})


def test_other_fields_with_nan_or_infinity_are_rejected():
    for changes in ({"media_s": float("nan")}, {"timing_ms": {"detect": float("inf")}}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            pose(**changes)
    with pytest.raises(ValueError, match="fps"):
        msgspec.structs.replace(STATUS, fps=float("nan"))
    with pytest.raises(ValueError, match="source_fps"):
        msgspec.structs.replace(INFO, source_fps=float("inf"))


def test_arrays_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match=r"boxes: got 16, expected 32"):
        pose(boxes=np.zeros((1, 4), np.float32))
