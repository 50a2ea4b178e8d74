"""The letterbox of a GPU, on the CPU: the same code without streams. tests/gpu/ runs it on a GPU."""

import numpy as np
import pytest
import torch

from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.on_device import DeviceLetterbox
from realtime.runtime.device import Lane
from tests.pose.checkpoints import picture

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "sizes",
    [
        [(1920, 1080)],
        [(1280, 720), (1280, 720), (1920, 1080)],  # neighbours of one size, and another
        [(768, 576)],
        [(1280, 640)],  # half of it
        [(640, 480)],  # as it is
        [(320, 240), (160, 120)],  # enlarged
        [(3, 2)],  # beyond the first and the last pixel
        [(333, 777)],  # padded left and right
        [(1000, 1)],
    ],
    ids=str,
)
def test_the_pixels_are_opencvs(sizes):
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    placements = [Letterbox.of(size, 640, 32) for size in sizes]
    found = DeviceLetterbox(Lane(CPU))(images, placements).numpy()
    np.testing.assert_array_equal(found, letterboxed(images, placements))
