"""The GPU letterbox, run on the CPU: the same code without streams. tests/gpu/ runs it on a GPU."""

import numpy as np
import pytest
import torch

from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.on_device import DeviceLetterbox
from realtime.runtime.lane import Lane
from tests.pose.checkpoints import picture

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "sizes",
    [
        [(1920, 1080)],
        [(1280, 720), (1280, 720), (1920, 1080)],  # two consecutive frames of one size, then another size
        [(768, 576)],
        [(1280, 640)],  # halved
        [(640, 480)],  # not scaled
        [(320, 240), (160, 120)],  # scaled up
        [(3, 2)],  # many output pixels beyond the first and last input pixel
        [(333, 777)],  # padded on the left and right
        [(1000, 1)],
    ],
    ids=str,
)
def test_the_pixels_equal_those_of_opencv(sizes):
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    placements = [Letterbox.of(size, 640, 32) for size in sizes]
    found = DeviceLetterbox(Lane(CPU))(images, placements).numpy()
    np.testing.assert_array_equal(found, letterboxed(images, placements))


def test_the_positions_of_few_placements_are_kept() -> None:
    letterbox = DeviceLetterbox(Lane(CPU))
    for width in range(100, 300):
        letterbox([np.zeros((90, width, 3), np.uint8)], [Letterbox.of((width, 90), 64, 32)])
    assert len(letterbox._axes) == 64
