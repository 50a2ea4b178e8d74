"""The switches of the step `speed`, on a fake of CUDA."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

from realtime.pose import on_device
from realtime.pose.crop import Crowd
from realtime.pose.on_device import DeviceEngine
from realtime.runtime import lane as lanes
from realtime.runtime.lane import Lane
from tests.bench.gpu.switches import switched_off
from tests.fake_cuda import GPU, FakeCuda

INPUT = (16, 24)


class Network(torch.nn.Module):
    """Heatmaps that depend on the crops."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.float().mean(dim=3)[:, None, ::4, ::4] / 255


def crowd(people: int) -> Crowd:
    image = np.random.default_rng(people).integers(0, 255, (40, 60, 3), np.uint8)
    image.setflags(write=False)
    boxes = np.array([[5 * i, 3, 5 * i + 12, 33] for i in range(people)], np.float32)
    return Crowd.of([image], [boxes], INPUT)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_the_engine_runs_without_graphs_and_streams_and_with_them_afterwards(
    monkeypatch: pytest.MonkeyPatch, graphs: bool, streams: bool
) -> None:
    monkeypatch.setattr(on_device, "BUCKETS", (1, 2, 4))
    monkeypatch.setattr(on_device, "_FRAMES_BYTES", 2**16)
    with FakeCuda() as cuda, mock.patch.object(torch.cuda, "synchronize"):
        engine, detector = DeviceEngine(Network(), GPU, INPUT, 2.0, "fake"), Lane(GPU)
        engine.warm_up()
        people = crowd(3)
        expected, captures = engine.peaks(people), cuda.captures
        with switched_off(engine, detector, graphs, streams):
            used, replays = len(cuda.used_by), cuda.replays
            engine.warm_up()  # as the pipeline does at its start
            np.testing.assert_array_equal(engine.peaks(people), expected)
            np.testing.assert_array_equal(engine.peaks(crowd(2)), engine.peaks(crowd(2)))
            assert (cuda.replays == replays) is graphs
            assert {stream is detector.stream for stream in cuda.used_by[used:]} == {streams}
            assert (lanes._pictures_on(GPU)._stream is detector.stream) is streams
        replays = cuda.replays
        np.testing.assert_array_equal(engine.peaks(people), expected)
        assert cuda.replays == replays + 1
        assert cuda.captures == captures
