# SPDX-License-Identifier: MIT
"""The published keypoint sets of ViTPose as data: one table per set, with its source.

`pose.skeleton` names one of them. pose.crop uses the geometry with which the networks for a set were trained,
publish.draw the parts, and evaluate the sigmas.
"""

from __future__ import annotations

from realtime.skeleton import COCO17, Skeleton
from realtime.skeletons.animals import AP10K, APT36K
from realtime.skeletons.people import AIC14, CROWDPOSE14, MPII16, POSETRACK18
from realtime.skeletons.whole_body import COCO25, WHOLEBODY133

# All published sets by their name on the stream and in `pose.skeleton`.
SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (COCO17, AIC14, MPII16, AP10K, APT36K, WHOLEBODY133, COCO25, CROWDPOSE14, POSETRACK18)
}
