# SPDX-License-Identifier: MIT
"""Keypoint sets with feet, and with hands and a face: COCO-WholeBody, and the 25 keypoints of easy_ViTPose.

The names, limbs, flip pairs and sigmas of COCO-WholeBody are those of `configs/_base_/datasets/coco_wholebody.py` in
the ViTPose repository. Its points of the face have numbers, as in iBUG 68, not names.
"""

from __future__ import annotations

from realtime.skeleton import COCO17, Part, Skeleton

_FEET = tuple(f"{side}_{place}" for side in ("left", "right") for place in ("big_toe", "small_toe", "heel"))
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_FACE_AT, _LEFT_HAND_AT, _RIGHT_HAND_AT, _END = 23, 91, 112, 133

_FEET_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_FACE_SIGMAS = (
    0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041,
    0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012,
    0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034,
    0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008,
    0.008, 0.008, 0.010, 0.008,
)  # fmt: skip
_HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021,
    0.032, 0.020, 0.019, 0.022, 0.031,
)  # fmt: skip
# Pairs of the face, counted from its first point: the contour, the brows, the nose, the eyes and the mouth.
_FACE_PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (48, 54), (49, 53), (50, 52),
    (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)  # fmt: skip


def _hand(side: str) -> tuple[str, ...]:
    return f"{side}_hand_root", *(f"{side}_{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))


def _hand_edges(root: int) -> list[tuple[int, int]]:
    """The limbs of a hand: from its root along each finger."""
    tips = [root + 1 + 4 * finger for finger in range(len(_FINGERS))]
    return [edge for at in tips for edge in ((root, at), (at, at + 1), (at + 1, at + 2), (at + 2, at + 3))]


# 17 points of the body, 6 of the feet, 68 of the face, 21 of each hand. The face has no limbs.
WHOLEBODY133 = Skeleton(
    name="wholebody133",
    keypoint_names=(
        *COCO17.keypoint_names,
        *_FEET,
        *(f"face-{i}" for i in range(_LEFT_HAND_AT - _FACE_AT)),
        *_hand("left"),
        *_hand("right"),
    ),
    edges=(
        *COCO17.edges,
        *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
        *_hand_edges(_LEFT_HAND_AT),
        *_hand_edges(_RIGHT_HAND_AT),
    ),
    flip_pairs=(
        *COCO17.flip_pairs,
        *((17, 20), (18, 21), (19, 22)),
        *((_FACE_AT + a, _FACE_AT + b) for a, b in _FACE_PAIRS),
        *((i, i + _RIGHT_HAND_AT - _LEFT_HAND_AT) for i in range(_LEFT_HAND_AT, _RIGHT_HAND_AT)),
    ),
    sigmas=(*COCO17.sigmas, *_FEET_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS),
    geometry="plain",
    parts=(
        Part("body", 0, 17),
        Part("feet", 17, _FACE_AT),
        Part("face", _FACE_AT, _LEFT_HAND_AT),
        Part("hands", _LEFT_HAND_AT, _END),
    ),
)

# Names and limbs of easy_ViTPose (vit_utils/visualization.py, joints_dict). It publishes no sigmas: these are COCO's
# and COCO-WholeBody's for the same points, a shoulder's for the neck and a hip's for the middle of the hips. That its
# networks were trained without UDP is what its training code does; no published file says so.
_C = COCO17.sigmas
COCO25 = Skeleton(
    name="coco25",
    keypoint_names=(
        *COCO17.keypoint_names[:5], "neck", *COCO17.keypoint_names[5:13], "hip", *COCO17.keypoint_names[13:], *_FEET,
    ),
    edges=(
        (17, 15), (15, 12), (18, 16), (16, 13), (12, 14), (13, 14), (5, 14), (6, 5), (7, 5), (6, 8), (7, 9), (8, 10),
        (9, 11), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (17, 21), (18, 24), (19, 20), (22, 23), (19, 21), (22, 24),
        (5, 0),
    ),
    flip_pairs=(
        (1, 2), (3, 4), (6, 7), (8, 9), (10, 11), (12, 13), (15, 16), (17, 18), (19, 22), (20, 23), (21, 24),
    ),
    sigmas=(*_C[:5], 0.079, *_C[5:13], 0.107, *_C[13:], *_FEET_SIGMAS),
    geometry="plain",
    parts=(Part("body", 0, 19), Part("feet", 19, 25)),
)  # fmt: skip
