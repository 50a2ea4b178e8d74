"""Temporal smoothing: filters that remove the jitter from each person's keypoints.

Poses -> Poses, between the pose model and the publisher.
"""
