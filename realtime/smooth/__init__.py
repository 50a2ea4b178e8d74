"""Temporal smoothing: what the pose model says of a person, frame after frame, becomes calm motion. Poses -> Poses."""
