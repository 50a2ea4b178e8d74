"""Trackers of other libraries, run as their authors publish them: boxmot 25, and Roboflow's `trackers`.

The command `tracking` scores them beside ours (`--against boxmot`, `--against libraries`). Each runs with its own
defaults: thresholds, buffers and time steps are those of the library, not those of the configuration. Unlike ours,
boxmot's trackers return the boxes of their filter instead of the detections' boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import supervision
from boxmot import ByteTrack, create_tracker
from boxmot.trackers.specs import TrackerSpec
from numpy.typing import NDArray
from trackers import ByteTrackTracker

from realtime.track.boxmot import quiet
from realtime.types import Detections

_ID = 4  # column of boxmot's output rows: x1 y1 x2 y2 id score class index-of-detection
_NO_ID = -1  # of Roboflow's trackers: the detection belongs to no track, or to one that is not confirmed yet


class Boxmot:
    """One of boxmot's trackers for one sequence.

    Args:
        make: creates boxmot's object.
    """

    def __init__(self, make: Callable[[], Any]) -> None:  # Any: boxmot ships no types
        quiet()  # first, because boxmot logs every parameter of a new tracker
        self._tracker = make()

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame.

        Returns:
            Ids int64 (N,) and boxes x1, y1, x2, y2 float64 (N, 4), in pixels, of the people matched in this frame.
        """
        rows = np.zeros((len(detections), 6), np.float32)
        rows[:, :4], rows[:, 4] = detections.xyxy, detections.scores
        out = np.asarray(self._tracker.update(rows, detections.frame.image), np.float64).reshape(-1, 8)
        return out[:, _ID].astype(np.int64), out[:, :_ID]


class Roboflow:
    """The ByteTrack of Roboflow's `trackers` for one sequence.

    It runs at its fixed time step. With timestamps, which it accepts too, its scores on the MOT sequences are lower.
    """

    def __init__(self) -> None:
        self._tracker = ByteTrackTracker()

    def follow(self, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Track the people of the next frame, as described in `Boxmot.follow`."""
        found = supervision.Detections(xyxy=detections.xyxy, confidence=detections.scores)
        out = self._tracker.update(found)
        ids = np.asarray(out.tracker_id, np.int64)
        return ids[ids != _NO_ID], out.xyxy[ids != _NO_ID].astype(np.float64)


def boxmot_bytetracks() -> dict[str, Callable[[], Boxmot]]:
    """Return makers of boxmot's ByteTrack, with the defaults of its constructor and with those of its YAML file."""
    return {"boxmot constructor": partial(Boxmot, ByteTrack), "boxmot yaml": partial(_from_yaml, "bytetrack")}


def libraries(has_pictures: bool) -> dict[str, Callable[[], Boxmot | Roboflow]]:
    """Return makers of the trackers of other libraries, by their names in the table.

    BoT-SORT and OC-SORT have the defaults of boxmot's YAML files, with which they switch less than with those of their
    constructors. BoT-SORT runs without an appearance network, because its weights would have to be downloaded.

    Args:
        has_pictures: whether the frames hold images. If not, BoT-SORT does not search them for the camera's motion.
    """
    return {
        **boxmot_bytetracks(),
        "boxmot botsort": partial(_from_yaml, "botsort", use_embeddings=False, use_cmc=has_pictures),
        "boxmot ocsort": partial(_from_yaml, "ocsort"),
        "roboflow bytetrack": Roboflow,
    }


def _from_yaml(name: str, **changed: bool) -> Boxmot:
    """Create one of boxmot's trackers with the defaults of boxmot/configs/trackers/NAME.yaml."""
    return Boxmot(partial(create_tracker, TrackerSpec(name, options=tuple(sorted(changed.items())))))
