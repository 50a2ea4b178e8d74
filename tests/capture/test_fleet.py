"""Cameras that are added, removed and changed during a run, with real sources and a real door."""

import functools
import threading
import time
from collections import Counter, defaultdict

import pytest

from realtime.capture import fleet
from realtime.capture.camera import Camera
from realtime.capture.fleet import Fleet
from realtime.config import load
from realtime.errors import ConfigError
from realtime.runtime.channel import Closed
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door
from tests.doubles import wait_until
from tests.faults.fakecam import FakeCamera

from .clips import write_clip
from .rig import GIVE_UP_S, picture


def cameras(sources, **options):
    """Return a configuration with these cameras: name -> source, or name -> all keys of the camera."""
    entries = [{"name": n, **(s if isinstance(s, dict) else {"source": str(s)})} for n, s in sources.items()]
    return load(environment={}, flags={"cameras": entries, "realtime": "true", "loop": "true", **options})


class Run:
    """A running fleet. Each frame that passes its door is counted as published and kept."""

    def __init__(self, config):
        self.crew = Crew()
        self.door = Door(
            [camera.name for camera in config.cameras],
            2,
            5.0,
            lambda camera, cause: self.fleet.status[camera].count_dropped(cause),
        )
        self.fleet = Fleet(config, self.crew, self.door)
        self.frames = defaultdict(list)
        self.threads = Counter()
        self.over = threading.Event()

    def __enter__(self):
        self.fleet.start()
        self.crew.start("consumer", self.consume)
        return self

    def __exit__(self, *error):
        self.fleet.stop()
        self.door.stop()
        assert self.crew.join(10) == []
        for status in self.fleet.status.values():
            assert status.unfinished() == 0, status.camera
        if error == (None, None, None) and self.crew.failure is not None:
            raise self.crew.failure

    def consume(self):
        try:
            while True:
                for frame in self.door.take():
                    self.frames[frame.camera].append(frame)
                    self.fleet.status[frame.camera].count_published(1.0)
                    self.door.leave(frame.camera)
        except Closed:
            self.over.set()

    def reload(self, sources, **options):
        self.fleet.reload(cameras(sources, **options).cameras)

    def wait(self, camera, more=5):
        """Wait until `more` further frames of this camera have passed the door."""
        target = len(self.frames[camera]) + more
        wait_until(lambda: len(self.frames[camera]) >= target, lambda: f"{camera}: {self.state(camera)}")

    def state(self, camera):
        return self.fleet.status[camera].state

    def until_state(self, camera, state):
        wait_until(lambda: self.state(camera) == state, lambda: f"{camera}: {self.state(camera)}")


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", frames=20)


def test_a_camera_is_added_and_removed_while_another_keeps_running(clip, caplog):
    caplog.set_level("INFO", "realtime")
    with Run(cameras({"a": clip})) as run:
        run.wait("a")
        capture = next(t for t in threading.enumerate() if t.name == "capture-a")
        run.reload({"a": clip, "b": clip})
        run.wait("b")
        assert "reload: added b; 1 unchanged" in caplog.text
        run.reload({"a": clip})
        run.until_state("b", ("ended", "removed"))
        assert "reload: removed b; 1 unchanged" in caplog.text
        assert run.fleet.removed == {"b"}
        gone = len(run.frames["b"])
        run.wait("a", 5)
        assert len(run.frames["b"]) == gone  # no frame follows the final state
        assert capture.is_alive()
    indices = [frame.index for frame in run.frames["a"]]
    assert indices == sorted(set(indices))


def test_a_changed_camera_starts_a_new_epoch_with_its_new_options(clip):
    with Run(cameras({"a": clip, "b": clip})) as run:
        run.wait("a")
        before = run.frames["a"][-1]
        run.reload({"a": {"source": str(clip), "resize": 32}, "b": clip})
        while run.frames["a"][-1].size == before.size:
            run.wait("a", 1)
        after = run.frames["a"][-1]
        assert after.size == (32, 24)
        assert after.epoch > before.epoch
        assert after.index > before.index
        assert run.state("a") == ("live", None)
        assert not run.over.is_set()


