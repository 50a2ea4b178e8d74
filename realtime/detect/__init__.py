"""Person detection: Frame -> Detections. Between the door and the tracker."""
