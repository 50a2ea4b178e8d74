"""The program's own pipeline with a given number of cameras and people, for a given time.

Cameras play frames of the built-in source in 1920x1080, as a decoder returns them: YUV 4:2:0, each converted to a new
picture. Live cameras send their frames at different moments, as real ones do. Detector and pose model really run, and
so does the rest; then the detector's result is replaced by boxes in a grid, which sway, so that every frame has the
wanted number of people whatever the networks' weights are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import realtime.capture.open
import realtime.pipeline
import realtime.runtime.door
from realtime.capture.convert import Converter
from realtime.capture.demo import demo_frame
from realtime.capture.source import Picture, Pixels
from realtime.config import AppConfig, load
from realtime.detect.stage import DetectStage
from realtime.loading import Models, load_models
from realtime.models.yolo import Found, YoloNet
from realtime.observe.status import CameraStatus
from realtime.pipeline import Pipeline
from realtime.runtime.pool import concurrency_for

SIZE = (1920, 1080)
FPS = 25.0
# Different frames of one camera; their motion is that of the built-in source.
_FRAMES = 12
# Seconds before the figures count: caches fill, and the first frames wait for the start of others.
WARM_S = 1.0
# The cameras' frames are spread evenly over the time between two frames, however many cameras there are.
_GOLDEN = (math.sqrt(5) - 1) / 2


class Scene(NamedTuple):
    """What the pipeline sees.

    Attributes:
        cameras: how many.
        people: in each frame.
        live: cameras send FPS frames a second, and the newest wins; otherwise they are files, as fast as possible.
        eager: a camera's thread converts its frames, whether they enter or not; otherwise as the program does.
        settings: more configuration keys.
    """

    cameras: int
    people: int
    live: bool
    eager: bool = False
    settings: Mapping[str, object] = {}


class Figures(NamedTuple):
    """What a run of the pipeline reached, without its warm-up.

    Attributes:
        fps: published frames per second, of all cameras.
        ages_ms: float (n,), from capture to publishing, in the order of publishing.
        dropped: share of the captured frames that did not enter.
        busy: by stage, the share of the time in which its thread was inside `process`.
        convert_s: seconds that the door spent on converting pictures, per second.
    """

    fps: float
    ages_ms: NDArray[np.float64]
    dropped: float
    busy: dict[str, float]
    convert_s: float

    def summary(self) -> dict[str, object]:
        """The figures for a record; without ages if no frame was published."""
        ages = {f"p{percent}_ms": float(np.percentile(self.ages_ms, percent)) for percent in (50, 95, 99)
                if len(self.ages_ms)}  # fmt: skip
        shares = {f"busy_{name}": round(share, 3) for name, share in self.busy.items()}
        told = {"fps": self.fps, "frames": len(self.ages_ms)} | ages
        return told | {"dropped": self.dropped, "convert_s_per_s": self.convert_s} | shares


def configuration(scene: Scene, **keys: object) -> AppConfig:
    """Return the configuration of a scene. Keys are sections or keys as in `realtime.config.load`."""
    cameras = [{"name": f"cam{i}", "source": "demo"} for i in range(scene.cameras)]
    flags = {"cameras": cameras, "realtime": scene.live, "publish": {"bind": ["tcp://127.0.0.1:*"]},
             "activity": {"mode": "off"}, "log_level": "warning"}  # fmt: skip
    return load(environment={}, flags=flags | dict(scene.settings) | keys)


def load_scene(scene: Scene, **keys: object) -> tuple[AppConfig, Models]:
    """Load and warm up the models of a scene; they can be used for other scenes too, with `measure`."""
    config = configuration(scene, **keys)
    return config, load_models(config)


def measure(
    config: AppConfig,
    models: Models,
    scene: Scene,
    seconds: float,
    during: Callable[[], None] = lambda: None,
    warm_s: float = WARM_S,
) -> Figures:
    """Run the pipeline for `warm_s` and then `seconds`, and return what it reached.

    Args:
        config: from `configuration`.
        models: loaded for a configuration with the same models.
        scene: the cameras and the people.
        seconds: how long the figures count.
        during: called once, on this thread, when the figures start to count; it may take up to `seconds`.
        warm_s: how long the pipeline runs before that.

    Raises:
        BaseException: whatever ended the pipeline.
    """
    for camera in config.cameras:  # the stages that are used again remember the people of the run before
        for stage in (models.track, models.pose):
            stage.forget(camera.name)
    models = dataclasses.replace(
        models,
        detect=DetectStage(config.detector, Crowded(models.detect._net, scene.people)),
        concurrency=concurrency_for(len(config.cameras), throughput=not scene.live),
        throughput=not scene.live,
    )
    street = functools.partial(_Street, scene.live, scene.eager, itertools.count(), decoded_frames())
    seen = _Seen()
    with ExitStack() as stack, _subscriber() as endpoint:
        patch = stack.enter_context
        patch(mock.patch.object(realtime.pipeline, "load_models", return_value=models))
        patch(mock.patch.object(realtime.capture.open, "DemoSource", street))
        patch(mock.patch.object(realtime.runtime.door, "converted", seen.timed(realtime.runtime.door.converted)))
        patch(mock.patch.object(CameraStatus, "count_published", seen.counting(CameraStatus.count_published)))
        publish = config.publish.model_copy(update={"bind": [endpoint]})
        pipeline = Pipeline(config.model_copy(update={"publish": publish}))
        with ThreadPoolExecutor(1, "pipeline") as threads:
            run = threads.submit(pipeline.run)
            try:
                _wait(run, warm_s)
                before, started_s = seen.counts(pipeline), time.monotonic()
                during()
                _wait(run, started_s + seconds - time.monotonic())
                after, took_s = seen.counts(pipeline), time.monotonic() - started_s
            finally:
                pipeline.stop()
            run.result()
    captured, published = (after[key] - before[key] for key in ("captured", "published"))
    busy = {name[5:]: (after[name] - before.get(name, 0.0)) / took_s for name in after if name.startswith("busy ")}
    return Figures(
        published / took_s,
        np.array(seen.ages_ms[int(before["ages"]) : int(after["ages"])]),
        max(0.0, 1 - published / captured) if scene.live and captured else 0.0,
        busy,
        (after["convert_s"] - before["convert_s"]) / took_s,
    )


class Crowded:
    """A YOLO network that really runs, and whose people are then replaced by a grid of boxes that sway."""

    def __init__(self, net: YoloNet, people: int) -> None:
        self._net, self._people = net, people

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    def predict(self, images: Any, min_score: float, nms_iou: float) -> list[Found]:
        found = self._net.predict(images, min_score, nms_iou)
        height, width = images.shape[1:3]
        boxes = self.boxes(width, height, time.monotonic())
        scores = np.full(self._people, 0.9, np.float32)
        labels, count = np.zeros(self._people, np.int64), found[0].keypoints.shape[1] if found else 0
        none = np.zeros((self._people, count, 3), np.float32)
        return [Found(boxes.copy(), scores.copy(), none.copy(), labels) for _ in found]

    def boxes(self, width: int, height: int, time_s: float) -> NDArray[np.float32]:
        """Return the boxes float32 (N, 4) in an image of this size; they sway by a tenth of their width in 4 s."""
        columns = max(1, math.ceil(math.sqrt(self._people * 4)))
        rows = math.ceil(self._people / columns)
        number = np.arange(self._people)
        side, tall = width / columns, height / max(rows, 2)
        x = (number % columns + 0.15 + 0.1 * np.sin(2 * np.pi * time_s / 4 + number)) * side
        y = (number // columns + 0.05) * tall
        return np.stack((x, y, x + 0.7 * side, y + 0.9 * tall), axis=1).astype(np.float32)


class _Street:
    """A source whose pictures are converted like those of a camera. It takes the place of DemoSource."""

    prompt = False
    fps: float | None = FPS

    def __init__(
        self, live: bool, eager: bool, places: Iterator[int], frames: Sequence[av.VideoFrame], shows_clock: bool
    ) -> None:
        self.live, self.size = live, SIZE
        self._eager, self._convert, self._frames = eager, Converter("street"), frames
        self._number, self._began_s = 0, time.monotonic() + next(places) * _GOLDEN % 1 / FPS

    def read(self) -> Picture | None:
        number, self._number = self._number, self._number + 1
        if self.live and (early_s := self._began_s + number / FPS - time.monotonic()) > 0:
            time.sleep(early_s)
        decoded = self._convert(self._frames[number % len(self._frames)])
        return Picture(Pixels(decoded.bgr()) if self._eager else decoded, media_s=number / FPS)

    def close(self) -> None:
        pass


@functools.cache
def decoded_frames() -> list[av.VideoFrame]:
    """The decoded frames of a camera, YUV 4:2:0. All cameras share them: to write them would be the decoder's work."""
    images = [cv2.resize(demo_frame(2 * k), SIZE, interpolation=cv2.INTER_LINEAR) for k in range(_FRAMES)]
    pictures = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8) for image in images]
    return [av.VideoFrame.from_ndarray(picture, format="yuv420p") for picture in pictures]


