"""Detection of people, or of other classes, with a YOLO network: Frame -> Detections.

This stage sits between the door and the tracker and serves all cameras. Frames with the same letterboxed size go
through the network as one batch, whichever cameras they come from. detect/shapes.py chooses this size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.config import DetectorConfig
from realtime.detect.cadence import Cadence
from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.shapes import Shapes, Size
from realtime.models.yolo import YoloNet
from realtime.models.yolo_output import Found, is_people_only
from realtime.runtime.batches import Fit, even_parts
from realtime.runtime.governor import Effort
from realtime.runtime.stage import Part, Work
from realtime.types import Detections, Frame

# Width and height of most cameras' frames, in pixels.
_USUAL_SIZE = 1920, 1080


class DetectStage:
    """The detector of all cameras.

    In this example, `Net` stands in for a network with weights. It finds one person, in pixels of its input.

    >>> class Net:
    ...     stride, keypoints, engine_name, lane = 32, 0, "fake", None
    ...     names = ("person",)
    ...     def predict(self, images, min_score, nms_iou):
    ...         box, score, no_keypoints = np.float32([[100, 62, 200, 312]]), np.float32([0.9]), np.float32([[]])
    ...         return [Found(box, score, no_keypoints.reshape(1, 0, 3), np.array([0]))]
    ...     def drop(self, shape): ...
    >>> stage = DetectStage(DetectorConfig(size=640), Net())
    >>> frame = Frame("cam0", 0, 0, np.zeros((720, 1280, 3), np.uint8), 0.0, 0, 0)
    >>> stage.process([frame])[0].xyxy.tolist()
    [[200.0, 100.0, 400.0, 600.0]]

    Attributes:
        engine_name: engine and precision of the network, such as "openvino bf16".
        cadence: selects the frames on which the detector runs.
        size: longer side of the network's input in pixels. It may be changed at any time.
        shapes: the shapes of the input that the network is compiled for.
    """

    name = "detect"

    def __init__(self, config: DetectorConfig, net: YoloNet) -> None:
        """Wrap a loaded network.

        Args:
            config: the detector's section.
            net: the network. Its lane decides whether frames are letterboxed on the CPU or on its device.
        """
        self._config = config
        self.size = config.size
        self._net = net
        self._names = None if is_people_only(net.names) else np.array(net.names)
        self._letterboxed: Callable[[Sequence[NDArray[np.uint8]], Sequence[Letterbox]], Any] = letterboxed
        if net.lane is not None and net.lane.device.type != "cpu":
            from realtime.detect.on_device import DeviceLetterbox

            self._letterboxed = DeviceLetterbox(net.lane)  # Any, above: numpy's array, or torch's
        self._fit = Fit(net.lane, "frames")
        self.engine_name = net.engine_name
        self.cadence = Cadence(config.every)
        self.shapes = Shapes(net.stride, config.size, net.drop)

    @property
    def keypoints(self) -> int:
        """Number of keypoints per person (K) if the network is a pose network, otherwise 0."""
        return self._net.keypoints

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that it looks for."""
        return self._net.names

    def warm_up(self) -> None:
        """Run the network once in the shape of 16:9 frames, so that most cameras' first frame is not slow."""
        self.shapes.add(self._run(None))

    def compile(self, shape: Size) -> None:
        """Run the network once on an input of this width and height (pixels). This is not recorded in `shapes`."""
        self._run(shape)

    def _run(self, shape: Size | None) -> Size:
        """Run the network on a black frame of the usual size, in this shape or in its own, and return the shape."""
        placement = Letterbox.of(_USUAL_SIZE, self.size, self._net.stride, shape)
        width, height = _USUAL_SIZE
        self._detect([np.zeros((height, width, 3), np.uint8)], [placement])
        return placement.input_size

    def set_effort(self, effort: Effort) -> None:
        """Run on every Nth frame and with an input of this size from now on."""
        self.cadence.every, self.size = effort.every, effort.size

    def process(self, batch: list[Frame]) -> list[Detections]:
        """Detect the people in a batch of frames.

        Args:
            batch: frames of any cameras, each camera's frames in order.

        Returns:
            One Detections per frame, in the order of the batch, with people in descending order of score. If a frame
            is not due for detection, its Detections are empty and `looked` is False.
        """
        due = [self.cadence.is_due(frame) for frame in batch]
        found = iter(self._look([frame for frame, is_due in zip(batch, due, strict=True) if is_due]))
        return [
            next(found) if is_due else Detections.empty(frame, looked=False)
            for frame, is_due in zip(batch, due, strict=True)
        ]

    def divide(self, frame: Frame, concurrency: int) -> Work[Detections]:
        """Prepare the detection of one frame as work for the pool (runtime/pool.py).

        Args:
            frame: the next frame of its camera.
            concurrency: number of concurrent inferences. It has no effect, because a single frame is not divided.

        Returns:
            Work with one part, or without parts if the frame is not due for detection.
        """
        if not self.cadence.is_due(frame):
            return Work([], lambda: Detections.empty(frame, looked=False))
        found: list[Detections] = []
        return Work([Part(lambda: found.extend(self._look([frame])))], found.pop)

    def forget(self, camera: str) -> None:
        """Drop the state of a camera, once no frame of it is in the pipeline."""
        self.cadence.forget(camera)
        self.shapes.forget(camera)

    def close(self) -> None:
        """Do nothing, because there are no resources to release."""

    def _look(self, batch: list[Frame]) -> list[Detections]:
        size = self.size
        placements = [self.shapes.place(frame, size) for frame in batch]
        groups: dict[Size, list[int]] = defaultdict(list)
        # Sorted by frame size, because DeviceLetterbox scales consecutive frames of one size together.
        for index in sorted(range(len(batch)), key=lambda i: batch[i].size):
            groups[placements[index].input_size].append(index)
        found: dict[int, Detections] = {}
        for indices in groups.values():
            images = [batch[i].image for i in indices]
            results = self._detect(images, [placements[i] for i in indices])
            for i, result in zip(indices, results, strict=True):
                found[i] = _to_frame(batch[i], placements[i], result, self._names)
        for placement in placements:
            self.shapes.done(placement)
        return [found[i] for i in range(len(batch))]

    def _detect(self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Letterbox]) -> list[Found]:
        """Run the network on images with one shape of input, in one pass if they fit into the memory together."""

        def in_batches(most: int) -> list[Found]:
            found: list[Found] = []
            for part in even_parts(len(images), most):
                inputs = self._letterboxed(images[part], placements[part])
                found += self._net.predict(inputs, self._config.min_score, self._config.nms_iou)
            return found

        return self._fit.run(len(images), in_batches)


def _to_frame(frame: Frame, letterbox: Letterbox, found: Found, names: NDArray[np.str_] | None) -> Detections:
    """Map detections from the network's input to the frame; clip their boxes to it and drop those outside it.

    Keypoints are not clipped. `names` are those of the classes; None: people only.
    """
    xyxy, scores, keypoints, labels = found
    width, height = frame.size
    corners = letterbox.to_frame(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    corners = np.clip(corners, 0, np.array((width, height, width, height), np.float32))
    inside = (corners[:, 2:] > corners[:, :2]).all(1)
    if keypoints.shape[1]:
        keypoints[..., :2] = letterbox.to_frame(keypoints[..., :2])
    return Detections(
        frame,
        np.ascontiguousarray(corners[inside], np.float32),
        np.clip(scores[inside], 0, 1),
        keypoints[inside] if keypoints.shape[1] else None,
        labels=None if names is None else names[labels[inside]],
    )
