"""Our tracker with other rules: without one of its parts, or with another value of a number that was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realtime.config import TrackerConfig
from realtime.evaluate.tracking.trackers import OurTracker
from realtime.track import association, camera_motion
from realtime.track.association import Rules
from realtime.track.kalman import Noise
from realtime.types import Detections

# What differs from the defaults: "relink_s" of the configuration, an attribute of Rules ("sure_iou"), an attribute of
# one of its parts ("nearness.lost"), or a constant of track/camera_motion.py ("camera_motion._SURE").
Changes = Mapping[str, object]

# The rows of the ablation table: what is taken away, and how.
PARTS: dict[str, Changes] = {
    "ours": {},
    "without the camera's motion": {"has_camera_motion": False},
    "without people in view first": {"sure_iou": None},
    "without places where boxes don't overlap": {"nearness": None},
    "without evidence (published at the second look)": {"evidence": 0.0, "least_looks": 2},
    "evidence also of the covered part of a box": {"covering": 0.0},
    "weak boxes trusted like others": {"weak_height_noise": 1.0},
    "with boxmot's motion noise": {"noise": Noise()},
    "without re-identification": {"relink_s": 0.0},
    "without all of these: ByteTrack with real time steps": {
        "has_camera_motion": False, "sure_iou": None, "nearness": None, "evidence": 0.0, "least_looks": 2,
        "covering": 0.0, "weak_height_noise": 1.0, "noise": Noise(), "relink_s": 0.0,
    },
}  # fmt: skip

# The numbers that were chosen on the sequences, each with the values from which leave-one-out chooses again.
GRID: dict[str, tuple[object, ...]] = {
    "track_score": (0.45, 0.4, 0.5, 0.6),
    "match_iou": (0.2, 0.1, 0.3),
    "buffer_s": (2.0, 1.0, 3.0),
    "evidence": (1.6, 1.2, 2.0),
    "covering": (1.0, 0.5),
    "sure_iou": (0.5, 0.4, 0.6),
    "weak_height_noise": (4.0, 2.0, 8.0),
    "nearness.seen": (0.0003, 0.0001, 0.001),
    "nearness.newcomer": (0.005, 0.002, 0.015),
    "nearness.lost": (0.015, 0.005, 0.05),
    "nearness.lost_overlapping": (0.001, 0.0003, 0.003),
    "noise.frame_s": (1 / 20, 1 / 30, 1 / 12),
    "noise.speed": (3 / 640, 3 / 1280, 1 / 160),
    "noise.height": (1 / 10, 1 / 20, 1 / 7),
    "camera_motion.LEAST_PEOPLE": (3, 2, 5),
    "camera_motion._SURE": (2.0, 1.0, 3.0),
    "camera_motion._DISTANCE": (0.35, 0.2, 0.6),
}


def changed_rules(rules: Rules, changes: Changes) -> Rules:
    """Return the rules with the changes that concern them.

    Raises:
        TypeError: an attribute is unknown.
    """
    for key, new in changes.items():
        part, _, name = key.rpartition(".")
        if part == "camera_motion" or key == "relink_s":
            continue
        rules = replace(rules, **({part: replace(getattr(rules, part), **{name: new})} if part else {key: new}))
    return rules


def chosen(number: str) -> object:
    """Return the value of a number of GRID in the program."""
    part, _, name = number.rpartition(".")
    if part == "camera_motion":
        return getattr(camera_motion, name)
    rules = Rules.of(TrackerConfig())
    return getattr(getattr(rules, part) if part else rules, name)


class Variant:
    """Our tracker with some rules changed."""

    def __init__(self, changes: Changes) -> None:
        config = TrackerConfig(relink_s=changes["relink_s"]) if "relink_s" in changes else TrackerConfig()
        self._rules = changed_rules(Rules.of(config), changes)
        prefix = "camera_motion."
        self._constants = {key.removeprefix(prefix): new for key, new in changes.items() if key.startswith(prefix)}
        with self._changed():
            self._tracker = OurTracker(config)

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame."""
        with self._changed():
            return self._tracker.follow(detections)

    @contextmanager
    def _changed(self) -> Iterator[None]:
        before = {name: getattr(camera_motion, name) for name in self._constants}
        of = association.Rules.__dict__["of"]
        for name, new in self._constants.items():
            setattr(camera_motion, name, new)
        association.Rules.of = classmethod(lambda cls, config: self._rules)
        try:
            yield
        finally:
            association.Rules.of = of
            for name, old in before.items():
                setattr(camera_motion, name, old)
