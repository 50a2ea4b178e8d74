"""The GPU's path, tested on the CPU: without streams and graphs, and on a fake of CUDA. tests/gpu/ runs it on a GPU."""

from __future__ import annotations

import copy
import logging
import re

import numpy as np
import pytest
import torch

from realtime.config import DetectorConfig
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.errors import DeviceError, MemoryFullError
from realtime.models.vitpose import load_network
from realtime.models.yolo import YoloNet
from realtime.pose import on_device
from realtime.pose.build_torch import TorchNetwork
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.decode_on_device import DeviceDecoder
from realtime.pose.engine import HostEngine
from realtime.pose.on_device import BUCKETS, DeviceEngine, _parts, crop_people_on_device
from realtime.runtime.lane import Lane, _Pictures, _Sent
from realtime.types import Frame
from tests.fake_cuda import GPU, FakeCuda
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
    parts = list(_parts(np.array(owners), np.array([10, 20, 30]), room, BUCKETS[-1]))
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


# ---- on a fake of CUDA (tests/fake_cuda.py)


class Network(torch.nn.Module):
    """In place of ViTPose: one convolution."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 4, kernel_size=4, stride=4)

    def forward(self, crops):
        return self.patches(crops.permute(0, 3, 1, 2).float() / 255).abs()


INPUT = (64, 80)
IMAGES = [picture(200, 240, seed=1), picture(300, 200, seed=2), picture(160, 160, seed=3)]


@pytest.fixture
def cuda():
    with FakeCuda() as cuda:
        yield cuda


@pytest.fixture
def sizes(monkeypatch):
    monkeypatch.setattr(on_device, "BUCKETS", (1, 2, 3, 4))
    monkeypatch.setattr(on_device, "_FRAMES_BYTES", sum(image.size for image in IMAGES))


@pytest.fixture
def two(sizes):
    """Make an engine on the GPU and one on the CPU, with the same network."""

    def make():
        torch.manual_seed(0)
        network = Network()
        return (
            DeviceEngine(network, GPU, INPUT, 2.0, "gpu"),
            DeviceEngine(copy.deepcopy(network), CPU, INPUT, 2.0, "cpu"),
        )

    return make


def others(people, seed, images=IMAGES):
    """People who are not those of another seed."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, 150, (people, 2)).astype(np.float32)
    boxes = np.concatenate((corners, corners + rng.uniform(40, 150, (people, 2)).astype(np.float32)), axis=1)
    return Crowd(images, np.sort(rng.integers(0, len(images), people)), *windows(boxes, INPUT))


def assert_same(there, here, *crowds):
    for crowd in crowds:
        np.testing.assert_allclose(there.peaks(crowd), here.peaks(crowd), atol=1e-3)


def test_a_graph_returns_what_the_steps_return_for_any_people_and_frames(cuda, two):
    there, here = two()
    there.heatmaps(others(1, seed=0))  # the self-test
    there.warm_up()
    before = cuda.replays
    assert_same(there, here, *(others(people, seed=people) for people in (4, 3, 4, 1, 2, 3)))
    assert cuda.replays == before + 6
    assert_same(there, here, others(14, seed=0))  # several batches of one size, before the one download
    np.testing.assert_allclose(there.heatmaps(others(6, seed=1)), here.heatmaps(others(6, seed=1)), atol=1e-6)
    assert cuda.used_by  # the frames' memory is not reused while the stream reads it


def test_a_graph_of_a_real_network_waits_for_nothing(cuda, network, sizes):
    there, here = DeviceEngine(network, GPU, SIZE, 2.0, "gpu"), DeviceEngine(network, CPU, SIZE, 2.0, "cpu")
    there.warm_up()
    owners, centers, scales = crowd(5, 1)
    assert_same(there, here, Crowd(IMAGES, owners, centers, scales))
    assert cuda.captures == 4


def test_graphs_are_captured_during_the_warm_up_and_never_later(cuda, two):
    there, _ = two()
    there.heatmaps(others(1, seed=0))
    assert there._batches[1].graph is None
    there.warm_up()
    graphs = {size: batch.graph for size, batch in there._batches.items()}
    assert set(graphs) == {1, 2, 3, 4}
    assert None not in graphs.values()
    there.warm_up()  # again, as on the stage's thread
    assert {size: batch.graph for size, batch in there._batches.items()} == graphs
    assert cuda.captures == 4


def test_a_frame_larger_than_the_buffer_turns_the_graphs_off(cuda, two, caplog):
    there, here = two()
    there.warm_up()
    large = [*IMAGES, picture(900, 500, seed=9)]
    with caplog.at_level(logging.INFO):
        there.peaks(others(4, seed=0, images=large))
    assert caplog.text.count("exceeded the buffer") == 1
    assert len(there._frames) == large[-1].size
    assert_same(there, here, others(4, seed=1), others(4, seed=2, images=large), others(2, seed=3))
    assert cuda.holds_nothing
    assert cuda.captures == 4


