"""Messages of a publisher, and one that sends them over a real socket, for tests of its readers."""

import json
import time
from pathlib import Path

import numpy as np
import zmq

from realtime import wire
from tests.wire import examples

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0  # far longer than anything here takes: a test that waits this long fails


def pose(camera="cam0", seq=0, session="s1", n=2, **changes):
    arrays = {
        "boxes": np.full((n, 4), 1.5, np.float32),
        "keypoints": np.full((n, 17, 2), 2.5, np.float32),
        "keypoint_scores": np.full((n, 17), 0.25, np.float32),
    }
    now = {"captured_ns": time.time_ns(), "published_ns": time.time_ns()}
    fields = {"session": session, "camera": camera, "seq": seq, "frame": seq, "scores": [0.5] * n}
    return examples.pose(n, 17, **arrays | now | fields | changes)


def info(camera="cam0", version="0.1.0"):
    return wire.InfoMessage(
        session="s1",
        camera=camera,
        keypoint_names=["nose"],
        edges=[],
        detector="d",
        pose="p",
        device="cpu",
        smoothing="none",
        source_fps=30.0,
        size=(640, 480),
        version=version,
    )


def status(camera="cam0", state="live", **changes):
    fields = {
        "session": "s1", "camera": camera, "state": state, "reason": None, "captured": 3, "dropped": 1, "published": 2,
        "fps": 10.0, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "uptime_s": 1.0, "tracks_ended": [4],
    }  # fmt: skip
    return wire.decode(wire.status_topic(camera), json.dumps({"schema": "status/1", **fields, **changes}).encode())


class Publisher:
    """A real XPUB socket on a free port. XPUB reports subscriptions, so no test needs to sleep."""

    def __init__(self, endpoint="tcp://127.0.0.1:*"):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.endpoint = self.socket.last_endpoint.decode()
        self.topics = set()

    def wait_for(self, *topics):
        while not self.topics.issuperset(topics):
            assert self.socket.poll(WAIT_S * 1000), f"no subscription to {topics}"
            event = self.socket.recv()
            if event[:1] == b"\x01":
                self.topics.add(event[1:])

    def send(self, message, encoding="msgpack"):
        kinds = {
            wire.PoseMessage: wire.pose_topic,
            wire.InfoMessage: wire.info_topic,
            wire.StatusMessage: wire.status_topic,
        }
        topic = kinds[type(message)](message.camera)
        self.socket.send_multipart([topic, wire.encode(message, encoding)])

    def close(self):
        """End as a publisher does: what was sent is still delivered to readers that read."""
        self.context.destroy(linger=200)
