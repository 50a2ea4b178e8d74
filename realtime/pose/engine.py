"""Engines: each runs a ViTPose network on a device in one precision, from frames to the peaks of the heatmaps.

Used by pose.vitpose; pose.build builds and tests them. On a CPU, `HostEngine` runs pose.crop, then the network in torch
or OpenVINO, then pose.decode. On a GPU, `DeviceEngine` of pose.on_device keeps all three steps on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.pose.crop import Crowd, crop_people
from realtime.pose.decode import decode
from realtime.runtime.batches import even_parts

# Largest number of people in one forward pass on a CPU. Bounds the memory; larger batches are not faster on a CPU.
_LARGEST_BATCH = 16


class Engine(Protocol):
    """Computes the heatmaps of people in frames, and their peaks.

    Attributes:
        name: engine and precision for the log, such as "openvino bf16".
    """

    name: str

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the peaks of the heatmaps of P >= 1 people: float32 (P, K, 3) x, y in heatmap pixels, score 0..1."""
        ...

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the heatmaps of P >= 1 people, float32 (P, K, h, w), for the self-test."""
        ...

    def warm_up(self) -> None:
        """Run the engine, so that the first frame is not slower than the others."""
        ...


class HostEngine:
    """Runs crops, network and decoder on the CPU.

    Example:
        >>> rows, columns = np.mgrid[:64, :48]
        >>> bump = np.exp(-((columns - 20) ** 2 + (rows - 30) ** 2) / 8).astype(np.float32)
        >>> def network(crops):  # a stand-in with one keypoint
        ...     return np.tile(bump, (len(crops), 1, 1, 1))
        >>> engine = HostEngine(network, (192, 256), 2.0, "stand-in")
        >>> image, boxes = np.zeros((240, 320, 3), np.uint8), np.array([[10, 20, 50, 120]], np.float32)
        >>> engine.peaks(Crowd.of([image], [boxes], (192, 256))).round(2).tolist()
        [[[20.0, 30.0, 1.0]]]
    """

    def __init__(
        self,
        network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        input_size: tuple[int, int],
        sigma: float,
        name: str,
    ) -> None:
        """Build an engine from a network.

        Args:
            network: maps uint8 crops (P, h, w, 3) BGR to float32 heatmaps (P, K, h', w').
            input_size: width and height of the crops in pixels.
            sigma: standard deviation of the decoder's blur, in heatmap pixels.
            name: engine and precision for the log.
        """
        self._network = network
        self._input_size = input_size
        self._sigma = sigma
        self.name = name

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the peaks of P >= 1 people, float32 (P, K, 3), computed in batches of at most _LARGEST_BATCH."""
        found = []
        for people in even_parts(len(crowd.owners), _LARGEST_BATCH):
            places, scores = decode(self.heatmaps(crowd.part(people)), self._sigma)
            found.append(np.concatenate((places, scores[..., np.newaxis]), axis=2))
        return np.concatenate(found)

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the heatmaps of P >= 1 people, float32 (P, K, h', w'), from one forward pass."""
        return self._network(crop_people(*crowd, self._input_size))

    def warm_up(self) -> None:
        """Run once for one person and once for two."""
        width, height = self._input_size
        for people in (1, 2):
            decode(self._network(np.zeros((people, height, width, 3), np.uint8)), self._sigma)
