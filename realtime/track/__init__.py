"""Tracking: Detections -> Tracks. It sits between the detector and the pose model; one tracker per camera."""
