"""YOLO networks, in torch or OpenVINO: from images to the people in them, or to objects of other classes.

detect/ and pose/ (YOLO pose models) use it; models/ultralytics.py loads the files, models/yolo_engines.py runs the
networks. We do not call `YOLO.predict`, because it synchronises the whole device several times per call, prints, and
stops its NMS after a time limit. A parity test compares the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.config import DetectorConfig, PoseConfig
from realtime.models.choice import DTYPES, EXACT, Choice
from realtime.models.proof import Verdict, proven
from realtime.models.ultralytics import PERSON, load_network
from realtime.models.yolo_engines import OpenVinoForward, TorchForward, converted
from realtime.runtime.device import Lane

# At most this many boxes per image, as in ultralytics (`max_det`).
_MOST_BOXES = 300
# Column of the label in a row x1 y1 x2 y2 score label keypoints.
_LABEL = 5


class Found(NamedTuple):
    """What a network found in one image, by descending score. Coordinates are pixels of the network's input."""

    xyxy: NDArray[np.float32]  # (n, 4), x1 y1 x2 y2
    scores: NDArray[np.float32]  # (n,)
    keypoints: NDArray[np.float32]  # (n, K, 3), x, y, score; K = 0 for a detection network
    labels: NDArray[np.int64]  # (n,), indices into the names of the classes that are looked for


def is_people_only(names: Sequence[str]) -> bool:
    """Return whether these names of classes are that of people alone.

    >>> is_people_only(["Person"]), is_people_only(["person", "dog"])
    (True, False)
    """
    return [name.casefold() for name in names] == [PERSON]


