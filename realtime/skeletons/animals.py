# SPDX-License-Identifier: MIT
"""The keypoints of four-legged animals: AP-10K, which APT-36K uses too.

Names, limbs, flip pairs and sigmas are those of `configs/_base_/datasets/ap10k.py` in the ViTPose repository, with
names in one spelling: "left_front_paw" for its "L_F_Paw".
"""

from __future__ import annotations

from dataclasses import replace

from realtime.skeleton import Part, Skeleton

AP10K = Skeleton(
    name="ap10k",
    keypoint_names=(
        "left_eye", "right_eye", "nose", "neck", "root_of_tail", "left_shoulder", "left_elbow", "left_front_paw",
        "right_shoulder", "right_elbow", "right_front_paw", "left_hip", "left_knee", "left_back_paw", "right_hip",
        "right_knee", "right_back_paw",
    ),
    edges=(
        (0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10), (4, 11), (11, 12),
        (12, 13), (4, 14), (14, 15), (15, 16),
    ),
    flip_pairs=((0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)),
    sigmas=(
        0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107, 0.087,
        0.089,
    ),
    geometry="plain",
    parts=(Part("body", 0, 17),),
    is_animal=True,
)  # fmt: skip

# The same keypoints, of animals in videos.
APT36K = replace(AP10K, name="apt36k")
