"""People and a cat in one picture: real detections, tracks with labels, and the message."""

from pathlib import Path

import cv2
import numpy as np

from realtime import PoseTracker
from realtime.publish.message import to_message


def test_a_cat_and_people_in_one_picture_are_tracked_with_labels_and_separate_ids(
    yolov8n: Path, photographs: list[Path], cat_picture: Path
) -> None:
    sides = [cv2.imread(str(path)) for path in (cat_picture, photographs[1])]
    both = np.hstack([cv2.resize(side, (640, 480)) for side in sides])
    keys = {"detector_engine": "torch", "detector_precision": "fp32"}
    classes_of: dict[int, set[str]] = {}
    with PoseTracker(
        detector_weights=yolov8n, pose_model="none", detector_classes=["cat", "person"], device="cpu", **keys
    ) as tracker:
        for k in range(4):
            poses = tracker(np.roll(both, 3 * k, axis=1), time_s=k / 25)
            for track_id, label, (x1, *_) in zip(poses.track_ids, poses.labels, poses.xyxy, strict=True):
                classes_of.setdefault(int(track_id), set()).add(str(label))
                assert (label == "person") == (x1 > 600)  # the people are in the right half
        drawn = tracker.draw(poses)
    assert {"cat"} in classes_of.values()
    assert list(classes_of.values()).count({"person"}) >= 2
    assert all(len(classes) == 1 for classes in classes_of.values())
    assert to_message(poses, "s1", 0, "none").labels == poses.labels.tolist()
    assert (drawn != poses.frame.image).any()
