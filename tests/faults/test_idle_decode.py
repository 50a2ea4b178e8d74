"""Case 54 of docs/reliability.md: cameras that fail or change while they are empty and only key frames are decoded."""

import threading
import time
from contextlib import contextmanager

import av
import numpy as np
import pytest

from realtime.capture.camera import Camera
from realtime.capture.stream import StreamSource
from realtime.config import ActivityConfig, CameraConfig
from realtime.observe.status import CameraStatus
from realtime.runtime.activity import Activities

from .fakecam import CameraProcess, FakeCamera
from .marks import index_of

pytestmark = pytest.mark.faults

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


class Watched:
    """The capture thread of a camera with a motion gate, and its door, which lets every frame in. No stage follows.

    Attributes:
        status: the camera's.
        frames: when each frame entered, and the number in it; None if it can't be read.
        sizes: width and height of each.
        states: when each state was set, and which.
    """

    def __init__(self, **options):
        self.status, self._stop = CameraStatus("cam0"), threading.Event()
        self.frames, self.sizes, self.states = [], [], []
        self._set_state, self.status.set_state = self.status.set_state, self._note_state
        camera = Camera(
            CameraConfig(name="cam0", mask=[MARKS], **options),
            realtime=False,
            loop=False,
            max_frames=None,
            fail_fast=False,
            door=self,
            status=self.status,
            stop=self._stop,
            activities=Activities(ActivityConfig(mode="on", empty_s=1.0)),
        )
        self._thread = threading.Thread(target=camera.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        snapshot = self.status.drops
        assert self.status.captured == len(self.frames) + sum(snapshot.values())

    def _note_state(self, state, *reason):
        self.states.append((time.monotonic(), state))
        self._set_state(state, *reason)

    def put(self, late):
        frame = late.frame()
        self.frames.append((time.monotonic(), index_of(frame.image)))
        self.sizes.append(frame.size)

    def attach(self, *_, **__):
        pass

    def finish(self, *_):
        pass

    @property
    def is_asleep(self):
        is_empty = self.status.state[0] == "live" and self.status.activity == "empty"
        return is_empty and self.frames and time.monotonic() - self.frames[-1][0] > 0.3

    def until(self, condition, timeout_s=30.0):
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, (self.status.state, self.status.activity, self.status.drops)
            time.sleep(0.005)
        return time.monotonic()

    def until_state(self, state, since_s):
        self.until(lambda: any(at_s >= since_s and told == state for at_s, told in self.states))
        return next(at_s for at_s, told in self.states if at_s >= since_s and told == state)

    def run_for(self, seconds):
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, seconds + 5)

    def numbers(self, since_s):
        return [number for at_s, number in self.frames if at_s >= since_s]


@contextmanager
def asleep(still, *arguments, transport="tcp", what="key"):
    """Yield a camera and a capture thread that reads it, once it is empty."""
    with (
        CameraProcess(f"--size={WIDTH}x{HEIGHT}", f"--background={still}", *arguments) as camera,
        Watched(source=camera.url(), transport=transport, idle_decode=what) as watched,
    ):
        watched.until(lambda: watched.is_asleep)
        yield camera, watched


@pytest.mark.parametrize("what", ["key", "nonref"])
@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_54_an_empty_camera_that_fails_is_noticed_as_soon_as_any_other(fault, what, still, figure):
    with asleep(still, what=what) as (camera, watched):
        failed_s = time.monotonic()
        camera.kill() if fault == "kill" else camera.command("freeze 4")
        away_s = watched.until_state("reconnecting", failed_s)
        figure("54", f"empty, idle_decode {what}, {fault}: reported after", away_s - failed_s, "s", at_most=2.6)
        if fault == "freeze":
            watched.until_state("live", away_s)
            watched.until(lambda: watched.is_asleep)


def test_54_an_empty_camera_with_a_long_group_of_pictures_does_not_look_frozen(still, figure):
    with asleep(still, "--key-every=350", "--loop=14") as (_, watched):
        since_s = time.monotonic()
        watched.run_for(14)
        assert not [state for at_s, state in watched.states if at_s >= since_s]
        numbers, times_s = watched.numbers(since_s), [at_s for at_s, _ in watched.frames if at_s >= since_s]
        figure("54", "empty, a key frame every 14 s: longest time without a frame",
               float(np.diff([since_s, *times_s]).max()), "s", at_most=12)  # fmt: skip
        assert None not in numbers


def test_54_an_empty_camera_may_change_its_size(still, figure):
    with asleep(still, "--size=640x480", "--no-sprop") as (camera, watched):
        camera.command("clip 1")
        changed_s = time.monotonic()
        came_s = watched.until(lambda: watched.sizes[-1] == (640, 480))
        figure("54", "empty, another size (1 key frame/s): first frame", came_s - changed_s, "s", at_most=1.5)
        assert None not in watched.numbers(changed_s)
        assert watched.status.state[0] == "live"


def test_54_no_damaged_frame_of_an_empty_camera_is_published(still):
    with asleep(still, "--transport=udp", "--payload=300", transport="udp") as (camera, watched):
        camera.command("loss 0.02")
        since_s = time.monotonic()
        watched.run_for(8)
        camera.command("loss 0")
        watched.run_for(3)
        numbers = watched.numbers(since_s)
        assert numbers
        assert None not in numbers


def test_54_an_empty_camera_that_is_lost_comes_back_and_is_empty_again(still):
    with asleep(still) as (camera, watched):
        camera.command("kick")
        kicked_s = time.monotonic()
        watched.until_state("live", watched.until_state("reconnecting", kicked_s))
        watched.until(lambda: watched.is_asleep)


@contextmanager
def camera_over(transport, read_timeout_s=2.0, **options):
    """A fake camera, its open source, and a function that reads pictures as (fault, number in the image or None)."""
    with FakeCamera(transport=transport, **options) as camera:
        source = StreamSource(camera.url(), network=True, transport=transport, read_timeout_s=read_timeout_s)

        def read(count):
            pictures = [source.read() for _ in range(count)]
            return [(picture.fault, index_of(picture.image) if picture.decoded else None) for picture in pictures]

        yield camera, source, read
        source.close()


def test_54_a_datagram_that_is_lost_while_a_camera_sleeps_damages_the_frames_after_a_wake_up():
    with camera_over("udp", payload=300, key_every=20, loop_s=2) as (camera, source, read):
        read(5)
        source.decode_only("key")
        while read(1)[0][0] is not None:
            pass  # up to a key frame
        camera.command("lose 2")
        assert {fault for fault, _ in read(8)} == {"idle"}
        source.decode_only("all")
        seen = read(20)
    faults = [fault for fault, _ in seen]
    assert 5 <= faults.count("corrupt") <= 15
    assert faults == ["corrupt"] * faults.count("corrupt") + [None] * (20 - faults.count("corrupt"))
    assert None not in {number for fault, number in seen if fault is None}


def test_54_a_datagram_that_comes_twice_while_a_camera_sleeps_is_kept_once():
    with camera_over("udp", payload=1200, key_every=10, loop_s=2) as (camera, source, read):
        read(5)
        source.decode_only("key")
        camera.command("double 0.3")
        read(20)
        source.decode_only("all")
        assert {fault for fault, _ in read(10)} <= {None, "corrupt"}
        camera.command("double 0")
        read(11)
        assert {fault for fault, _ in read(10)} == {None}
