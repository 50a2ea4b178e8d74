"""Identity: Detections -> Tracks. Between the detector and the pose model; one tracker per camera."""