def test_the_only_camera_can_be_replaced(clip, tmp_path):
    with Run(cameras({"a": clip})) as run:
        for size in (40, 36, 32):
            run.wait("a")
            run.reload({"a": {"source": str(clip), "resize": size}})
        while run.frames["a"][-1].size != (32, 24):
            run.wait("a", 1)
        run.reload({"b": clip})
        run.wait("b")
        assert run.fleet.removed == {"a"}
        run.reload({"a": clip})
        run.wait("a")
        assert run.fleet.removed == {"b"}
        epochs = [frame.epoch for frame in run.frames["a"]]
        assert epochs == sorted(epochs)


def test_after_many_reloads_only_the_last_configuration_runs(clip):
    with Run(cameras({"a": clip})) as run:
        for k in range(20):
            run.reload({f"c{k % 3}": {"source": str(clip), "resize": 32 + k}})
        run.wait("c1")
        while run.frames["c1"][-1].size[0] != 51:
            run.wait("c1", 1)
        for camera in ("a", "c0", "c2"):
            run.until_state(camera, ("ended", "removed"))
        assert [t.name for t in threading.enumerate() if t.name.startswith("capture-")] == ["capture-c1"]


def test_a_missing_source_does_not_end_the_run_and_is_tried_again_at_the_next_reload(clip, tmp_path, caplog):
    late = tmp_path / "late.mp4"
    with Run(cameras({"a": clip})) as run:
        run.reload({"a": clip, "b": late})
        run.until_state("b", ("failed", "missing"))
        wait_until(lambda: f"b: {late}: no such file" in caplog.text)  # logged after the state is set
        run.reload({"a": clip})
        run.until_state("b", ("ended", "removed"))  # also for a camera that had failed
        run.reload({"a": clip, "b": late})
        run.until_state("b", ("failed", "missing"))
        clip.rename(late)
        late_clip, clip_again = late, write_clip(clip, frames=20)
        run.reload({"a": clip_again, "b": late_clip})
        run.wait("b")
        assert run.state("b") == ("live", None)


def test_a_mask_over_everything_ends_the_run_at_its_start_and_only_the_camera_at_a_reload(clip, caplog):
    hidden = {"source": str(clip), "mask": [[[0, 0], [9000, 0], [9000, 9000], [0, 9000]]]}
    with (
        pytest.raises(ConfigError, match=r"^b: mask: got polygons over the whole frame"),
        Run(cameras({"b": hidden})) as run,
    ):
        assert run.crew.failed.wait(GIVE_UP_S)
    with Run(cameras({"a": clip})) as run:
        run.reload({"a": clip, "b": hidden})
        wait_until(lambda: run.fleet.status["b"].state == ("failed", "mode not possible"))
        run.wait("a")
        run.reload({"a": clip, "b": clip})
        run.wait("b")
    assert "b: mask: got polygons over the whole frame" in caplog.text


def test_a_file_that_waits_at_a_full_door_can_be_removed(clip):
    config = cameras({"a": clip, "b": clip}, realtime="false")
    run = Run(config)
    run.consume = lambda: None  # no frame is taken: both files wait to put their second frame
    with run:
        wait_until(lambda: all(run.fleet.status[c].captured >= 2 for c in "ab"))
        run.reload({"a": clip}, realtime="false")
        run.until_state("b", ("ended", "removed"))
        assert run.fleet.status["b"].drops == {"stopping": run.fleet.status["b"].captured}
        assert run.state("a")[0] == "live"


def test_no_camera_is_added_to_a_run_that_is_ending(clip, caplog):
    with Run(cameras({"a": clip}, loop="false", realtime="false")) as run:
        assert run.over.wait(GIVE_UP_S)
        run.reload({"a": clip, "b": clip})
        assert "the run is ending" in caplog.text
        assert "b" not in run.fleet.status