class YoloNet:
    """One YOLO network on its lane (its device and stream, runtime/device.py). On a CPU any thread may call `predict`.

    Attributes:
        path: the file of its weights.
        engine_name: engine and precision: "openvino bf16".
        stride: the height and width of an input must be multiples of it.
        keypoints: K of a pose network, 0 for a detection network.
        names: names of the classes that it looks for.
        lane: the device and stream that it runs on.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        choice: Choice = EXACT,
        cache: Path | None = None,
        classes: Sequence[str] = (PERSON,),
    ) -> None:
        """Load the weights.

        Args:
            path: a .pt file that the caller trusts, because loading it unpickles it.
            device: where to run.
            choice: the engine and its precision.
            cache: the folder for converted networks. Required for OpenVINO, unused by torch.
            classes: the classes to look for, by name or number (`detector.classes`).

        Raises:
            ModelError: the file is not a YOLO detection or pose network, or the network has not these classes.
            EngineError: OpenVINO can't convert it.
        """
        module, self._layout = load_network(path, classes)
        self.path, self.engine_name = path, str(choice)
        self.stride, self.keypoints, self.names = self._layout.stride, self._layout.keypoints, self._layout.names
        self.lane = Lane(device)
        self._labels = torch.tensor(self._layout.labels, device=device)
        self._forward: TorchForward | OpenVinoForward
        if choice.engine == "openvino":
            assert cache is not None
            self._forward = OpenVinoForward(converted(module, path, self._layout.kept, cache), choice.precision)
        else:
            self._forward = TorchForward(module, self.lane, DTYPES[choice.precision])

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
        select = self._of_end2end if self._layout.end2end else self._of_anchors
        with self.lane.run():
            labels = torch.arange(len(self._labels), device=self._labels.device) if every_class else self._labels
            picture, rows = select(self._forward(images), min_score, labels)
            flat = np.asarray(self.lane.download(torch.cat((picture[:, None], rows), 1)), np.float32)
        flat = flat[flat[:, 1 + _LABEL] >= 0]
        parts = np.split(flat[:, 1:], np.searchsorted(flat[:, 0], np.arange(1, len(images))))
        return [self._split(part if self._layout.end2end else _suppressed(part, nms_iou)) for part in parts]

    def drop(self, size: tuple[int, int]) -> None:
        """Free the network that was built for images of this width and height. Calls in progress keep theirs."""
        width, height = size
        self._forward.drop(height, width)

    def _of_end2end(
        self, predictions: torch.Tensor, min_score: float, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Select the likely boxes from the output of an end-to-end network.

        Args:
            predictions: float32 (B, n, 6 + 3 K), x1 y1 x2 y2 score class keypoints, by descending score.
            min_score: only higher scores are kept.
            labels: as for _of_anchors.

        Returns:
            The same as _of_anchors.
        """
        picture, place = (predictions[..., 4] > min_score).nonzero(as_tuple=True)
        found = predictions[picture, place]
        which = found[:, _LABEL].long().clamp(0, len(labels) - 1)  # a broken engine may return anything
        return picture, torch.cat((found[:, :_LABEL], labels[which, None], found[:, _LABEL + 1 :]), 1)

    def _of_anchors(
        self, predictions: torch.Tensor, min_score: float, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Select the likely boxes from the output of a network that needs NMS; duplicates are still there.

        As in ultralytics, only the best class of an anchor counts.

        Args:
            predictions: float32 (B, 4 + classes + 3 K, anchors); a box is its centre and size.
            min_score: only higher scores are kept.
            labels: int64 (classes,), the label of each class score; -1 for a class that is not looked for.

        Returns:
            The index of each detection's image, ascending, int64 (M,); and float32 (M, 6 + 3 K), x1 y1 x2 y2 score
            label x y score ...
        """
        classes = len(labels)
        best, which = predictions[:, 4 : 4 + classes].max(1)
        picture, place = (best > min_score).nonzero(as_tuple=True)
        found = predictions.transpose(1, 2)[picture, place]
        half = found[:, 2:4] / 2
        boxes = torch.cat((found[:, :2] - half, found[:, :2] + half), 1)
        scores = torch.stack((best[picture, place], labels[which[picture, place]].to(best.dtype)), 1)
        return picture, torch.cat((boxes, scores, found[:, 4 + classes :]), 1)

    def _split(self, rows: NDArray[np.float32]) -> Found:
        keypoints = rows[:, 6:].reshape(len(rows), self.keypoints, self._layout.columns) if self.keypoints else None
        if keypoints is None:
            keypoints = np.zeros((len(rows), 0, 3), np.float32)
        elif self._layout.columns == 2:  # the network predicts no keypoint scores: use the box's
            sure = np.broadcast_to(rows[:, 4, None, None], (*keypoints.shape[:2], 1))
            keypoints = np.concatenate([keypoints, sure], axis=2)
        boxes, scores = np.ascontiguousarray(rows[:, :4]), np.ascontiguousarray(rows[:, 4])
        return Found(boxes, scores, np.ascontiguousarray(keypoints), rows[:, _LABEL].astype(np.int64))


def _suppressed(rows: NDArray[np.float32], nms_iou: float) -> NDArray[np.float32]:
    """Apply NMS to the detections of one image, (M, 6 + 3 K), for each class; the best ones by descending score."""
    from torchvision.ops import nms

    def of_class(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        kept = nms(torch.from_numpy(rows[:, :4]), torch.from_numpy(rows[:, 4]), nms_iou)
        return np.asarray(rows[kept.numpy()[:_MOST_BOXES]])

    labels = np.unique(rows[:, _LABEL])
    if len(labels) <= 1:
        return of_class(rows)
    rows = np.concatenate([of_class(rows[rows[:, _LABEL] == label]) for label in labels])
    return np.asarray(rows[np.argsort(-rows[:, 4], kind="stable")[:_MOST_BOXES]])


# ---- the self-test against float32

# Self-test: the chosen engine must find each person that fp32 detects with a score above _SURE. If it doesn't look for
# people, it must find all objects of all classes (in a reduced head, people are of the class "best other"). The two
# boxes must have an IoU of at least _SAME_IOU and scores that differ by at most _SAME_SCORE. Keypoints with a score
# above _SURE may be at most _SAME_PLACE times the longer side of the box apart. For comparison, bf16 moves a 200 px box
# by about 0.2 px and a score by 0.02.
_SURE, _SAME_IOU, _SAME_SCORE, _SAME_PLACE = 0.5, 0.8, 0.2, 0.1


def build_net(
    section: str,
    path: Path,
    device: torch.device,
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
    exact = YoloNet(path, torch.device("cpu"), classes=classes)
    if choice == EXACT and device.type == "cpu":
        return exact
    height, width = (side - side % exact.stride for side in sample.shape[:2])
    picture = sample[np.newaxis, :height, :width].copy()

    def build_and_test(choice: Choice) -> tuple[YoloNet, Verdict]:
        net = YoloNet(path, device, choice, cache, classes)
        lost = _lost(exact, net, picture)
        what = "people" if _finds_people(exact) else "objects"
        found = f"all {what}" if not lost else f"all but {lost} of the {what}"
        return net, Verdict(not lost, f"it finds {found} that fp32 detects in the test image")

    return proven(section, choice, config, build_and_test)


def _finds_people(net: YoloNet) -> bool:
    return PERSON in map(str.casefold, net.names)


def _lost(exact: YoloNet, net: YoloNet, picture: NDArray[np.uint8]) -> int:
    """Count the people (or objects) in uint8 (1, h, w, 3) that `exact` detects with a score above _SURE, not `net`."""
    every_class = not _finds_people(exact)
    boxes, scores, keypoints, labels = exact.predict(picture, _SURE, 0.7, every_class)[0]
    found, sure, points, kinds = net.predict(picture, _SURE - _SAME_SCORE, 0.7, every_class)[0]
    same = (iou(boxes, found) >= _SAME_IOU) & (np.abs(scores[:, np.newaxis] - sure) <= _SAME_SCORE)
    same &= labels[:, np.newaxis] == kinds
    distances = np.linalg.norm((keypoints[:, np.newaxis] - points)[..., :2], axis=3)  # (N, M, K)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, np.newaxis, np.newaxis]
    seen = keypoints[:, np.newaxis, :, 2] > _SURE
    same &= ~(seen & (distances > _SAME_PLACE * sides)).any(axis=2)
    return int((~same.any(axis=1)).sum())
