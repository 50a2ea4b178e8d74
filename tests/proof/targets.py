"""Toy targets: where the hands, faces, feet and the animal's keypoints of the demo's people are, by fixed rules.

No teacher for them can be had here. Each is placed relative to COCO's keypoints, which YOLO finds: a face around the
eyes, a hand beyond the wrist in the direction of the forearm, a foot below the ankle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.skeleton import COCO17

_COCO = {name: i for i, name in enumerate(COCO17.keypoint_names)}


def _arc(count: int, begin: float, end: float, centre: tuple[float, float], radii: tuple[float, float]):
    turns = np.radians(np.linspace(begin, end, count, endpoint=abs(end - begin) < 360))
    return np.stack((centre[0] + radii[0] * np.cos(turns), centre[1] + radii[1] * np.sin(turns)), axis=1)


# Points of iBUG 68 in a face whose eyes are at (-0.5, 0) and (0.5, 0), y downwards; the image's left is first.
_FACE = np.concatenate(
    [
        _arc(17, 180, 0, (0, 0.1), (1.1, 1.7)),  # the contour
        _arc(5, 200, 340, (-0.5, -0.15), (0.4, 0.3)),  # the brows
        _arc(5, 200, 340, (0.5, -0.15), (0.4, 0.3)),
        np.stack((np.zeros(4), np.linspace(0, 0.55, 4)), axis=1),  # the nose
        np.stack((np.linspace(-0.25, 0.25, 5), np.full(5, 0.7)), axis=1),
        _arc(6, 180, 540, (-0.5, 0), (0.2, 0.1)),  # the eyes
        _arc(6, 180, 540, (0.5, 0), (0.2, 0.1)),
        _arc(12, 180, 540, (0, 1.15), (0.45, 0.25)),  # the mouth
        _arc(8, 180, 540, (0, 1.15), (0.3, 0.1)),
    ]
)
# Points of a hand from its root at (0, 0), x along the forearm, whose length is 1.
_HAND = np.concatenate(
    [
        np.zeros((1, 2)),
        *(
            np.outer(np.linspace(0.2, 0.5, 4), (np.cos(turn), np.sin(turn)))
            for turn in np.radians(np.linspace(-50, 50, 5))
        ),
    ]
)
# Big toe, small toe and heel from the ankle at (0, 0), x along the shin, whose length is 1.
_FOOT = np.array([(0.22, 0.18), (0.25, -0.12), (0.15, -0.02)])


def whole_body(coco: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 133 keypoints of COCO-WholeBody, float32 (N, 133, 3), of COCO's, float32 (N, 17, 3)."""
    parts = [coco]
    parts += [_placed(coco, f"{side}_knee", f"{side}_ankle", _FOOT) for side in ("left", "right")]
    parts += [_face(coco)]
    parts += [_placed(coco, f"{side}_elbow", f"{side}_wrist", _HAND) for side in ("left", "right")]
    return np.concatenate(parts, axis=1).astype(np.float32)


def animal(coco: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 17 keypoints of AP-10K, float32 (N, 17, 3), as if people were animals: neck and tail are in the middle."""

    def of(name: str) -> NDArray[np.float32]:
        return coco[:, _COCO[name]]

    def between(name: str) -> NDArray[np.float32]:
        left, right = of(f"left_{name}"), of(f"right_{name}")
        middle = (left + right) / 2
        middle[:, 2] = np.minimum(left[:, 2], right[:, 2])
        return middle

    limbs = [
        of(f"{side}_{joint}")
        for joints in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
        for side in ("left", "right")
        for joint in joints
    ]
    head = [of("left_eye"), of("right_eye"), of("nose"), between("shoulder"), between("hip")]
    return np.stack(head + limbs, axis=1).astype(np.float32)


def _placed(coco: NDArray[np.float32], before: str, at: str, layout: NDArray[np.float64]) -> NDArray[np.float32]:
    """Place points (M, 2) at a keypoint, in the direction from another one to it: float32 (N, M, 3)."""
    start, end = coco[:, _COCO[before]], coco[:, _COCO[at]]
    return _laid(end[:, :2], (end - start)[:, :2], layout, np.minimum(start[:, 2], end[:, 2]))


def _face(coco: NDArray[np.float32]) -> NDArray[np.float32]:
    left, right = coco[:, _COCO["left_eye"]], coco[:, _COCO["right_eye"]]
    middle, across = (left + right)[:, :2] / 2, (left - right)[:, :2]
    return _laid(middle, across, _FACE, np.minimum(left[:, 2], right[:, 2]))


def _laid(
    origin: NDArray[np.float32], x: NDArray[np.float32], layout: NDArray[np.float64], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Lay points (M, 2) out from origins (N, 2) along x axes (N, 2): float32 (N, M, 3) with the scores (N,)."""
    y = np.stack((-x[:, 1], x[:, 0]), axis=1)
    places = origin[:, None] + layout[:, :1] * x[:, None] + layout[:, 1:] * y[:, None]
    return np.concatenate((places, np.tile(scores[:, None, None], (1, len(layout), 1))), axis=2).astype(np.float32)
