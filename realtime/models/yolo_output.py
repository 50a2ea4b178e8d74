"""The predictions of a YOLO network in numpy: the likely boxes among them, without duplicates.

models/yolo.py uses it for networks in OpenVINO; models/yolo_torch.py selects the likely boxes on a GPU. The results are
those of ultralytics: `non_max_suppression`, and torchvision's `nms` for each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PERSON = "person"

# At most this many boxes per image, as in ultralytics (`max_det`).
_MOST_BOXES = 300
# Columns of a row x1 y1 x2 y2 score label keypoints.
SCORE, LABEL, KEYPOINTS = 4, 5, 6


@dataclass(frozen=True, slots=True)
class Layout:
    """The input that a network takes, and where its predictions hold what.

    >>> layout = Layout(32, 17, 3, ("person",), (0,), (), False)
    >>> Layout.read(layout.as_json()) == layout
    True

    Attributes:
        stride: the height and width of an input must be multiples of it.
        keypoints: K of a pose network, 0 for a detection network.
        columns: numbers for each keypoint: 3, or 2 if the network predicts no keypoint scores; 0 without keypoints.
        names: names of the classes that are looked for. A label is an index into them.
        labels: the label of each class score; -1 for a class that is not looked for.
        kept: the chosen classes, if the head was reduced to them and the best other one; otherwise empty.
        end2end: True if duplicates are already removed, so that no NMS is needed.
    """

    stride: int
    keypoints: int
    columns: int
    names: tuple[str, ...]
    labels: tuple[int, ...]
    kept: tuple[int, ...]
    end2end: bool

    def as_json(self) -> dict[str, object]:
        """The layout as JSON, for the file of a converted network."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Layout:
        """Read what `as_json` returned.

        Raises:
            ValueError: it is something else.
        """
        try:
            stride, keypoints, columns = (_count(data[key]) for key in ("stride", "keypoints", "columns"))
            names, labels, kept = (tuple(data[key]) for key in ("names", "labels", "kept"))
        except (KeyError, TypeError) as error:
            raise ValueError("not the layout of a YOLO network") from error
        is_sound = bool(stride and names and labels) and all(isinstance(name, str) for name in names)
        is_sound &= all(isinstance(label, int) and -1 <= label < len(names) for label in labels)
        if not is_sound or columns not in (0, 2, 3) or bool(columns) != bool(keypoints):
            raise ValueError("not the layout of a YOLO network")
        return cls(stride, keypoints, columns, names, labels, kept, bool(data.get("end2end")))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a count, got {value}")
    return value


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


# ---- the likely boxes


def likely(
    predictions: NDArray[np.float32], min_score: float, labels: NDArray[np.int64], end2end: bool
) -> NDArray[np.float32]:
    """Select the likely boxes; of a network that needs NMS, duplicates are still there.

    As in ultralytics, only the best class of an anchor counts.

    Args:
        predictions: float32 (B, 4 + classes + 3 K, anchors); a box is its centre and size. From an end-to-end network
            (B, n, 6 + 3 K), x1 y1 x2 y2 score class keypoints, by descending score.
        min_score: only higher scores are kept.
        labels: (classes,), the label of each class score; -1 for a class that is not looked for.
        end2end: whether the network is an end-to-end one.

    Returns:
        float32 (M, 7 + 3 K): the index of the image, ascending, then x1 y1 x2 y2 score label x y score ...
    """
    if end2end:
        picture, place = (predictions[..., SCORE] > min_score).nonzero()
        found = predictions[picture, place]
        which = np.nan_to_num(found[:, LABEL]).astype(np.int64).clip(0, len(labels) - 1)  # a broken engine's are odd
        return _rows(picture, found[:, :SCORE], found[:, SCORE], labels[which], found[:, KEYPOINTS:])
    classes = predictions[:, 4 : 4 + len(labels)]
    best = classes.max(1)
    picture, place = (best > min_score).nonzero()
    found = predictions[picture, :, place]
    which = found[:, 4 : 4 + len(labels)].argmax(1)
    half = found[:, 2:4] * np.float32(0.5)
    boxes = np.concatenate((found[:, :2] - half, found[:, :2] + half), 1)
    return _rows(picture, boxes, best[picture, place], labels[which], found[:, 4 + len(labels) :])


