"""Checks that nothing grows while a camera is lost every 5 s for ten minutes, and over 200 reconnects: `make soak`.

Case 12 of `make faults` runs the same for 40 s. The program has its own process and is measured from outside.
"""

import math
import time

import numpy as np
import pytest

from .fakecam import CameraProcess
from .rig import Program

# Rates that a slow machine can sustain, because the tests are about cameras and not about the speed of the CPU.
CAMERA = "--fps=10", "--key-every=10"
WARM_UP_S = 10


class Watch:
    """Samples the program's memory, threads and open files over time."""

    def __init__(self, program):
        self.program, self.began_s = program, time.monotonic()
        self.samples = []

    def sample(self):
        program = self.program
        self.samples.append(
            (time.monotonic() - self.began_s, program.resident_mb(), program.threads(), program.descriptors())
        )

    def figures(self, figure, case, what):
        """Check the samples after the first third. For about 200 s, memory grows even if no camera is lost."""
        samples = np.array(self.samples[len(self.samples) // 3 :])
        at_s, memory, threads, files = samples.T
        figure(
            case,
            f"{what}: memory growth after the first third",
            memory[-3:].mean() - memory[:3].mean(),
            "MB",
            at_most=5,
        )
        if at_s[-1] - at_s[0] > 120:
            figure(case, f"{what}: slope of the memory use", 60 * np.polyfit(at_s, memory, 1)[0], "MB/min", at_most=0.5)
        figure(case, f"{what}: most additional threads", threads.max() - threads[0], "", at_most=1)
        figure(case, f"{what}: additional open files at the end", files[-1] - files[0], "", at_most=1)


def kick(program, camera, name):
    """Reset the camera's connections and return the seconds until the first pose of the next epoch."""
    epoch = program.poses(name)[-1].body["epoch"]
    camera.command("kick")
    kicked_s = time.monotonic()

    def back():
        return [told for told in program.poses(name, since_s=kicked_s) if told.body["epoch"] > epoch]

    program.until(back, 15, "the camera to come back")
    return back()[0].at_s - kicked_s


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(40, marks=pytest.mark.faults, id="short"),
        pytest.param(600, marks=pytest.mark.soak, id="ten-minutes"),
    ],
)
@pytest.mark.timeout(900)
def test_12_nothing_grows_if_one_of_two_cameras_is_kicked_every_5_s(seconds, tmp_path, figure, yolov8n):
    what = "kicked every 5 s" + (" for 10 min" if seconds > 60 else "")
    with CameraProcess(*CAMERA) as ill, CameraProcess(*CAMERA) as well:
        sources = "--source", f"ill={ill.url()}", "--source", f"well={well.url()}"
        with Program(*sources, folder=tmp_path, keeps_bodies=False) as program:
            program.until_pose("ill")
            program.until_pose("well")
            program.run_for(WARM_UP_S)
            before = program.fps("well", since_s=time.monotonic() - WARM_UP_S + 2)
            watch, waits = Watch(program), []
            began_s = time.monotonic()
            for number in range(1, seconds // 5 + 1):
                waits.append(kick(program, ill, "ill"))
                watch.sample()
                program.run_for(max(0.0, began_s + 5 * number - time.monotonic()))
            during = program.fps("well", since_s=began_s)
            figure("12", f"{what}: slowest recovery of {len(waits)} (1 key frame/s)", max(waits), "s", at_most=2.5)
            figure("12", f"{what}: the other camera's rate", 100 * during / before, "%", at_least=95, at_most=105)
            watch.figures(figure, "12", what)
            assert program.end()[0] == 0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_39_nothing_grows_over_two_hundred_reconnects(tmp_path, figure, yolov8n):
    with CameraProcess("--key-every=5") as camera:
        source = "--source", camera.url()
        with Program(*source, folder=tmp_path, keeps_bodies=False) as program:
            program.until_pose()
            program.run_for(WARM_UP_S)
            watch, slowest_s = Watch(program), -math.inf
            for _ in range(200):
                program.run_for(1.6)  # a camera lost within 1.5 s after it was opened is retried less often
                slowest_s = max(slowest_s, kick(program, camera, "cam0"))
                watch.sample()
            figure("39", "200 reconnects: slowest recovery (5 key frames/s)", slowest_s, "s", at_most=2.5)
            watch.figures(figure, "39", "200 reconnects")
            assert program.end()[0] == 0
