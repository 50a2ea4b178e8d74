"""Case 54 of docs/reliability.md: cameras that fail or change while they are empty and only key frames are decoded."""

import time
from contextlib import contextmanager

import av
import numpy as np
import pytest

from .fakecam import CameraProcess
from .rig import Run

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

WIDTH, HEIGHT = 320, 240
# The marks change with each frame, and everything below them stays.
MARKS = [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT / 6], [0, HEIGHT / 6]]


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A video of a picture in which nothing moves."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        image = np.linspace(60, 160, WIDTH, dtype=np.uint8)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
        for _ in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")))
        container.mux(stream.encode())
    return path


@contextmanager
def asleep(still, folder, *arguments, transport="tcp", what="key"):
    """Yield a camera and a run that reads it, once it is empty."""
    with (
        CameraProcess(f"--size={WIDTH}x{HEIGHT}", f"--background={still}", *arguments) as camera,
        Run(
            {"cam0": {"source": camera.url(), "transport": transport, "idle_decode": what, "mask": [MARKS]}},
            folder,
            activity__mode="on",
            activity__empty_s=1.0,
        ) as run,
    ):
        run.until_pose()
        run.until(lambda: is_asleep(run), what="an empty camera")
        yield camera, run


def is_asleep(run):
    status = run.pipeline.status["cam0"]
    return status.state[0] == "live" and status.activity == "empty" and status.drops["idle"] > 5


@pytest.mark.parametrize("what", ["key", "nonref"])
@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_54_an_empty_camera_that_fails_is_noticed_as_soon_as_any_other(fault, what, still, tmp_path, figure):
    with asleep(still, tmp_path, what=what) as (camera, run):
        failed_s = time.monotonic()
        camera.kill() if fault == "kill" else camera.command("freeze 4")
        away = run.until_state("reconnecting", since_s=failed_s)
        figure("54", f"empty, idle_decode {what}, {fault}: reported after", away.at_s - failed_s, "s", at_most=2.6)
        if fault == "freeze":
            run.until_state("live", since_s=away.at_s)
            run.until(lambda: is_asleep(run), what="an empty camera after the reconnect")


def test_54_an_empty_camera_with_a_long_group_of_pictures_does_not_look_frozen(still, tmp_path):
    with asleep(still, tmp_path, "--key-every=350", "--loop=14") as (_, run):
        since_s = time.monotonic()
        run.run_for(14)
        assert {told.body["state"] for told in run.states(since_s=since_s)} == {"live"}
        assert run.pipeline.status["cam0"].reconnects == 0
        numbers = [mark for mark, seen_s in run.seen.values() if seen_s > since_s]
        assert numbers  # never blind for longer than 10 s
        assert None not in numbers


def test_54_an_empty_camera_may_change_its_size(still, tmp_path, figure):
    with asleep(still, tmp_path, "--size=640x480", "--no-sprop") as (camera, run):
        camera.command("clip 1")
        changed_s = time.monotonic()
        run.until(lambda: run.pipeline.status["cam0"].size == (640, 480), what="the new size")
        pose = run.until_pose(since_s=time.monotonic())
        figure("54", "empty, another size (1 key frame/s): first pose", pose.at_s - changed_s, "s", at_most=2.5)
        assert run.pipeline.status["cam0"].reconnects == 0


def test_54_no_damaged_frame_of_an_empty_camera_is_published(still, tmp_path):
    with asleep(still, tmp_path, "--transport=udp", "--payload=300", transport="udp") as (camera, run):
        camera.command("loss 0.02")
        since_s = time.monotonic()
        run.run_for(10)
        camera.command("loss 0")
        run.until(lambda: is_asleep(run), what="an empty camera after the losses")
        assert None not in [mark for mark, seen_s in run.seen.values() if seen_s > since_s]