def test_a_frozen_camera_is_removed_immediately_and_replaced_once_its_read_returns():
    with FakeCamera() as camera:
        address = f"rtsp://127.0.0.1:{camera.port}/cam"
        with Run(cameras({"a": address, "b": address})) as run:
            run.wait("a")
            run.wait("b")
            camera.freeze(60)
            run.reload({"a": {"source": address, "resize": 64}})
            run.until_state("b", ("ended", "removed"))
            camera.resume()
            while run.frames["a"][-1].size != (64, 48):
                run.wait("a", 1)


def test_two_reloads_do_not_open_a_device_that_still_hangs(monkeypatch):
    opened, free = [], threading.Event()

    class Hanging:
        """A webcam whose first opening blocks in `read` until `free` is set."""

        size, fps, live, prompt = (64, 48), 30.0, True, False

        def __init__(self, config):
            opened.append(config.resize)
            self.is_first = len(opened) == 1

        def read(self):
            if self.is_first:
                assert free.wait(GIVE_UP_S)
                return None
            time.sleep(0.01)  # its frame interval
            return picture()

        def close(self):
            opened.append("closed")

    monkeypatch.setattr(fleet, "Camera", functools.partial(Camera, open_source=Hanging))
    with Run(cameras({"a": {"source": "0", "resize": 64}})) as run:
        wait_until(lambda: opened)
        for resize in (65, 66):
            run.reload({"a": {"source": "0", "resize": resize}})
        for thread in run.fleet._threads["a"][1:-1]:  # the second thread, which was stopped before it opened the device
            thread.join(10)
        assert opened == [64]
        free.set()
        run.wait("a")
        assert opened == [64, "closed", 66]


def test_a_reload_that_can_not_start_its_threads_changes_nothing(tmp_path, monkeypatch, caplog):
    clip = write_clip(tmp_path / "clip.mp4")
    with Run(cameras({"a": clip, "b": clip})) as run:
        run.wait("a")
        start, started = run.crew.start, []

        def start_two(name, work):
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(start(name, work))
            return started[-1]

        monkeypatch.setattr(run.crew, "start", start_two)
        run.reload({"b": {"source": str(clip), "rotate": 90}, "c": clip, "d": clip})
        for thread in started:
            thread.join(GIVE_UP_S)
        assert "can't start the threads of the cameras (can't start new thread); nothing was changed" in caplog.text
        assert sorted(run.fleet.status) == ["a", "b"]
        run.wait("a")
        run.wait("b")
        assert run.frames["b"][-1].image.shape == (48, 64, 3)
        monkeypatch.undo()
        run.reload({"b": clip, "c": clip})
        run.wait("c")
        assert run.state("a") == ("ended", "removed")


def test_a_camera_that_is_removed_while_it_is_about_to_start_again_stays_removed(tmp_path, monkeypatch):
    """The thread of the replaced camera is held just before it sets the state."""
    clip = write_clip(tmp_path / "clip.mp4")
    with Run(cameras({"a": clip, "b": clip})) as run:
        run.wait("b")
        with run.fleet._changing:
            before = run.fleet._threads["b"][-1]
            monkeypatch.setattr(run.fleet, "_changing", lock := HeldLock(run.fleet._changing))
        run.reload({"a": clip, "b": {"source": str(clip), "rotate": 90}})
        before.join(GIVE_UP_S)
        assert lock.waits.wait(GIVE_UP_S)
        run.reload({"a": clip})
        lock.let_go.set()
        run.fleet._threads["b"][-1].join(GIVE_UP_S)
        assert run.state("b") == ("ended", "removed")


class HeldLock:
    """A lock that lets a capture thread in only after `let_go`."""

    def __init__(self, lock):
        self.lock, self.waits, self.let_go = lock, threading.Event(), threading.Event()

    def __enter__(self):
        if threading.current_thread().name.startswith("capture-"):
            self.waits.set()
            self.let_go.wait(GIVE_UP_S)
        return self.lock.__enter__()

    def __exit__(self, *error):
        return self.lock.__exit__(*error)
