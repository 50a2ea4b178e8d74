"""The poses of the last seconds."""

import numpy as np

from realtime.dashboard.recent import LONGEST_S, MOST_BYTES, RecentPoses
from tests.wire import publisher


def test_a_pose_is_found_for_three_seconds():
    recent = RecentPoses()
    recent.add(publisher.pose(seq=0), 0.0)
    recent.add(publisher.pose(seq=1), LONGEST_S)
    assert recent.find("cam0", "s1", 0)
    recent.add(publisher.pose(seq=2), LONGEST_S + 0.1)
    assert recent.find("cam0", "s1", 0) is None
    assert recent.find("cam0", "s1", 1)


def test_poses_of_other_cameras_and_sessions_are_others():
    recent = RecentPoses()
    recent.add(publisher.pose(seq=0), 0.0)
    assert recent.find("cam1", "s1", 0) is None
    assert recent.find("cam0", "s2", 0) is None


def test_large_poses_are_dropped_before_they_are_old():
    recent = RecentPoses()
    large = {"keypoints": np.zeros((100, 1000, 2), np.float32), "keypoint_scores": np.zeros((100, 1000), np.float32)}
    for seq in range(60):
        recent.add(publisher.pose(seq=seq, n=100, **large), 0.0)
    assert recent._bytes <= MOST_BYTES
    assert recent.find("cam0", "s1", 59)
    assert recent.find("cam0", "s1", 0) is None


def test_the_same_number_twice_counts_once():
    recent = RecentPoses()
    for _ in range(100):
        recent.add(publisher.pose(seq=0), 0.0)
    assert len(recent._poses) == 1