@pytest.mark.parametrize(
    ("version", "where"),
    [
        *(((2, 11), where) for where in ("begin", "work", "memory", "end", "instantiate")),
        ((2, 12), "end"),
        *(((2, 14), where) for where in ("begin", "end")),
    ],
)
@pytest.mark.parametrize("number", [0, 2])
def test_a_capture_that_fails_is_replaced_by_the_steps_and_leaves_nothing_behind(two, caplog, version, where, number):
    with FakeCuda(version) as cuda:
        cuda.fails_at = {number: where}
        there, here = two()
        there.warm_up()
        assert [there._batches[size].graph is not None for size in (4, 3, 2, 1)] == [i < number for i in range(4)]
        assert caplog.text.count("no CUDA graphs") == 1
        assert f"batches of {4 - number} people" in caplog.text
        assert not cuda.underway
        torch.cuda.empty_cache()
        assert_same(there, here, *(others(people, seed=people) for people in (4, 2, 5)))
        assert cuda.captures == number + 1
        there._batches.clear()
        # torch 2.12 and 2.13 keep the memory of such a capture.
        assert cuda.holds_nothing or version == (2, 12)


def test_a_capture_can_be_interrupted(cuda, two):
    cuda.fails_at = {1: "interrupt"}
    there, _ = two()
    with pytest.raises(KeyboardInterrupt):
        there.warm_up()
    there._batches.clear()
    assert cuda.holds_nothing


def test_an_error_that_ends_every_call_is_not_taken_for_a_failed_capture(cuda, two, caplog):
    cuda.fails_at = {1: "dead"}
    there, _ = two()
    with pytest.raises(DeviceError, match=r"^cuda:0: the GPU failed \(CUDA error: an illegal memory access was enc"):
        there.warm_up()
    assert not caplog.text


def test_a_gpu_that_fails_during_the_run_is_one_line(cuda, two):
    there, _ = two()
    there.warm_up()
    cuda.is_dead = True
    with pytest.raises(DeviceError) as caught:
        there.peaks(others(2, seed=0))
    assert "\n" not in str(caught.value)


def room_for(people, cuda, two):
    """Limit the memory to batches of this size, and return the engine."""
    there, _ = two()
    cuda.largest_bytes = 0
    there.peaks(others(people, seed=0))
    there._batches.clear()
    cuda.most_bytes = max(cuda.largest_bytes, *(image.nbytes for image in IMAGES))
    return there


@pytest.mark.parametrize(("room", "most"), [(1, 1), (2, 2), (3, 2)])
def test_batches_become_smaller_if_the_memory_is_too_small(cuda, two, caplog, room, most):
    _, here = two()
    crowds = [others(11, seed=1), others(11, seed=2)]
    expected = [here.peaks(crowd) for crowd in crowds]
    there = room_for(room, cuda, two)
    for crowd, peaks in zip(crowds, expected, strict=True):
        np.testing.assert_allclose(there.peaks(crowd), peaks, atol=1e-3)
    assert cuda.emptied == {2: 1, 1: 2}[most]
    assert caplog.messages == [
        f"cuda:0: the memory is too small for 4 people at once; using batches of at most {most} from now on"
    ]


def test_sizes_that_do_not_fit_are_left_out_of_the_warm_up(cuda, two, caplog):
    there = room_for(2, cuda, two)
    there.warm_up()
    assert set(there._batches) == {1, 2}
    assert all(batch.graph is not None for batch in there._batches.values())
    assert len(caplog.messages) == 1
    assert cuda.underway == []


def test_memory_that_is_too_small_for_one_person_is_an_error(cuda, two):
    there = room_for(1, cuda, two)
    cuda.most_bytes = cuda.largest_bytes - 1
    with pytest.raises(MemoryFullError) as caught:
        there.peaks(others(11, seed=1))
    assert re.fullmatch(
        r"cuda:0: not enough memory \(CUDA out of memory\. Tried to allocate \d\.\d\d MiB\. GPU 0 has a total capacity "
        r"of 1\.00 GiB of which 3\.06 MiB is free\): choose a smaller .*",
        str(caught.value),
    )


def test_memory_that_is_too_small_for_a_frame_is_an_error(cuda, two):
    there, _ = two()
    large = picture(900, 500)
    cuda.most_bytes = large.size - 1
    with pytest.raises(MemoryFullError):
        there.peaks(others(3, seed=0, images=[large]))