class _Seen:
    """Counts what a run does."""

    def __init__(self) -> None:
        self.ages_ms: list[float] = []
        self._convert_s = 0.0

    def counting(self, count_published: Callable[[CameraStatus, float], None]) -> Callable[[CameraStatus, float], None]:
        def count(status: CameraStatus, latency_ms: float) -> None:
            self.ages_ms.append(latency_ms)
            count_published(status, latency_ms)

        return count

    def timed(self, converted: Callable[..., Any]) -> Callable[..., Any]:
        def convert(*words: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return converted(*words)
            finally:
                self._convert_s += time.perf_counter() - began_s

        return convert

    def counts(self, pipeline: Pipeline) -> dict[str, float]:
        status = list(pipeline.status.values())
        told = {"captured": sum(each.captured for each in status), "published": sum(each.published for each in status)}
        stages = {f"busy {name}": stage["busy_s"] for name, stage in pipeline._meter.summary().items()}
        return told | stages | {"ages": len(self.ages_ms), "convert_s": self._convert_s}


def _wait(run: Future[None], seconds: float) -> None:
    """Wait, or raise what ended the run."""
    with contextlib.suppress(TimeoutError):
        run.result(max(0.0, seconds))
        raise RuntimeError("the pipeline ended by itself")


@contextmanager
def _subscriber() -> Iterator[str]:
    """A process that reads the stream, so that messages are really encoded and sent. Yields the endpoint to bind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen([sys.executable, "-c", _SUBSCRIBER, endpoint])
    try:
        yield endpoint
    finally:
        process.kill()
        process.wait()


_SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.connect(sys.argv[1])
while True:
    socket.recv_multipart()
"""
