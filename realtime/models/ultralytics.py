"""YOLO networks of the ultralytics package: load, forward, non-maximum suppression. Its only importer.

Used by detect/ (people) and pose/ (YOLO pose models). We drive the network ourselves: `YOLO.predict` synchronises the
whole device several times a call, prints, and cuts its NMS off by wall clock. Parity with it is tested.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ModelError
from realtime.runtime.device import Lane, use_all_cores

# ultralytics' NMS stops after 2 s + this for each image and returns nothing for the rest: never.
_NO_TIME_LIMIT_S = 1e9


class YoloNet:
    """One YOLO network on its lane.

    Attributes:
        task: "detect" or "pose".
        stride: the input's height and width must be multiples of it.
        class_names: what the classes are called, by index.
        keypoints: K for a pose network, else 0.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the weights.

        Args:
            path: a .pt file that the caller trusts: it is unpickled.
            device: where to run.

        Raises:
            ModelError: this is no YOLO detection or pose network.
        """
        self._module = _load(path).to(device)
        self._lane = Lane(device)
        self.task: str = self._module.task
        if self.task not in ("detect", "pose"):
            raise ModelError(f"{path}: got a YOLO model for {self.task!r}, expected one for detection or pose")
        self.stride = int(max(self._module.stride))
        self.class_names: dict[int, str] = dict(self._module.names)
        self.keypoints: int = int(self._module.kpt_shape[0]) if self.task == "pose" else 0
        self._columns: int = int(self._module.kpt_shape[1]) if self.task == "pose" else 0

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
            batch = self._lane.upload(images).permute(0, 3, 1, 2).flip(1).float().div_(255)
            rows = non_max_suppression(
                self._module(batch),
                conf_thres=min_score,
                iou_thres=nms_iou,
                classes=list(classes),
                nc=len(self.class_names),
                max_time_img=_NO_TIME_LIMIT_S,
                end2end=bool(getattr(self._module, "end2end", False)),
            )
            flat = np.asarray(self._lane.download(torch.cat(rows)), np.float32)
        return [self._split(part) for part in np.split(flat, np.cumsum([len(row) for row in rows])[:-1])]

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


def _load(path: Path) -> Any:  # noqa: ANN401 - ultralytics ships no types
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
        use_all_cores()
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
