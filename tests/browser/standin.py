"""A publisher that needs no models: synthetic poses, states and pictures of any number of cameras, on two endpoints.

It stands in for the pipeline where only the dashboard is tested. Each camera has walking people, and frame k is
captured when it is sent. Pictures go out only while someone subscribes to them, as from the pipeline.

    python -m tests.browser.standin --cameras 20 --fps 10

It prints the endpoint of the stream, then runs until standard input closes.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import threading
import time
from collections.abc import Sequence

import cv2
import numpy as np
import zmq

from realtime import wire
from realtime.skeleton import COCO17

SIZE = (640, 360)


class StandIn:
    """Publishes for the duration of a `with` block.

    Args:
        cameras: their names.
        fps: frames per second of each.
        people: number of people in each.
        pictures: False announces no pictures.
        port: of the stream; 0 chooses a free one.
    """

    def __init__(
        self,
        cameras: Sequence[str] = ("cam0",),
        fps: float = 10.0,
        people: int = 3,
        *,
        pictures: bool = True,
        port: int = 0,
    ) -> None:
        self._cameras, self._fps, self._people = list(cameras), fps, people
        self._context = zmq.Context()
        self._stream, self._pictures = self._context.socket(zmq.PUB), self._context.socket(zmq.XPUB)
        self._stream.bind(f"tcp://127.0.0.1:{port or '*'}")
        self._pictures.bind("tcp://127.0.0.1:*")
        self.endpoint = self._stream.getsockopt_string(zmq.LAST_ENDPOINT)
        self.pictures = self._pictures.getsockopt_string(zmq.LAST_ENDPOINT) if pictures else None
        self.session = secrets.token_hex(8)
        self.states: dict[str, tuple[str, str | None]] = {}
        self.silent: set[str] = set()  # cameras that send no frames
        self._wanted: set[bytes] = set()
        self._jpegs = {width: _jpeg(width) for width in wire.WIDTHS}
        self._began_s, self._over = time.time(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="standin", daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._context.destroy(linger=0)

    def _run(self) -> None:
        frame = 0
        while not self._over.is_set():
            self._hear_subscriptions()
            for camera in self._cameras:
                if frame % math.ceil(self._fps) == 0:
                    self._send(self._status(camera, frame))
                    self._send(self._info(camera))
                if camera not in self.silent:
                    self._send_frame(camera, frame)
            frame += 1
            self._over.wait(max(0.0, self._began_s + frame / self._fps - time.time()))

    def _hear_subscriptions(self) -> None:
        while self._pictures.poll(0):
            told = self._pictures.recv()
            (self._wanted.add if told[0] else self._wanted.discard)(told[1:])

    def _send(self, message: wire.InfoMessage | wire.StatusMessage | wire.PoseMessage) -> None:
        topic = {"info/1": wire.info_topic, "status/1": wire.status_topic, "pose/1": wire.pose_topic}[message.schema]
        self._stream.send_multipart([topic(message.camera), wire.encode(message, "msgpack")])

    def _send_frame(self, camera: str, frame: int) -> None:
        captured_ns = time.time_ns()
        self._send(self._pose(camera, frame, captured_ns))
        for width in wire.WIDTHS:
            topic = wire.picture_topic(camera, width)
            if topic in self._wanted:
                (size, jpeg) = self._jpegs[width]
                picture = wire.PictureMessage(
                    session=self.session, camera=camera, epoch=0, seq=frame, frame=frame, captured_ns=captured_ns,
                    size=SIZE, width=size[0], height=size[1], jpeg=jpeg,
                )  # fmt: skip
                self._pictures.send_multipart([topic, wire.encode(picture, "msgpack")])

    def _pose(self, camera: str, frame: int, captured_ns: int) -> wire.PoseMessage:
        boxes, keypoints = people_at(frame / self._fps, self._people)
        return wire.PoseMessage(
            session=self.session, camera=camera, epoch=0, seq=frame, frame=frame, captured_ns=captured_ns,
            clock="arrival", published_ns=time.time_ns(), media_s=frame / self._fps, size=SIZE, skeleton="coco17",
            track_ids=list(range(1, self._people + 1)), scores=[0.9] * self._people, boxes=boxes.tobytes(),
            keypoints=keypoints.tobytes(), measured=[True] * self._people,
            timing_ms={"detect": 10.0, "pose": 12.0, "wait": 1.0},
        )  # fmt: skip

    def _status(self, camera: str, frame: int) -> wire.StatusMessage:
        state, reason = self.states.get(camera, ("live", None))
        return wire.StatusMessage(
            session=self.session, camera=camera, state=state, reason=reason, captured=frame, dropped=0, published=frame,
            fps=self._fps, latency_ms={"p50": 30.0, "p95": 40.0, "p99": 50.0}, uptime_s=time.time() - self._began_s,
            since_ns=int(self._began_s * 1e9),
        )  # fmt: skip

    def _info(self, camera: str) -> wire.InfoMessage:
        return wire.InfoMessage(
            session=self.session, camera=camera, keypoint_names=list(COCO17.keypoint_names), edges=list(COCO17.edges),
            detector="none", pose="none", device="cpu", smoothing="none", source_fps=self._fps, size=SIZE,
            version="0", pictures=self.pictures,
        )  # fmt: skip


def people_at(time_s: float, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (N, 4) and keypoints (N, 17, 3) of people who walk from side to side, float32."""
    lanes = (np.arange(people) + 0.5) / people * SIZE[0]
    x = lanes + 20 * np.sin(time_s + np.arange(people))
    boxes = np.stack([x - 40, np.full(people, 80.0), x + 40, np.full(people, 300.0)], axis=1)
    heights = np.linspace(90, 290, 17)
    keypoints = np.ones((people, 17, 3))
    keypoints[:, :, 0] = x[:, None] + np.where(np.arange(17) % 2, 25, -25)
    keypoints[:, :, 1] = heights
    return boxes.astype("<f4"), keypoints.astype("<f4")


def _jpeg(width: wire.Width) -> tuple[tuple[int, int], bytes]:
    """Return the size and the bytes of a grey picture with a gradient and noise: about 12 kB at 320 pixels."""
    wide = SIZE[0] if width == "full" else min(int(width), SIZE[0])
    size = (wide, wide * SIZE[1] // SIZE[0])
    image = np.random.default_rng(0).normal(100, 12, (size[1], size[0], 3)) + np.linspace(0, 60, size[0])[:, None]
    return size, cv2.imencode(".jpg", image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.standin", description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--fps", type=float, default=10.0, help="of each camera")
    parser.add_argument("--people", type=int, default=3, help="in each camera")
    parser.add_argument("--port", type=int, default=0, help="of the stream; 0: any")
    options = parser.parse_args()
    names = [f"cam{i}" for i in range(options.cameras)]
    with StandIn(names, options.fps, options.people, port=options.port) as publisher:
        print(publisher.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