def _rows(
    picture: NDArray[np.int64],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    keypoints: NDArray[np.float32],
) -> NDArray[np.float32]:
    columns = picture[:, np.newaxis], boxes, scores[:, np.newaxis], labels[:, np.newaxis], keypoints
    return np.concatenate(columns, axis=1, dtype=np.float32)


# ---- without duplicates


def split(rows: NDArray[np.float32], images: int, layout: Layout, nms_iou: float) -> list[Found]:
    """Remove the duplicates among likely boxes, and divide them among the images.

    Args:
        rows: what `likely` returned.
        images: how many images there are.
        layout: the layout of the network.
        nms_iou: if two boxes of a class overlap by more than this IoU, the one with the lower score is dropped.
    """
    rows = rows[rows[:, 1 + LABEL] >= 0]
    parts = np.split(rows[:, 1:], np.searchsorted(rows[:, 0], np.arange(1, images)))
    return [_found(part if layout.end2end else _suppressed(part, nms_iou), layout) for part in parts]


def _found(rows: NDArray[np.float32], layout: Layout) -> Found:
    keypoints = rows[:, KEYPOINTS:].reshape(len(rows), layout.keypoints, layout.columns) if layout.keypoints else None
    if keypoints is None:
        keypoints = np.zeros((len(rows), 0, 3), np.float32)
    elif layout.columns == 2:  # the network predicts no keypoint scores: use the box's
        sure = np.broadcast_to(rows[:, SCORE, None, None], (*keypoints.shape[:2], 1))
        keypoints = np.concatenate([keypoints, sure], axis=2)
    boxes, scores = np.ascontiguousarray(rows[:, :4]), np.ascontiguousarray(rows[:, SCORE])
    return Found(boxes, scores, np.ascontiguousarray(keypoints), rows[:, LABEL].astype(np.int64))


def _suppressed(rows: NDArray[np.float32], nms_iou: float) -> NDArray[np.float32]:
    """Apply NMS to the detections of one image, (M, 6 + 3 K), for each class; the best ones by descending score."""

    def of_class(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows[nms(rows[:, :4], rows[:, SCORE], nms_iou, _MOST_BOXES)]

    labels = np.unique(rows[:, LABEL])
    if len(labels) <= 1:
        return of_class(rows)
    rows = np.concatenate([of_class(rows[rows[:, LABEL] == label]) for label in labels])
    return rows[np.argsort(-rows[:, SCORE], kind="stable")[:_MOST_BOXES]]


def nms(
    xyxy: NDArray[np.float32], scores: NDArray[np.float32], limit: float, most: int | None = None
) -> NDArray[np.int64]:
    """Suppress the boxes that overlap one with a higher score, as `torchvision.ops.nms` does.

    >>> boxes = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> nms(boxes, np.float32([0.5, 0.9, 0.7]), 0.5).tolist()
    [1, 2]

    Args:
        xyxy: (M, 4).
        scores: (M,); in a tie, the first one counts as the higher one.
        limit: boxes that overlap by more than this IoU are suppressed.
        most: stop after this many boxes; None: return all.

    Returns:
        The indices of the boxes that are left, by descending score.
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(xyxy[order].T)
    areas = (x2 - x1) * (y2 - y1)
    left = np.arange(len(order))
    kept: list[int] = []
    bound = np.float64(limit)  # float32 is compared with a double there
    with np.errstate(invalid="ignore", divide="ignore"):  # boxes without an area
        while len(left) and (most is None or len(kept) < most):
            first, left = left[0], left[1:]
            kept.append(int(first))
            width = np.minimum(x2[first], x2[left]) - np.maximum(x1[first], x1[left])
            height = np.minimum(y2[first], y2[left]) - np.maximum(y1[first], y1[left])
            both = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
            left = left[~(both / (areas[first] + areas[left] - both) > bound)]
    return order[kept] if kept else np.zeros(0, np.int64)
