"""YOLO networks, in torch or OpenVINO: from images to the people in them, or to objects of other classes.

detect/ and pose/ (YOLO pose models) use it; models/yolo_output.py reads the predictions. A network in OpenVINO needs
no torch once it is converted; models/yolo_torch.py converts it, and runs the others. We do not call `YOLO.predict`,
because it synchronises the whole device several times per call, prints, and stops its NMS after a time limit. A parity
test compares the results.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import EngineError, ModelError
from realtime.models import openvino
from realtime.models.cache import built_once
from realtime.models.choice import EXACT, Choice
from realtime.models.converted import Converted, read, read_exported, version_of, write
from realtime.models.digests import sha256_of
from realtime.models.proof import Verdict, proven, remembered
from realtime.models.yolo_output import KEYPOINTS, LABEL, PERSON, SCORE, Found, Layout, likely, split
from realtime.runtime.device import CPU, AnyDevice

if TYPE_CHECKING:
    import torch

    from realtime.models.yolo_torch import TorchForward
    from realtime.runtime.lane import Lane

# The source files that decide what a converted network computes, and what its self-test expects.
_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("yolo", "yolo_output", "yolo_torch", "ultralytics")]


_PAIR = 2


class YoloNet:
    """One YOLO network. On a CPU any thread may call `predict`.

    Attributes:
        path: the file of its weights, or the folder of a converted network.
        engine_name: engine and precision: "openvino bf16".
        stride: the height and width of an input must be multiples of it.
        keypoints: K of a pose network, 0 for a detection network.
        names: names of the classes that it looks for.
        lane: the device and stream that it runs on in torch (runtime/lane.py); None for a network in OpenVINO.
        converted: the converted network of OpenVINO; None in torch.
    """

    def __init__(
        self,
        path: Path,
        device: AnyDevice,
        choice: Choice = EXACT,
        cache: Path | None = None,
        classes: Sequence[str] = (PERSON,),
        sample: NDArray[np.uint8] | None = None,
    ) -> None:
        """Load the weights.

        Args:
            path: a .pt file that the caller trusts, because loading it unpickles it; or the folder of a converted
                network, for OpenVINO.
            device: where to run.
            choice: the engine and its precision.
            cache: the folder for converted networks. Required for OpenVINO, unused by torch.
            classes: the classes to look for, by name or number (`detector.classes`).
            sample: uint8 (H, W, 3) BGR, the image of the self-test, for a network that will be converted; None: it will
                not be tested.

        Raises:
            ModelError: the file is not a YOLO detection or pose network, or the network has not these classes.
            EngineError: OpenVINO can't convert it.
        """
        self.path, self.engine_name = path, str(choice)
        self.lane: Lane | None = None
        self.converted: Converted | None = None
        self._forward: TorchForward | OpenVinoForward
        self._labels: Any  # torch's or numpy's, int64 (classes,)
        if choice.engine == "openvino":
            assert cache is not None
            self.converted = _exported(path, classes) if path.is_dir() else _converted(path, classes, cache, sample)
            self._layout = Layout.read(self.converted.about)
            self._labels = np.array(self._layout.labels, np.int64)
            self._forward = OpenVinoForward(self.converted.model, choice.precision)
        elif path.is_dir():
            raise EngineError("a converted network runs in OpenVINO only")
        else:
            from realtime.models.yolo_torch import load, on_device

            self._layout, self.lane, self._forward = load(path, classes, device, choice.precision)
            self._labels = on_device(self._layout.labels, self.lane)
        self.stride, self.keypoints, self.names = self._layout.stride, self._layout.keypoints, self._layout.names

    def predict(
        self, images: NDArray[np.uint8] | torch.Tensor, min_score: float, nms_iou: float, every_class: bool = False
    ) -> list[Found]:
        """Detect the objects of the chosen classes in a batch of images.

        Args:
            images: uint8 (B, h, w, 3) BGR, C-contiguous, h and w multiples of the stride; or such a tensor on the
                lane's device.
            min_score: only boxes with a higher score are returned.
            nms_iou: if two boxes of a class overlap by more than this IoU, the one with the lower score is dropped.
            every_class: return the other classes too. Labels are then indices of the network's class scores.

        Returns:
            What was found, for each image.
        """
        if self.lane is None:
            labels = np.arange(len(self._labels)) if every_class else self._labels
            predictions = cast(OpenVinoForward, self._forward)(cast("NDArray[np.uint8]", images))
            rows = likely(predictions, min_score, labels, self._layout.end2end)
        else:
            from realtime.models.yolo_torch import likely_on_device

            with self.lane.run():
                labels = self._labels.new_tensor(range(len(self._labels))) if every_class else self._labels
                found = likely_on_device(cast("Any", self._forward)(images), min_score, labels, self._layout.end2end)
                rows = np.asarray(self.lane.download(found), np.float32)
        return split(rows, len(images), self._layout, nms_iou)

    def drop(self, size: tuple[int, int]) -> None:
        """Free the network that was built for images of this width and height. Calls in progress keep theirs."""
        width, height = size
        self._forward.drop(height, width)


class OpenVinoForward:
    """The network in OpenVINO, compiled for each image size on first use; separately for one image and for two.

    More images go through it in pairs. With a free batch size, OpenVINO would copy data at each concatenation, which
    costs 12 % of the CPU time of a pair in yolo11n-pose; larger batches gain 4 % more at most.
    """

    def __init__(self, model: Any, precision: openvino.Precision) -> None:  # noqa: ANN401 - OpenVINO ships no types
        self._model, self._precision = model, precision
        self._by_shape: dict[tuple[int, int, int], openvino.OpenVinoNetwork] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the predictions of uint8 (B, h, w, 3) BGR, valid until this thread's next call."""
        if len(pictures) <= _PAIR:
            return self._of(pictures.shape)(pictures)
        parts = (pictures[begin : begin + _PAIR] for begin in range(0, len(pictures), _PAIR))
        return np.concatenate([self._of(part.shape)(part).copy() for part in parts])

    def _of(self, shape: tuple[int, ...]) -> openvino.OpenVinoNetwork:
        count, height, width = shape[:3]
        with self._lock:
            if (count, height, width) not in self._by_shape:
                network = openvino.OpenVinoNetwork(self._model, self._precision, (count, height, width))
                self._by_shape[count, height, width] = network
            return self._by_shape[count, height, width]

    def drop(self, height: int, width: int) -> None:
        """Free the networks for this size."""
        with self._lock:
            for count in range(1, _PAIR + 1):
                self._by_shape.pop((count, height, width), None)


