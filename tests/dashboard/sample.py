"""Cameras, frames and times for the tests of this folder."""

import numpy as np

from realtime import wire
from realtime.dashboard.camera import Camera
from realtime.dashboard.clock import Moment
from realtime.dashboard.frames import Frame
from tests.wire import publisher

BEGAN_UNIX_MS = 1_800_000_000_000.0
# The shortest file whose header says what a JPEG's header says: 320x240. No test decodes it.
JPEG = b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01\x00\x00\x00\xff\xd9"


def at(mono_s):
    return Moment(mono_s, BEGAN_UNIX_MS + mono_s * 1000)


def camera(name="cam0", **changes):
    fields = {"session": "s1", "heard_mono_s": 0.0, "since_unix_ms": 0.0, "last_people_mono_s": 0.0}
    return Camera(name, name, "tcp://127.0.0.1:5555", **fields | changes)


def picture(name="cam0", seq=0, jpeg=JPEG, **changes):
    fields = {
        "session": "s1", "camera": name, "epoch": 0, "seq": seq, "frame": seq, "captured_ns": 0, "size": (640, 480),
        "width": 320, "height": 240, "jpeg": jpeg,
    }  # fmt: skip
    return wire.PictureMessage(**fields | changes)


def frame(name="cam0", seq=0, width="320", size=1000, is_idle=False):
    """A frame with a picture of about this size (bytes); without one if width is None."""
    taken = None if width is None else picture(name, seq, jpeg=bytes(size))
    return Frame(camera(name), publisher.pose(name, seq), taken, width, is_idle)


def odd_pose():
    """A pose whose numbers have more decimals than a browser needs."""
    return publisher.pose(
        n=1,
        boxes=np.float32([[1 / 3, 2 / 3, 100.0, 200.0]]),
        keypoints=np.full((1, 17, 2), 10.3, np.float32),
        keypoint_scores=np.full((1, 17), 0.1234, np.float32),
    )
