"""Cameras of several aspect ratios, and one that keeps changing its own: `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md. The detector has a network for each
aspect ratio. None is compiled before its camera is open, except the one for 16:9.
"""

import contextlib
import itertools
import os
import time

import numpy as np
import pytest

from realtime.config import load
from realtime.loading import load_detector
from realtime.models import openvino
from realtime.tuning import Tuning

from .fakecam import CameraProcess
from .rig import Program, Run, _resident_mb

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

# 16:9, 4:3 and 9:16, about 230,000 pixels each.
THREE_RATIOS = "640x360", "552x416", "360x640"
# 30 frame sizes with 30 different shapes of the detector's input at detector.size 640.
WIDE = [(640, 32 * k) for k in range(5, 20)]
THIRTY = [size for wide in WIDE for size in (wide, wide[::-1])]


@pytest.fixture
def slow_compiler(monkeypatch):
    """Make each compilation take 4 s longer from the moment that the fixture's list is filled."""
    compile_, slow = openvino.OpenVinoNetwork._compile, []

    def compile_slowly(network, count):
        if slow and count not in network._compiled:
            time.sleep(4)
        return compile_(network, count)

    monkeypatch.setattr(openvino.OpenVinoNetwork, "_compile", compile_slowly)
    return slow


@pytest.mark.parametrize("compiler", ["usual", "slow"])
def test_14_the_first_frames_of_eight_cameras_of_three_aspect_ratios_are_fresh(
    compiler, tmp_path, figure, slow_compiler
):
    what = f"8 cameras of 3 aspect ratios, {compiler} compiler"
    with contextlib.ExitStack() as stack:
        arguments = "--fps=15", "--key-every=15"
        servers = [stack.enter_context(CameraProcess(*arguments, f"--size={size}")) for size in THREE_RATIOS]
        cameras = {f"cam{i}": servers[i % 3] for i in range(8)}
        run = Run({name: camera.url() for name, camera in cameras.items()}, tmp_path)
        run = stack.enter_context(run)
        slow_compiler += [True] if compiler == "slow" else []
        run.until(lambda: all(run.poses(name) for name in cameras), what="poses of all cameras")
        run.run_for(5)
        first = {name: run.poses(name)[0].at_s for name in cameras}
        ages = [run.ages_s(camera.clock, name)[:45] for name, camera in cameras.items()]  # 3 s
        figure("14", f"{what}: oldest of the first 45 frames of a camera", 1e3 * np.nanmax(ages), "ms", at_most=500)
        opened_s = max(first.values()) - run.began_s
        figure("14", f"{what}: last camera's first pose after the start", opened_s, "s", at_most=3)


def test_17_a_camera_that_changes_its_aspect_ratio_every_second_keeps_its_poses(tmp_path, figure):
    what = "another aspect ratio every second for 30 s"
    sizes = [f"--size={width}x{height}" for width, height in THIRTY]
    with CameraProcess("--fps=15", "--key-every=5", "--loop=4", *sizes) as camera:
        arguments = "--source", camera.url(), "--detector.size", "640", "--log-level", "debug"
        with Program(*arguments, folder=tmp_path) as program:
            program.until_pose()
            program.run_for(3)
            before_mb, began_s = program.resident_mb(), time.monotonic()
            for number in range(1, 30):
                camera.command(f"clip {number}")
                program.run_for(max(0.0, began_s + number - time.monotonic()))
            poses = program.poses(since_s=began_s)
            gaps = np.diff([told.at_s for told in poses])
            sizes = {tuple(told.body["size"]) for told in poses}
            compiled = sum("detector: compiled for" in line for line in program.log)
            figure("17", f"{what}: longest gap between poses (3 key frames/s)", gaps.max(), "s", at_most=1.5)
            figure("17", f"{what}: sizes published", len(sizes), "", at_least=25)
            figure("17", f"{what}: networks compiled", compiled, "", at_least=2, at_most=5)
            figure("17", f"{what}: memory growth", program.resident_mb() - before_mb, "MB", at_most=200)
            assert program.end()[0] == 0


def test_17_memory_stays_flat_over_a_hundred_aspect_ratios(figure, monkeypatch, tmp_path):
    config = load(environment={}, flags={"cameras": [{"name": "cam0", "source": "demo"}], "device": "cpu"})
    stage, _ = load_detector(config)
    stage.warm_up()
    pose = None  # not used without a latency target
    tuning = Tuning(config, stage, pose, [2], lambda: False)
    now_s = itertools.count(step=20.0)
    monkeypatch.setattr("realtime.tuning.time.monotonic", lambda: next(now_s))

    class Done:
        def __init__(self, work):
            work()

        def is_alive(self):
            return False

    memory_mb, most = [], 0
    for size in 4 * THIRTY:
        tuning.prepare("cam0", size, live=True)
        tuning.compile_next(lambda name, work: Done(work))
        assert size in stage.shapes.compiled
        most = max(most, len(stage.shapes.compiled))
        memory_mb.append(_resident_mb(os.getpid()))
    what = "120 changes among 30 aspect ratios, each compiled"
    figure("17", f"{what}: most networks at a time", most, "", at_most=5)
    growth_mb = np.median(memory_mb[-30:]) - np.median(memory_mb[30:60])
    figure("17", f"{what}: memory growth after the second of four rounds", growth_mb, "MB", at_most=30)