# ---- converted networks


def _converted(path: Path, classes: Sequence[str], cache: Path, sample: NDArray[np.uint8] | None) -> Converted:
    """Return the network converted for OpenVINO, from the cache if it is there. torch is loaded only if it isn't.

    Raises:
        ModelError: it is not such a network, or has not these classes.
        EngineError: the network can't be converted.
    """

    def build() -> Converted:
        from realtime.models.yolo_torch import convert

        layout, model = convert(path, classes)
        expected = np.zeros((0, KEYPOINTS + 3 * layout.keypoints), np.float32)
        if sample is not None:
            expected = _as_rows(_expected(YoloNet(path, CPU, classes=classes), sample))
        return Converted(model, {"kind": "yolo", **layout.as_json()}, expected)

    sources = b"".join(source.read_bytes() for source in _SOURCES)
    parts = [sources, b"" if sample is None else str(sample.shape).encode() + sample.tobytes()]
    digests = [hashlib.sha256(part).hexdigest() for part in parts]
    versions = [version_of(library) for library in ("torch", "ultralytics")]
    key = ["yolo", sha256_of(path), *digests, *classes, "of", openvino.version(), *versions]
    return built_once(cache, key, build, write, lambda folder: _checked(read(folder, "yolo")))


def _checked(network: Converted) -> Converted:
    """Check that a network's description and the reference of its self-test fit together, and return it.

    Raises:
        ValueError: they don't.
    """
    columns = KEYPOINTS + 3 * Layout.read(network.about).keypoints
    if network.expected.ndim != 2 or network.expected.shape[1] != columns:
        raise ValueError("the reference of the self-test has another shape")
    return network


def _exported(folder: Path, classes: Sequence[str]) -> Converted:
    """Read a network that was exported.

    Raises:
        ModelError: it can't be read, or was converted for other classes.
    """
    network = read_exported(folder, "yolo")
    if network.about.get("classes") != list(classes):
        theirs = ", ".join(map(str, network.about.get("classes", [])))
        raise ModelError(
            f"{folder}: was converted for detector.classes {theirs}, not {', '.join(classes)}; export it again with "
            "these classes"
        )
    try:
        return _checked(network)
    except ValueError as error:
        raise ModelError(f"{folder}: {error}; export it again") from error


# ---- the self-test against float32

