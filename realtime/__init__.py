"""Real-time multi-person pose tracking: video in, smooth and identified skeletons out on ZeroMQ.

The folder listing is the data path:

    capture/   cameras, files, images     -> Frame
    detect/    YOLO                       Frame      -> Detections
    track/     ByteTrack                  Detections -> Tracks
    pose/      ViTPose                    Tracks     -> Poses
    smooth/    One-Euro, Kalman           Poses      -> Poses
    publish/   ZeroMQ, JSON lines         Poses      -> subscribers, recordings

`pipeline.py` connects the stages, `runtime/` runs them, and `types.py` defines the four types that flow between them.
A subscriber needs only `realtime.client`.
"""

__version__ = "0.1.0"
