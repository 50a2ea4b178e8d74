"""Pose estimation: Tracks -> Poses, between the tracker and the smoother."""