# Self-test: the chosen engine must find each person that fp32 detects with a score above _SURE. If it doesn't look for
# people, it must find all objects of all classes (in a reduced head, people are of the class "best other"). The two
# boxes must have an IoU of at least _SAME_IOU and scores that differ by at most _SAME_SCORE. Keypoints with a score
# above _SURE may be at most _SAME_PLACE times the longer side of the box apart. For comparison, bf16 moves a 200 px box
# by about 0.2 px and a score by 0.02.
_SURE, _SAME_IOU, _SAME_SCORE, _SAME_PLACE = 0.5, 0.8, 0.2, 0.1
_NMS_IOU = 0.7


def build_net(
    section: str,
    path: Path,
    device: AnyDevice,
    choice: Choice,
    config: DetectorConfig | PoseConfig,
    cache: Path,
    sample: NDArray[np.uint8],
) -> YoloNet:
    """Load a network on the chosen engine, and test it against float32.

    Args:
        section: the name of the section, for log and error messages: "detector".
        path: a .pt file that the caller trusts, because loading it unpickles it.
        device: where to run.
        choice: the engine and its precision.
        config: the section. It decides what happens if the test fails (models.proof).
        cache: the folder for converted networks.
        sample: uint8 (H, W, 3) BGR, an image of people for the test.

    Raises:
        ModelError: the file is not a YOLO network, or has no class that `config` names; or the chosen engine failed and
            may not be replaced.
    """
    classes = config.classes if isinstance(config, DetectorConfig) else [PERSON]
    if choice == EXACT and device.type == "cpu":
        return YoloNet(path, CPU, classes=classes)

    def build_and_test(choice: Choice) -> tuple[YoloNet, Verdict]:
        net = YoloNet(path, device, choice, cache, classes, sample)
        if net.converted is None:
            exact = YoloNet(path, CPU, classes=classes)
            return net, _verdict(_expected(exact, sample), net, sample)
        expected, identity = _from_rows(net.converted.expected, net.keypoints), net.converted.identity
        return net, remembered(cache, identity, choice, _SOURCES, lambda: _verdict(expected, net, sample))

    return proven(section, choice, config, build_and_test)


def _verdict(expected: Found, net: YoloNet, sample: NDArray[np.uint8]) -> Verdict:
    lost = _lost(expected, net, _picture(sample, net.stride))
    what = "people" if _finds_people(net.names) else "objects"
    found = f"all {what}" if not lost else f"all but {lost} of the {what}"
    return Verdict(not lost, f"it finds {found} that fp32 detects in the test image")


def _expected(exact: YoloNet, sample: NDArray[np.uint8]) -> Found:
    """What a network in fp32 finds in the test image with a score above _SURE."""
    return exact.predict(_picture(sample, exact.stride), _SURE, _NMS_IOU, not _finds_people(exact.names))[0]


def _picture(sample: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """The test image as uint8 (1, h, w, 3), without the rows and columns beyond the last whole stride."""
    height, width = (side - side % stride for side in sample.shape[:2])
    return sample[np.newaxis, :height, :width].copy()


def _finds_people(names: Sequence[str]) -> bool:
    return PERSON in map(str.casefold, names)


def _lost(expected: Found, net: YoloNet, picture: NDArray[np.uint8]) -> int:
    """Count the people (or objects) of `expected` that `net` does not detect in uint8 (1, h, w, 3)."""
    boxes, scores, keypoints, labels = expected
    found, sure, points, kinds = net.predict(
        picture, _SURE - _SAME_SCORE, _NMS_IOU, every_class=not _finds_people(net.names)
    )[0]
    same = (iou(boxes, found) >= _SAME_IOU) & (np.abs(scores[:, np.newaxis] - sure) <= _SAME_SCORE)
    same &= labels[:, np.newaxis] == kinds
    distances = np.linalg.norm((keypoints[:, np.newaxis] - points)[..., :2], axis=3)  # (N, M, K)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, np.newaxis, np.newaxis]
    seen = keypoints[:, np.newaxis, :, 2] > _SURE
    same &= ~(seen & (distances > _SAME_PLACE * sides)).any(axis=2)
    return int((~same.any(axis=1)).sum())


def _as_rows(found: Found) -> NDArray[np.float32]:
    """What was found as one array, for a file: float32 (n, 6 + 3 K), x1 y1 x2 y2 score label x y score ..."""
    columns = found.xyxy, found.scores[:, np.newaxis], found.labels[:, np.newaxis]
    return np.concatenate((*columns, found.keypoints.reshape(len(found.xyxy), -1)), axis=1, dtype=np.float32)


def _from_rows(rows: NDArray[np.float32], keypoints: int) -> Found:
    points = rows[:, KEYPOINTS:].reshape(len(rows), keypoints, 3)
    return Found(rows[:, :4], rows[:, SCORE], points, rows[:, LABEL].astype(np.int64))
