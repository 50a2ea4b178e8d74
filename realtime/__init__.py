"""Real-time multi-person pose tracking: video in, smooth and identified skeletons out on ZeroMQ.

The folder listing is the data path:

    capture/   cameras, files, images     -> Frame
    detect/    YOLO                       Frame      -> Detections
    track/     ByteTrack                  Detections -> Tracks
    pose/      ViTPose                    Tracks     -> Poses
    smooth/    One-Euro, Kalman           Poses      -> Poses
    publish/   ZeroMQ, JSON lines         Poses      -> the world

`pipeline.py` joins them, `runtime/` runs them, `types.py` is what flows. Subscribers need `realtime.client` alone.
"""

__version__ = "0.1.0"
