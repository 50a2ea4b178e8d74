"""YOLO networks of the ultralytics package: from pictures to the people in them. Its only importer, and torchvision's.

Used by detect/ and pose/ (YOLO pose models). We drive the network ourselves: `YOLO.predict` synchronises the whole
device several times a call, prints, and cuts its NMS off by wall clock. Parity with it is tested.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import logging
import os
import sys
import threading
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.errors import ModelError
from realtime.models import openvino
from realtime.models.cache import read_built
from realtime.models.engine import Choice, Wish, choose
from realtime.runtime.device import Lane, exact_float32

log = logging.getLogger(__name__)

_PERSON = "person"
# ultralytics' default: no picture has more boxes.
_MOST_BOXES = 300
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EXACT = Choice("torch", "fp32")


class YoloNet:
    """One YOLO network on its lane. On a CPU `predict` may be called from any thread.

    Attributes:
        path: of its weights.
        engine_name: what computes it: "openvino bf16".
        task: "detect" or "pose".
        stride: the input's height and width must be multiples of it.
        keypoints: K for a pose network, else 0.
        lane: where it computes.
    """

    def __init__(self, path: Path, device: torch.device, choice: Choice = EXACT, cache: Path | None = None) -> None:
        """Load the weights.

        Args:
            path: a .pt file that the caller trusts: it is unpickled.
            device: where to run.
            choice: what computes the network, and in which numbers.
            cache: folder for networks converted for OpenVINO, which alone needs it.

        Raises:
            ModelError: this is no YOLO detection or pose network, it knows no people, or OpenVINO can't take it.
        """
        from ultralytics.nn.modules.head import Detect

        module = _load(path)
        self.path, self.engine_name = path, str(choice)
        self.lane = Lane(device)
        self.task: str = module.task
        if self.task not in ("detect", "pose"):
            raise ModelError(f"{path}: got a YOLO model for {self.task!r}, expected one for detection or pose")
        if not isinstance(module.model[-1], Detect):
            kind = type(module.model[-1]).__name__
            raise ModelError(f"{path}: got a network that ends in {kind}, expected one that ends as YOLOs do")
        self.stride = int(max(module.stride))
        self.keypoints: int = int(module.kpt_shape[0]) if self.task == "pose" else 0
        self._columns: int = int(module.kpt_shape[1]) if self.task == "pose" else 0
        self._end2end = bool(getattr(module, "end2end", False))
        self._classes, self._person = len(module.names), _person_class(module, path)
        if self._person is not None and _tell_people_only(module, self._person):
            self._classes, self._person = 2, 0
        self._forward: _TorchForward | _OpenVinoForward
        if choice.engine == "openvino":
            assert cache is not None
            self._forward = _OpenVinoForward(_converted(module, path, cache), choice.precision)
        else:
            self._forward = _TorchForward(module, self.lane, _DTYPES[choice.precision])

    def predict(
        self, images: NDArray[np.uint8] | torch.Tensor, min_score: float, nms_iou: float
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """The people in a batch of pictures.

        Args:
            images: uint8 (B, h, w, 3) BGR, C-contiguous, h and w multiples of the stride; or the same on the lane.
            min_score: weaker boxes are left out.
            nms_iou: of two boxes that overlap more, the weaker is left out.

        Returns:
            For each image, by falling score: boxes float32 (n, 4) x1 y1 x2 y2, scores float32 (n,), keypoints float32
            (n, K, 3) x, y, score; K = 0 for a detection network. In pixels of the network's input.
        """
        select = self._of_end2end if self._end2end else self._of_anchors
        with self.lane.run():
            picture, rows = select(self._forward(images), min_score)
            flat = np.asarray(self.lane.download(torch.cat((picture[:, None], rows), 1)), np.float32)
        parts = np.split(flat[:, 1:], np.searchsorted(flat[:, 0], np.arange(1, len(images))))
        return [self._split(part if self._end2end else _suppressed(part, nms_iou)) for part in parts]

    def _of_end2end(self, predictions: torch.Tensor, min_score: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The people of (B, n, 6 + 3 K) by falling score, x1 y1 x2 y2 score class; see _of_anchors."""
        likely = predictions[..., 4] > min_score
        if self._person is not None:
            likely &= predictions[..., 5] == self._person
        picture, place = likely.nonzero(as_tuple=True)
        found = predictions[picture, place]
        return picture, torch.cat((found[:, :5], found[:, 6:]), 1)

    def _of_anchors(self, predictions: torch.Tensor, min_score: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Who is in (B, 4 + classes + 3 K, anchors), centre and size, doubles and all.

        As ultralytics does it: what is rather something else than a person is nobody.

        Returns:
            The picture of each find, never falling, int64 (M,); float32 (M, 5 + 3 K) x1 y1 x2 y2 score x y score ...
        """
        best, which = predictions[:, 4 : 4 + self._classes].max(1)
        likely = best > min_score
        if self._person is not None:
            likely &= which == self._person
        picture, place = likely.nonzero(as_tuple=True)
        found = predictions.transpose(1, 2)[picture, place]
        half = found[:, 2:4] / 2
        boxes = torch.cat((found[:, :2] - half, found[:, :2] + half), 1)
        return picture, torch.cat((boxes, best[picture, place, None], found[:, 4 + self._classes :]), 1)

    def _split(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        keypoints = rows[:, 5:].reshape(len(rows), self.keypoints, self._columns) if self.keypoints else None
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


def _suppressed(rows: NDArray[np.float32], nms_iou: float) -> NDArray[np.float32]:
    """The finds of one picture, x1 y1 x2 y2 score ..., without doubles, by falling score."""
    from torchvision.ops import nms

    kept = nms(torch.from_numpy(rows[:, :4]), torch.from_numpy(rows[:, 4]), nms_iou)
    return np.asarray(rows[kept.numpy()[:_MOST_BOXES]])


class _PersonOrElse(torch.nn.Module):
    """The scores of a person, and of whatever else is likeliest, of those of all classes."""

    def __init__(self, scores: torch.nn.Conv2d, person: int) -> None:
        super().__init__()
        order = [person, *(index for index in range(scores.out_channels) if index != person)]
        scores.weight.data = scores.weight.data[order]
        if scores.bias is not None:
            scores.bias.data = scores.bias.data[order]
        self.scores = scores

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """From (B, C, h, w) to logits (B, 2, h, w)."""
        scores = self.scores(features)
        return torch.cat((scores[:, :1], scores[:, 1:].amax(1, keepdim=True)), 1)


def _tell_people_only(module: Any, person: int) -> bool:  # noqa: ANN401 - see _Pictures
    """Let a network tell no more than whether there is a person or rather something else, if it is of the usual kind.

    Most of what 80 classes cost beyond the convolutions: sigmoids, copies, the search for the best.
    """
    from ultralytics.nn.modules.head import Detect

    head = module.model[-1]
    if type(head) is not Detect or head.end2end or head.nc == 1:
        return False
    for branch in head.cv3:
        branch[-1] = _PersonOrElse(branch[-1], person)
    head.nc, head.no = 2, 2 + 4 * head.reg_max
    return True


def _decode_in_float32(head: Any) -> None:  # noqa: ANN401 - see _Pictures
    """Let a head work out boxes and keypoints in float32, whatever its convolutions computed in.

    In 16 bits a pixel of a picture 640 wide has no half. Its anchors, which it keeps, then are those of any number of
    pictures.
    """

    def decode(head: Any, predictions: dict[str, Any]) -> torch.Tensor:  # noqa: ANN401
        told: dict[str, Any] = {name: value.float() for name, value in predictions.items() if name != "feats"}
        # Of these only the shape counts.
        told["feats"] = [maps.new_empty((1, *maps.shape[1:]), dtype=torch.float32) for maps in predictions["feats"]]
        return type(head)._inference(head, told)  # type: ignore[no-any-return]  # ultralytics

    head._inference = MethodType(decode, head)
    head.dfl.float()


class _Pictures(torch.nn.Module):
    """A YOLO network from pictures to its predictions, before suppression."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:  # noqa: ANN401 - ultralytics ships no types
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """From uint8 (B, h, w, 3) BGR to float32: (B, 4 + classes + 3 K, anchors), or (B, n, 6 + 3 K) end to end."""
        # Flat: OpenVINO is ten times slower at numbers that lie in threes.
        batch = (pictures.flatten(1).float() / 255).reshape(pictures.shape).permute(0, 3, 1, 2)
        predictions = self.module(batch.to(self.dtype))
        first: torch.Tensor = predictions[0] if isinstance(predictions, tuple) else predictions
        return first.float()


class _TorchForward:
    """The network in torch. It keeps what it worked out for the size of the last pictures: a copy for each size."""

    def __init__(self, module: Any, lane: Lane, dtype: torch.dtype) -> None:  # noqa: ANN401 - see _Pictures
        network = _Pictures(module.to(dtype), dtype)
        _decode_in_float32(module.model[-1])
        if dtype == torch.float32:
            exact_float32()
        if lane.stream is not None:  # the order of the pictures, else each call turns the weights over
            network = network.to(memory_format=torch.channels_last)
        self._network, self._lane = network.to(lane.device), lane
        self._by_size: dict[tuple[int, ...], _Pictures] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Predictions of uint8 (B, h, w, 3) BGR, on the lane's device; within `lane.run`."""
        network = self._of(pictures.shape[1:3])
        if not isinstance(pictures, torch.Tensor):
            pictures = self._lane.upload(pictures)
        with self._lane.compute():
            return network(pictures)  # type: ignore[no-any-return]  # torch

    def _of(self, size: tuple[int, ...]) -> _Pictures:
        with self._lock:
            if size not in self._by_size:
                weights = {id(weight): weight for weight in self._network.parameters()}
                self._by_size[size] = copy.deepcopy(self._network, weights)  # all but the weights, which they share
            return self._by_size[size]


class _OpenVinoForward:
    """The network in OpenVINO, compiled for each size of picture that comes, for one of them and for any number."""

    def __init__(self, model: Any, precision: openvino.Precision) -> None:  # noqa: ANN401 - see openvino.read
        self._model, self._precision = model, precision
        self._by_shape: dict[tuple[int, int, int], openvino.OpenVinoNetwork] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Predictions of uint8 (B, h, w, 3) BGR, valid until this thread's next call."""
        assert isinstance(pictures, np.ndarray)  # OpenVINO computes on CPUs
        count, height, width, _ = pictures.shape
        shape = 1 if count == 1 else -1, height, width
        with self._lock:
            if shape not in self._by_shape:
                self._by_shape[shape] = openvino.OpenVinoNetwork(self._model, self._precision, shape)
        return torch.from_numpy(self._by_shape[shape](pictures))


# ---- which engine, and whether it computes what float32 does

# Whom float32 is sure of must be found again, so well; 16 bits move a box of 200 pixels by 0.2, a score by 0.02. A
# keypoint that it is sure of, too: within so much of the box's longer side.
_SURE, _SAME_IOU, _SAME_SCORE, _SAME_PLACE = 0.5, 0.8, 0.2, 0.1


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
    if choice == EXACT and device.type == "cpu":
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
    if choice == EXACT:
        raise ModelError(f"{section}: {choice} on {device}: {problem}; try --device cpu")
    if wish.engine != "auto" or wish.precision != "auto":
        raise ModelError(f"{section}: {choice}: {problem}; try --{section}.engine torch --{section}.precision fp32")
    log.warning("%s: %s: %s; %s takes its place", section, choice, problem, EXACT)
    return YoloNet(path, device)


def _lost(exact: YoloNet, net: YoloNet, picture: NDArray[np.uint8]) -> int:
    """How many of the people that the exact network is sure to see in uint8 (1, h, w, 3) the other one doesn't."""
    boxes, scores, keypoints = exact.predict(picture, _SURE, 0.7)[0]
    found, sure, points = net.predict(picture, _SURE - _SAME_SCORE, 0.7)[0]
    same = (iou(boxes, found) >= _SAME_IOU) & (np.abs(scores[:, np.newaxis] - sure) <= _SAME_SCORE)
    distances = np.linalg.norm((keypoints[:, np.newaxis] - points)[..., :2], axis=3)  # (N, M, K)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, np.newaxis, np.newaxis]
    seen = keypoints[:, np.newaxis, :, 2] > _SURE
    same &= ~(seen & (distances > _SAME_PLACE * sides)).any(axis=2)
    return int((~same.any(axis=1)).sum())


def _converted(module: Any, path: Path, cache: Path) -> Any:  # noqa: ANN401 - see _Pictures
    """The network as OpenVINO's, converted once.

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
    digest = hashlib.sha256(path.read_bytes() + Path(__file__).read_bytes()).hexdigest()  # what is done to it here, too
    key = ["yolo", digest, openvino.version(), *versions]
    return read_built(cache, key, build, lambda folder: openvino.read(folder / "network.xml"))


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
    # Frames are BGR. The network is turned once instead of every picture.
    first = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))
    first.weight.data = first.weight.data.flip(1).contiguous()
    return module.requires_grad_(False)


def _person_class(module: Any, path: Path) -> int | None:  # noqa: ANN401 - see _Pictures
    """The class of people; None where all classes are: whatever a pose network was trained for, or a detector alone.

    Raises:
        ModelError: it knows no people.
    """
    for index, name in module.names.items():
        if name.lower() == _PERSON:
            return int(index)
    if len(module.names) == 1 or module.task == "pose":
        return None
    raise ModelError(
        f"{path}: got classes {', '.join(list(module.names.values())[:5])} ..., expected one called person"
    )


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
