"""YOLO networks of the ultralytics package: load, forward, non-maximum suppression. Its only importer.

Used by detect/ (people) and pose/ (YOLO pose models). We drive the network ourselves: `YOLO.predict` synchronises the
whole device several times a call, prints, and cuts its NMS off by wall clock. Parity with it is tested.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ModelError
from realtime.models import openvino
from realtime.models.cache import built_once
from realtime.models.engine import Choice, Wish, choose
from realtime.runtime.device import Lane

log = logging.getLogger(__name__)

# ultralytics' NMS stops after 2 s + this for each image and returns nothing for the rest: never.
_NO_TIME_LIMIT_S = 1e9


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EXACT = Choice("torch", "fp32")


class YoloNet:
    """One YOLO network on its lane. On a CPU `predict` may be called from any thread.

    Attributes:
        path: of its weights.
        engine_name: what computes it: "openvino bf16".
        task: "detect" or "pose".
        stride: the input's height and width must be multiples of it.
        class_names: what the classes are called, by index.
        keypoints: K for a pose network, else 0.
    """

    def __init__(self, path: Path, device: torch.device, choice: Choice = EXACT, cache: Path | None = None) -> None:
        """Load the weights.

        Args:
            path: a .pt file that the caller trusts: it is unpickled.
            device: where to run.
            choice: what computes the network, and in which numbers.
            cache: folder for networks converted for OpenVINO, which alone needs it.

        Raises:
            ModelError: this is no YOLO detection or pose network, or OpenVINO can't take it.
        """
        module = _load(path).to(device)
        self.path, self.engine_name = path, str(choice)
        self._lane = Lane(device)
        self.task: str = module.task
        if self.task not in ("detect", "pose"):
            raise ModelError(f"{path}: got a YOLO model for {self.task!r}, expected one for detection or pose")
        self.stride = int(max(module.stride))
        self.class_names: dict[int, str] = dict(module.names)
        self.keypoints: int = int(module.kpt_shape[0]) if self.task == "pose" else 0
        self._columns: int = int(module.kpt_shape[1]) if self.task == "pose" else 0
        self._end2end = bool(getattr(module, "end2end", False))
        self._forward: _TorchForward | _OpenVinoForward
        if choice.engine == "openvino":
            assert cache is not None
            self._forward = _OpenVinoForward(_converted(module, path, cache), choice.precision)
        else:
            self._forward = _TorchForward(module, self._lane, _DTYPES[choice.precision])

    def predict(
        self, images: NDArray[np.uint8], min_score: float, nms_iou: float, classes: Sequence[int]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Forward and NMS of a batch.

        Args:
            images: uint8 (B, h, w, 3) BGR, C-contiguous, h and w multiples of the stride.
            min_score: weaker boxes are left out.
            nms_iou: of two boxes of a class that overlap more, the weaker is left out.
            classes: the class indices wanted.

        Returns:
            For each image, by falling score: boxes float32 (n, 4) x1 y1 x2 y2, scores float32 (n,), keypoints float32
            (n, K, 3) x, y, score; K = 0 for a detection network. In pixels of the network's input.
        """
        from ultralytics.utils.nms import non_max_suppression

        with self._lane.run():
            rows = non_max_suppression(
                self._promising(self._forward(images), min_score, classes),
                conf_thres=min_score,
                iou_thres=nms_iou,
                classes=list(classes),
                nc=len(self.class_names),
                max_time_img=_NO_TIME_LIMIT_S,
                end2end=self._end2end,
            )
            flat = np.asarray(self._lane.download(torch.cat(rows)), np.float32)
        return [self._split(part) for part in np.split(flat, np.cumsum([len(row) for row in rows])[:-1])]

    def _promising(self, predictions: torch.Tensor, min_score: float, classes: Sequence[int]) -> torch.Tensor:
        """Of one picture, the predictions that can become a box: non-maximum suppression leaves others out slowly."""
        if self._end2end or len(predictions) > 1:
            return predictions
        best = predictions[:, [4 + index for index in classes]].amax(1)
        return predictions[..., best[0] > min_score]

    def _split(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        keypoints = rows[:, 6:].reshape(len(rows), self.keypoints, self._columns) if self.keypoints else None
        if keypoints is None:
            keypoints = np.zeros((len(rows), 0, 3), np.float32)
        elif self._columns == 2:  # a network without visibility: its keypoints are as sure as its box
            sure = np.broadcast_to(rows[:, 4, None, None], (*keypoints.shape[:2], 1))
            keypoints = np.concatenate([keypoints, sure], axis=2)
        return (
            np.ascontiguousarray(rows[:, :4]),
            np.ascontiguousarray(rows[:, 4]),
            np.ascontiguousarray(keypoints),
        )


class _Pictures(torch.nn.Module):
    """A YOLO network from pictures to its predictions, before NMS."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:  # noqa: ANN401 - ultralytics ships no types
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """From uint8 (B, h, w, 3) BGR to float32: (B, 4 + classes + 3 K, anchors), or (B, n, 6 + 3 K) end to end."""
        batch = pictures.permute(0, 3, 1, 2).flip(1).float().div(255)
        predictions = self.module(batch.to(self.dtype))
        first: torch.Tensor = predictions[0] if isinstance(predictions, tuple) else predictions
        return first.float()


class _TorchForward:
    """The network in torch. It keeps what it worked out for the size of the last pictures: a copy for each size."""

    def __init__(self, module: Any, lane: Lane, dtype: torch.dtype) -> None:  # noqa: ANN401 - see _Pictures
        self._network, self._lane = _Pictures(module.to(dtype), dtype), lane
        self._by_size: dict[tuple[int, int], _Pictures] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """Predictions of uint8 (B, h, w, 3) BGR, on the lane's device; within `lane.run`."""
        return self._of(pictures.shape[1:3])(self._lane.upload(pictures))  # type: ignore[no-any-return]  # torch

    def _of(self, size: tuple[int, int]) -> _Pictures:
        with self._lock:
            if size not in self._by_size:
                weights = {id(weight): weight for weight in self._network.parameters()}
                self._by_size[size] = copy.deepcopy(self._network, weights)  # all but the weights, which they share
            return self._by_size[size]


class _OpenVinoForward:
    """The network in OpenVINO, compiled for each size of picture that comes."""

    def __init__(self, path: Path, precision: openvino.Precision) -> None:
        self._path, self._precision = path, precision
        self._by_size: dict[tuple[int, int], openvino.OpenVinoNetwork] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """Predictions of uint8 (B, h, w, 3) BGR, valid until this thread's next call."""
        size = pictures.shape[1:3]
        with self._lock:
            if size not in self._by_size:
                self._by_size[size] = openvino.OpenVinoNetwork(self._path, self._precision, size)
        return torch.from_numpy(self._by_size[size](pictures))


# ---- which engine, and whether it computes what float32 does

# Whom float32 is sure of must be found again, so well; 16 bits move a box of 200 pixels by 0.2, a score by 0.02.
_SURE, _SAME_IOU, _SAME_SCORE = 0.5, 0.8, 0.2


def build_net(
    section: str, path: Path, device: torch.device, wish: Wish, cache: Path, sample: NDArray[np.uint8]
) -> YoloNet:
    """A network on the engine that its section asks for, tested: it finds the people of a picture that float32 finds.

    Args:
        section: its name, for errors: "detector".
        path: a .pt file that the caller trusts: it is unpickled.
        device: where to run.
        wish: the section.
        cache: folder for networks converted for an engine.
        sample: uint8 (H, W, 3) BGR, a picture of people.

    Returns:
        The network; where the section leaves the choice and the test fails, on torch in float32.

    Raises:
        ModelError: no YOLO network; or what was asked for doesn't compute what float32 does.
        ConfigError: see choose.
    """
    choice = choose(section, device, wish)
    if choice == EXACT:
        return YoloNet(path, device)
    exact = YoloNet(path, torch.device("cpu"))
    height, width = (side - side % exact.stride for side in sample.shape[:2])
    picture = sample[np.newaxis, :height, :width].copy()
    try:
        net = YoloNet(path, device, choice, cache)
        lost = _lost(exact, net, picture)
        problem = f"{lost} of the people that fp32 finds in a test picture aren't found" if lost else ""
    except ModelError as error:
        problem = str(error)
    if not problem:
        log.info("%s: %s %s", section, "auto chose" if "auto" in (wish.engine, wish.precision) else "runs on", choice)
        return net
    if wish.engine != "auto" or wish.precision != "auto":
        raise ModelError(f"{section}: {choice}: {problem}; try --{section}.engine torch --{section}.precision fp32")
    log.warning("%s: %s: %s; %s takes its place", section, choice, problem, EXACT)
    return YoloNet(path, device)


def _lost(exact: YoloNet, net: YoloNet, picture: NDArray[np.uint8]) -> int:
    """How many of the things that the exact network is sure to see in uint8 (1, h, w, 3) the other one doesn't."""
    boxes, scores, _ = exact.predict(picture, _SURE, 0.7, list(exact.class_names))[0]
    found, sure, _ = net.predict(picture, _SURE - _SAME_SCORE, 0.7, list(exact.class_names))[0]
    sides = np.minimum(boxes[:, np.newaxis, 2:], found[:, 2:]) - np.maximum(boxes[:, np.newaxis, :2], found[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=2)
    areas = [(some[:, 2:] - some[:, :2]).prod(axis=1) for some in (boxes, found)]
    overlaps = shared / (areas[0][:, np.newaxis] + areas[1] - shared)
    same = (overlaps >= _SAME_IOU) & (np.abs(scores[:, np.newaxis] - sure) <= _SAME_SCORE)
    return int((~same.any(axis=1)).sum())


def _converted(module: Any, path: Path, cache: Path) -> Path:  # noqa: ANN401 - see _Pictures
    """The network as a file of OpenVINO's, converted once.

    Raises:
        ModelError: it can't be converted.
    """

    def build(into: Path) -> None:
        log.info("%s: converting the network for OpenVINO, once", path.name)
        for layer in module.modules():
            if hasattr(layer, "dynamic"):
                layer.dynamic = True  # the head works out its anchors in each call
        pictures = torch.zeros((2, 480, 640, 3), dtype=torch.uint8)
        try:
            openvino.convert(_Pictures(module, torch.float32), pictures, into / "network.xml", free_size=True)
        except Exception as error:  # whatever a converter meets in a layer that it doesn't know
            summary = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ModelError(f"{path}: OpenVINO can't take this network ({summary}): use engine torch") from error

    versions = [importlib.metadata.version(library) for library in ("torch", "ultralytics")]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return built_once(cache, ["yolo", digest, openvino.version(), *versions], build) / "network.xml"


def _load(path: Path) -> Any:  # noqa: ANN401 - ultralytics ships no types
    threads = torch.get_num_threads()
    _tame()
    from ultralytics.nn.tasks import load_checkpoint

    try:
        module, _ = load_checkpoint(str(path), device="cpu", fuse=True)
    except Exception as error:  # whatever an unpickler meets in a file that isn't a model
        summary = str(error).strip().splitlines()
        raise ModelError(
            f"{path}: not a YOLO model that ultralytics can load ({type(error).__name__}: "
            f"{summary[0] if summary else 'no reason given'})"
        ) from error
    finally:
        torch.set_num_threads(threads)  # which importing it and loading lower, for the whole process
    return module.requires_grad_(False)


def _tame() -> None:
    """Keep ultralytics from installing packages, calling home and printing on standard output. Before its import."""
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    # Its first import writes a notice about its settings file to standard output.
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        import ultralytics.nn.tasks  # noqa: F401
    finally:
        sys.stdout = stdout
    # Its own handler writes to standard output: let our log decide.
    theirs = logging.getLogger("ultralytics")
    theirs.handlers.clear()
    theirs.propagate = True
