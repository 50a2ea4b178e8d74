# SPDX-License-Identifier: MIT
"""Keypoint sets of people besides COCO's: AI Challenger, MPII, CrowdPose and PoseTrack18.

Names, limbs, flip pairs and sigmas are those of `configs/_base_/datasets/*.py` in the ViTPose repository (mmpose 0.x),
with names in one spelling: "head_top", not "top_head".
"""

from __future__ import annotations

from realtime.skeleton import COCO17, Part, Skeleton

# The sigmas are the data set's own, which are much tighter than COCO's: an AP of 34 here is not comparable with COCO's.
AIC14 = Skeleton(
    name="aic14",
    keypoint_names=(
        "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip",
        "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "head_top", "neck",
    ),
    edges=(
        (2, 1), (1, 0), (0, 13), (13, 3), (3, 4), (4, 5), (8, 7), (7, 6), (6, 9), (9, 10), (10, 11), (12, 13), (0, 6),
        (3, 9),
    ),
    flip_pairs=((0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11)),
    sigmas=(
        0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941, 0.01981803,
        0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173,
    ),
    geometry="plain",
    parts=(Part("body", 0, 14),),
)  # fmt: skip

# MPII's own metric is PCKh; these sigmas are mmpose's.
MPII16 = Skeleton(
    name="mpii16",
    keypoint_names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist",
    ),
    edges=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (8, 12), (12, 11), (11, 10), (8, 13),
        (13, 14), (14, 15),
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    sigmas=(
        0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179, 0.072, 0.062,
    ),
    parts=(Part("body", 0, 16),),
)  # fmt: skip

# Trained without UDP: configs/body/2d_kpt_sview_rgb_img/topdown_heatmap/crowdpose/ViTPose_base_crowdpose_256x192.py.
CROWDPOSE14 = Skeleton(
    name="crowdpose14",
    keypoint_names=(
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head_top", "neck",
    ),
    edges=(
        (10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (12, 13),
        (1, 13), (0, 13),
    ),
    flip_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    sigmas=(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
    geometry="plain",
    parts=(Part("body", 0, 14),),
)  # fmt: skip

# COCO's keypoints with two of the head instead of the eyes; the data set uses COCO's sigmas. No ViTPose file for it was
# published. Its networks in mmpose 0.x, such as hrnet_w32_posetrack18_256x192.py, were trained without UDP.
POSETRACK18 = Skeleton(
    name="posetrack18",
    keypoint_names=("nose", "head_bottom", "head_top", *COCO17.keypoint_names[3:]),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (0, 1), (0, 2), (1, 5), (1, 6),
    ),
    flip_pairs=COCO17.flip_pairs[1:],
    sigmas=COCO17.sigmas,
    geometry="plain",
    parts=(Part("body", 0, 17),),
)  # fmt: skip
