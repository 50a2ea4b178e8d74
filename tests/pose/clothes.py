"""A person in a patterned coat before a patterned wall, for tests of movements that stay inside the box."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray


def dressed(
    amplitude: float, shift: int = 0, noise: float = 2.0, seed: int = 0, height: int = 280, pattern: int = 7
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw a person whose coat moves below its outline, as when someone turns.

    Args:
        amplitude: standard deviation of the spots of coat and wall, in grey levels.
        shift: how far the coat has moved to the right, in pixels.
        noise: standard deviation of the sensor's noise, in grey levels.
        seed: seed of the noise.
        height: the person's height in pixels.
        pattern: seed of the spots.

    Returns:
        uint8 (2 height, 2 height, 3) BGR, and the person's box float32 (4,).
    """
    grey, box = _clean(amplitude, shift, height, pattern)
    noisy = grey + np.random.default_rng(seed).normal(0, noise, grey.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2), box


@lru_cache(maxsize=4)
def _clean(amplitude: float, shift: int, height: int, pattern: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random, width = np.random.default_rng(pattern), height * 4 // 10
    wall, coat = (
        cv2.GaussianBlur(random.normal(0, 1, (2 * height, 2 * height)).astype(np.float32), (0, 0), height / 50)
        for _ in range(2)
    )
    grey = 110 + amplitude * wall / wall.std()
    left, top = height - width // 2, height // 2
    inside = np.s_[top : top + height, left : left + width]
    grey[inside] = np.roll(110 + amplitude * coat / coat.std(), shift, axis=1)[inside]
    return grey, np.array([left - 5, top - 5, left + width + 5, top + height + 5], np.float32)
