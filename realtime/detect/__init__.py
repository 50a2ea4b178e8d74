"""Person detection: Frame -> Detections. It sits between the door and the tracker."""
