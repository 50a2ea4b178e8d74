"""Tests that need a CUDA device. Without one they are skipped, and the GPU path stays untested.

`make gpu` runs them as its first step, where a skipped test is a failure.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from realtime.capture.demo import demo_canvas
from realtime.config import DetectorConfig
from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.models.choice import Choice
from realtime.models.vitpose import load_network
from realtime.models.yolo import YoloNet, build_net
from realtime.pose import on_device
from realtime.pose.build_torch import TorchNetwork
from realtime.pose.crop import Crowd
from realtime.pose.engine import HostEngine
from realtime.pose.on_device import BUCKETS, DeviceEngine
from realtime.pose.yolo_pose import YoloPose
from realtime.runtime.lane import Lane
from realtime.types import Frame
from tests.pose.checkpoints import CPU, KINDS, SMALL, load_vitpose, people, picture, save_checkpoint
from tests.pose.training import jittered_boxes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: the GPU path is NOT tested"),
]
GPU = torch.device("cuda:0")
SIZE = (192, 256)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.05), ("fp16", 0.2), ("bf16", 1.0)])
def test_keypoints_of_a_trained_network_match_the_cpu(trained_vitpose, precision, tolerance):
    _, boxes = jittered_boxes(np.random.default_rng(5), 240, jitter=0.1)
    expected = load_vitpose(trained_vitpose).estimate([people().image], [boxes])[0]
    found = load_vitpose(trained_vitpose, device=GPU, precision=precision).estimate([people().image], [boxes])[0]
    clear = expected[..., 2] >= 0.3
    assert clear.mean() > 0.5
    heights = (boxes[:, 3] - boxes[:, 1])[:, np.newaxis] * 1.25 / 255  # frame pixels per crop pixel
    distances = (np.linalg.norm((found - expected)[..., :2], axis=-1) / heights)[clear]
    assert np.quantile(distances, 0.99) <= tolerance


def test_each_batch_size_has_a_graph_and_all_return_the_same_scores(tmp_path):
    model = load_vitpose(save_checkpoint(tmp_path, **KINDS["plus"]), device=GPU)
    model.warm_up()
    engine = model._engine
    assert set(engine._batches) == set(BUCKETS)
    assert all(batch.graph is not None for batch in engine._batches.values())
    image, boxes = people()
    alone = np.concatenate([model.estimate([image], [boxes[i : i + 1]])[0] for i in range(len(boxes))])
    np.testing.assert_allclose(model.estimate([image], [boxes])[0][..., 2], alone[..., 2], atol=2e-3)


def test_a_frame_larger_than_the_buffer_is_processed(tmp_path, monkeypatch):
    monkeypatch.setattr(on_device, "_FRAMES_BYTES", 2**20)
    model = load_vitpose(save_checkpoint(tmp_path), device=GPU)
    model.warm_up()
    small, boxes = cv2.resize(people().image, (600, 400)), people().xyxy / 4
    before = model.estimate([small], [boxes])[0]
    model.estimate([picture(1200, 800)], [boxes])
    assert len(model._engine._frames) == 1200 * 800 * 3
    np.testing.assert_allclose(model.estimate([small], [boxes])[0], before, atol=1e-3)


def test_batches_become_smaller_if_the_memory_is_full(tmp_path, caplog):
    network = load_network(save_checkpoint(tmp_path, size=SMALL))
    engine, boxes = DeviceEngine(network, GPU, SIZE, 2.0, "device"), np.tile(people().xyxy / 4, (7, 1))[: BUCKETS[-1]]
    image = picture(600, 400)

    def run(count):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(GPU)
        peaks = engine.peaks(Crowd.of([image], [boxes[:count]], SIZE))
        return peaks, torch.cuda.max_memory_reserved(GPU)

    few, reserved = run(BUCKETS[-1] // 4)  # what torch reserved is enough for these
    expected, _ = run(BUCKETS[-1])
    needed = torch.cuda.max_memory_allocated(GPU)  # with less, a full batch can't be run
    try:
        share = (reserved + needed) / 2 / torch.cuda.get_device_properties(GPU).total_memory
        torch.cuda.set_per_process_memory_fraction(share, GPU)
        found, _ = run(BUCKETS[-1])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    assert BUCKETS[-1] // 8 <= engine._fit.most < BUCKETS[-1]
    assert "too small" in caplog.text
    np.testing.assert_allclose(found[..., 2], expected[..., 2], atol=2e-3)
    np.testing.assert_allclose(found[: len(few), :, 2], few[..., 2], atol=2e-3)


def test_the_host_waits_only_for_the_peaks(tmp_path):
    model = load_vitpose(save_checkpoint(tmp_path, **KINDS["plus"]), device=GPU)
    model.warm_up()
    image, boxes = people().image.copy(), people().xyxy  # a copy, which is not on the device yet
    torch.cuda.set_sync_debug_mode("error")  # any wait for the device raises, except waits for an event
    try:
        model.estimate([image], [boxes])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_detections_match_the_cpu(yolov8n, photographs):
    frames = [Frame(f"cam{i}", 0, 0, cv2.imread(str(path)), 0.0, 0, 0) for i, path in enumerate(photographs)]
    here, there = (DetectStage(DetectorConfig(size=320), YoloNet(yolov8n, device)) for device in (CPU, GPU))
    for expected, found in zip(here.process(frames), there.process(frames), strict=True):
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=0.1)
        np.testing.assert_allclose(found.scores, expected.scores, atol=0.005)


@pytest.mark.parametrize("weights", ["yolov8n", "yolo11n_pose"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_yolo_network_passes_its_self_test(request, weights, precision, tmp_path):
    config, choice = DetectorConfig(engine="torch", precision=precision), Choice("torch", precision)
    net = build_net("detector", request.getfixturevalue(weights), GPU, choice, config, tmp_path, demo_canvas())
    assert net.engine_name == f"torch {precision}"
    for count in (1, 3, 2):
        assert len(net.predict(np.zeros((count, 320, 256, 3), np.uint8), 0.3, 0.7)) == count


def test_keypoints_of_a_yolo_pose_network_match_the_cpu(yolo11n_pose):
    image, boxes = people()
    here, there = (YoloPose(YoloNet(yolo11n_pose, device)).estimate([image], [boxes])[0] for device in (CPU, GPU))
    np.testing.assert_allclose(there, here, atol=1)


def test_the_program_runs_on_the_gpu(tmp_path, yolov8n):
    report = tmp_path / "report.json"
    command = [sys.executable, "run_realtime.py", "--source", "demo", "--device", "cuda:0", "--max-frames", "60"]
    command += ["--detector.weights", str(yolov8n), "--pose.model", str(save_checkpoint(tmp_path / "vitpose"))]
    subprocess.run([*command, "--publish.bind", "tcp://127.0.0.1:*", "--report", str(report)], check=True, cwd=ROOT)
    assert json.loads(report.read_text())["device"] == "cuda:0"


def test_the_letterbox_equals_that_of_the_cpu(photographs):
    images = [cv2.imread(str(path)) for path in photographs]
    for image in images:
        placement = Letterbox.of(image.shape[1::-1], 640, 32)
        lane = Lane(GPU)
        with lane.run():
            found = lane.download(DeviceLetterbox(lane)([image], [placement]))
        np.testing.assert_array_equal(found, letterboxed([image], [placement]))


def test_two_models_share_one_upload_of_a_frame_and_its_memory_is_freed():
    first, second = Lane(GPU), Lane(GPU)

    def look(seed):
        image = picture(1920, 1080, seed=seed)
        image.setflags(write=False)
        places = []
        for lane in (first, second):
            with lane.run():
                there = lane.picture(image)
                places.append(there.data_ptr())
                np.testing.assert_array_equal(lane.download(there), image)
        assert places[0] == places[1]

    look(0)
    before = torch.cuda.memory_allocated(GPU)
    for seed in range(1, 20):
        look(seed)
    assert torch.cuda.memory_allocated(GPU) <= before


def test_kernels_of_the_detector_and_the_pose_model_overlap(tmp_path, yolov8n):
    model = load_vitpose(save_checkpoint(tmp_path / "vitpose", size=SMALL), device=GPU, precision="fp16")
    detector = YoloNet(yolov8n, GPU)
    image, boxes = people()
    batch, many = np.stack([image[:640, :640]] * 4), np.tile(boxes, (6, 1))

    def detect():
        for _ in range(20):
            detector.predict(batch, 0.1, 0.7)

    model.warm_up()
    detect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        thread = threading.Thread(target=detect)
        thread.start()
        for _ in range(20):
            model.estimate([image], [many])
        thread.join()
    profile.export_chrome_trace(str(tmp_path / "trace.json"))
    spans = defaultdict(list)
    for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]:
        if event.get("cat") == "kernel":
            spans[event["args"]["stream"]].append((event["ts"], event["ts"] + event["dur"]))
    first, second = sorted(spans.values(), key=len)[-2:]
    assert any(begin < other_end and other_begin < end for begin, end in first for other_begin, other_end in second)


class Waiting(torch.nn.Module):
    """A network that waits for the device while it is captured, which makes the capture fail."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, crops):
        if torch.cuda.is_current_stream_capturing():
            crops.float().sum().item()
        return self.network(crops)


# The last test, because before torch 2.12 a capture that fails leaves its mark on the process (runtime/graphs.py).
def test_a_capture_that_fails_is_replaced_by_the_steps_and_no_frame_stays_in_memory(tmp_path, caplog):
    network, boxes = load_network(save_checkpoint(tmp_path)), people().xyxy / 4
    engine = DeviceEngine(Waiting(copy.deepcopy(network)), GPU, SIZE, 2.0, "device")
    engine.warm_up()
    assert all(batch.graph is None for batch in engine._batches.values())
    assert "no CUDA graphs" in caplog.text
    host = HostEngine(TorchNetwork(network), SIZE, 2.0, "host")

    def look(seed):
        image = picture(600, 400, seed=seed)
        image.setflags(write=False)
        crowd = Crowd.of([image], [boxes], SIZE)
        np.testing.assert_allclose(engine.peaks(crowd)[..., 2], host.peaks(crowd)[..., 2], atol=5e-3)

    def held():  # with the memory that is freed, and that torch can't use again yet
        return torch.cuda.memory_stats(GPU)["active_bytes.all.current"]

    look(0)
    before = held()
    for seed in range(1, 20):
        look(seed)
    assert held() <= before + 2 * 600 * 400 * 3
