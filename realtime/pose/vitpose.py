"""ViTPose: the keypoints of people in their boxes.

Run by pose.stage, between the tracker and the smoother. It replaces the Hugging Face processor, which crops and decodes
with scipy, one person and one keypoint at a time, and returns wrong keypoints beyond about 300 people. Parity tests
check that the results are the same below that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realtime.models.description import Description
from realtime.pose.crop import Crowd
from realtime.pose.decode import to_frame
from realtime.pose.engine import Engine
from realtime.skeleton import CROP_PER_HEATMAP, Skeleton


class VitPose:
    """A ViTPose network: images and boxes in, keypoints out.

    Attributes:
        skeleton: the network's K keypoints.
        engine_name: engine and precision, such as "openvino bf16".
    """

    def __init__(self, about: Description, engine: Engine) -> None:
        """Wrap an engine.

        Args:
            about: the description of the network that the engine runs.
            engine: what pose.build returned.
        """
        self.skeleton: Skeleton = about.skeleton
        self._input_size = about.input_size
        self._engine = engine
        self.engine_name: str | None = engine.name

    def warm_up(self) -> None:
        """Run on blank crops, so that the first frame is not slower than the others."""
        self._engine.warm_up()

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Estimate the keypoints of all people in all images.

        Args:
            images: uint8 (H, W, 3) BGR each, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.

        Returns:
            For each image float32 (N, K, 3): x, y in pixels of the image, which may lie outside it, and score 0..1.
        """
        crowd = Crowd.of(images, xyxy, self._input_size, self.skeleton.geometry)
        keypoints = np.zeros((len(crowd.owners), len(self.skeleton), 3), np.float32)
        if len(keypoints):
            keypoints[:] = self._engine.peaks(crowd)
            width, height = self._input_size
            heatmap_size = width // CROP_PER_HEATMAP, height // CROP_PER_HEATMAP
            keypoints[..., :2] = to_frame(
                keypoints[..., :2], crowd.centers, crowd.scales, heatmap_size, self.skeleton.geometry
            )
        return crowd.split(keypoints)
