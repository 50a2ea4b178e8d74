"""The GPU's path, tested on the CPU: the same code without streams and graphs. tests/gpu/ runs it on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.config import DetectorConfig
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.models.vitpose import load_network
from realtime.models.yolo import YoloNet
from realtime.pose import on_device
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.decode_on_device import DeviceDecoder
from realtime.pose.engine import HostEngine, TorchNetwork
from realtime.pose.on_device import BUCKETS, DeviceEngine, _parts, crop_people_on_device
from realtime.runtime.device import Lane, _Pictures, _Sent
from realtime.types import Frame
from tests.parity.test_vitpose_parity import BOXES, bumps
from tests.pose.checkpoints import CPU, KINDS, picture, save_checkpoint
from tests.pose.test_decode import NOT_A_PEAK, STRANGE

SIZE = (192, 256)


@pytest.mark.parametrize(("box", "width", "height"), BOXES)
@pytest.mark.parametrize("outside", [0, 114])
def test_a_crop_equals_the_cpus_within_one_grey_level(box, width, height, outside):
    images = [picture(31, 17, seed=1), picture(width, height)]  # another frame precedes it in the buffer
    centers, scales = windows(np.array([box], np.float32), SIZE)
    crowd = Crowd(images, np.array([1]), centers, scales)
    found = crop_people_on_device(Lane(CPU), crowd, SIZE, outside).numpy()
    expected = crop_people(*crowd, SIZE, outside)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(("noise", "margin"), [(0.0, 4), (0.0, -0.4), (0.02, 4), (0.02, -0.4)])
@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_peaks_equal_those_of_the_cpus_decoder(noise, margin, sigma):
    maps = bumps(12, noise, margin)
    found = DeviceDecoder(sigma, CPU)(torch.from_numpy(maps)).numpy()
    keypoints, scores = decode(maps, sigma)
    np.testing.assert_allclose(found[..., :2], keypoints, atol=2e-3)  # float32 on the device, float64 on the CPU
    np.testing.assert_array_equal(found[..., 2], scores)


@pytest.mark.parametrize("heatmap", [*NOT_A_PEAK, *STRANGE])
def test_unusual_heatmaps_are_decoded_as_on_the_cpu(heatmap):
    maps = heatmap.astype(np.float32)[np.newaxis, np.newaxis]
    found = DeviceDecoder(2.0, CPU)(torch.from_numpy(maps.copy())).numpy()
    keypoints, scores = decode(maps, 2.0)
    np.testing.assert_allclose(found[..., :2], keypoints, atol=0.05)
    np.testing.assert_array_equal(found[..., 2], scores)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load_network(save_checkpoint(tmp_path_factory.mktemp("vitpose"), **KINDS["plus"]))


@pytest.fixture
def pair(network):
    """The device's engine and the CPU's, with the same network."""
    return DeviceEngine(network, CPU, SIZE, 2.0, "device"), HostEngine(TorchNetwork(network), SIZE, 2.0, "host")


def crowd(people, images):
    rng = np.random.default_rng(0)
    corners = rng.uniform(-20, 150, (people, 2)).astype(np.float32)
    boxes = np.concatenate((corners, corners + rng.uniform(40, 150, (people, 2)).astype(np.float32)), axis=1)
    return np.sort(rng.integers(0, images, people)), *windows(boxes, SIZE)


def assert_equal(pair, images, crowd):
    device, host = (engine.peaks(Crowd(images, *crowd)) for engine in pair)
    assert device.shape == host.shape
    assert device.dtype == np.float32
    np.testing.assert_allclose(device[..., 2], host[..., 2], atol=2e-3)
    # One grey level in a crop can move a maximum of a random network's heatmap to another pixel.
    distances = np.linalg.norm(device[..., :2] - host[..., :2], axis=-1)
    assert np.quantile(distances, 0.95) < 0.02


@pytest.mark.parametrize("people", [1, 5, BUCKETS[-1], BUCKETS[-1] + 5])
def test_any_number_of_people_has_the_same_peaks_as_on_the_cpu(pair, people):
    images = [picture(200, 240, seed=1), picture(300, 200, seed=2), picture(160, 160, seed=3)]
    assert_equal(pair, images, crowd(people, len(images)))


def test_heatmaps_equal_those_of_the_cpu(pair):
    images = [picture(200, 240)]
    device, host = (engine.heatmaps(Crowd(images, *crowd(3, 1))) for engine in pair)
    np.testing.assert_allclose(device, host, atol=0.02)


def test_frames_may_be_read_only_and_without_people(pair):
    images = [picture(200, 240, seed=i) for i in range(3)]
    for image in images:
        image.setflags(write=False)
    owners, centers, scales = crowd(4, 1)
    owners[:] = (0, 0, 2, 2)
    assert_equal(pair, images, (owners, centers, scales))


def test_a_batch_holds_only_people_whose_frames_fit_into_the_buffer(pair):
    images = [picture(200, 240, seed=1), picture(300, 200, seed=2), picture(160, 160, seed=3)]
    engine = pair[0]
    engine._frames = engine._frames[: 200 * 240 * 3 + 160 * 160 * 3]  # room for two frames at most
    assert_equal(pair, images, crowd(BUCKETS[-1] + 5, 3))
    assert len(engine._frames) == 200 * 240 * 3 + 160 * 160 * 3


@pytest.mark.parametrize(
    ("owners", "room", "expected"),
    [
        ([0, 0, 1], 30, [(0, 3)]),
        ([0, 0, 1], 29, [(0, 2), (2, 3)]),  # no room for the second frame
        ([1, 2, 2], 50, [(0, 3)]),  # the first frame has no people and needs no room
        ([2], 30, [(0, 1)]),
        ([0] * (BUCKETS[-1] + 2), 10, [(0, BUCKETS[-1]), (BUCKETS[-1], BUCKETS[-1] + 2)]),
        # A frame that two parts need counts in both.
        ([0] * (BUCKETS[-1] + 1) + [1], 30, [(0, BUCKETS[-1]), (BUCKETS[-1], BUCKETS[-1] + 2)]),
        ([0] * (BUCKETS[-1] + 1) + [1, 2], 30, [(0, 32), (32, 34), (34, 35)]),
    ],
)
def test_parts_stay_within_the_largest_batch_and_the_buffer(owners, room, expected):
    parts = list(_parts(np.array(owners), np.array([10, 20, 30]), room))
    assert [(part.start, part.stop) for part in parts] == expected


def test_a_frame_larger_than_the_buffer_makes_it_grow(pair):
    images = [picture(200, 240, seed=1), picture(300, 250, seed=2)]
    engine = pair[0]
    engine._frames = engine._frames[: 200 * 240 * 3]
    engine.peaks(Crowd(images[:1], *crowd(4, 1)))  # fits
    before = dict(engine._batches)
    assert_equal(pair, images, crowd(4, 2))
    assert len(engine._frames) == 3 * 300 * 250
    # The batches that refer to the old buffer's address were dropped.
    assert before
    assert all(engine._batches.get(size) is not batch for size, batch in before.items())
    assert_equal(pair, images, crowd(4, 2))


def test_the_padding_of_a_batch_does_not_change_the_result(pair):
    images = [picture(200, 240)]
    owners, centers, scales = crowd(5, 1)  # a batch of 6
    together = pair[0].peaks(Crowd(images, owners, centers, scales))
    pair[0].peaks(Crowd(images, *crowd(6, 1)))  # leaves another person in the sixth row
    np.testing.assert_array_equal(pair[0].peaks(Crowd(images, owners, centers, scales)), together)


def test_a_frame_is_sent_once_for_detector_and_pose_model(pair, yolov8n, monkeypatch):
    sent = []
    monkeypatch.setattr(
        _Pictures, "_send", lambda self, image: sent.append(id(image)) or _Sent(torch.tensor(image), None)
    )
    frames = [Frame("cam0", 0, i, picture(320, 240, seed=i), i / 10, 0, 0) for i in range(3)]
    detector = DetectStage(DetectorConfig(size=320), YoloNet(yolov8n, CPU))
    detector._letterboxed = DeviceLetterbox(detector._net.lane)
    detector.process(frames)
    pair[0].peaks(Crowd([frame.image for frame in frames], *crowd(6, 3)))
    assert sent == [id(frame.image) for frame in frames]


class StreamLane(Lane):
    """A CPU lane that claims to have a CUDA stream."""

    def __init__(self):
        super().__init__(CPU)
        self._cpu = Lane(CPU)
        self.stream = "a stream"

    def __getattribute__(self, name):
        here = name in ("stream", "_cpu")
        return super().__getattribute__(name) if here else getattr(super().__getattribute__("_cpu"), name)


class FakeGraph:
    """In place of torch.cuda.CUDAGraph."""

    def capture_begin(self, pool, capture_error_mode):
        assert capture_error_mode == "thread_local"

    def capture_end(self):
        pass

    def replay(self):
        pass


def test_graphs_are_captured_during_the_warm_up_and_never_later(network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(on_device, "BUCKETS", (1, 2, 3))
    engine = DeviceEngine(network, CPU, SIZE, 2.0, "device")
    engine._lane = StreamLane()
    image = picture(200, 240)
    engine.heatmaps(Crowd([image], *crowd(1, 1)))  # the self-test
    assert engine._batches[1].graph is None
    engine.warm_up()
    graphs = {size: batch.graph for size, batch in engine._batches.items()}
    assert set(graphs) == {1, 2, 3}
    assert None not in graphs.values()
    engine.warm_up()  # again, as on the stage's thread
    assert {size: batch.graph for size, batch in engine._batches.items()} == graphs
    engine._frames = engine._frames[: image.size - 1]
    engine.peaks(Crowd([image], *crowd(2, 1)))
    assert engine._batches[2].graph is None
