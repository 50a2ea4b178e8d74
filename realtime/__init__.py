"""Real-time multi-person pose tracking: video in, smooth and identified skeletons out on ZeroMQ.

The folder listing is the data path:

    capture/   cameras, files, images     -> Frame
    detect/    YOLO                       Frame      -> Detections
    track/     after ByteTrack            Detections -> Tracks
    pose/      ViTPose                    Tracks     -> Poses
    smooth/    One-Euro, Kalman           Poses      -> Poses
    publish/   ZeroMQ, JSON lines         Poses      -> subscribers, recordings

`pipeline.py` connects the stages, `runtime/` runs them, and `types.py` defines the four types that flow between them.
A subscriber needs only `realtime.client`. To use the data path as a library (docs/library.md)::

    from realtime import PoseTracker, track
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# The function `track` has the name of the folder track/. The folder is loaded first, because Python would otherwise
# replace the function when one of its files is imported later.
importlib.import_module("realtime.track")

if TYPE_CHECKING:
    from realtime.tracker import PoseTracker, track
else:
    del track

    def __getattr__(name: str) -> object:
        """Load PoseTracker and track when they are first used, because they load the pipeline's libraries."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        tracker = importlib.import_module("realtime.tracker")
        globals().update({each: getattr(tracker, each) for each in __all__})
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["PoseTracker", "track"]

__version__ = "0.1.0"
