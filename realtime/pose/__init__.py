"""Pose estimation: Tracks -> Poses. Between the tracker and the smoother."""
