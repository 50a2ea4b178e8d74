"""A capture thread for tests: a camera, sources that play a script, and a door that accepts every frame."""

import threading
import time

import numpy as np

from realtime.capture.camera import Camera
from realtime.capture.open import open_source
from realtime.capture.source import Picture, Pixels
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason
from realtime.observe.status import CameraStatus
from realtime.types import Frame

# Longer than any of these tests takes on a busy machine. A test that reaches it fails instead of running forever.
GIVE_UP_S = 30.0


def picture(media_s=None, size=(64, 48), **keys):
    return Picture(Pixels(np.zeros((size[1], size[0], 3), np.uint8)), media_s, **keys)


def lost():
    return SourceError("source: connection lost", SourceReason.LOST)


class ScriptedSource:
    """A source that plays a script: it returns pictures, raises errors, and returns None at its end."""

    def __init__(self, *script, live=False, fps=10.0, size=(64, 48), prompt=False):
        self.script, self.live, self.fps, self.size, self.closed = list(script), live, fps, size, False
        self.prompt = prompt

    def read(self):
        item = self.script.pop(0) if self.script else None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed = True


class RecordingStop(threading.Event):
    """An event that records the timeout of each wait and returns without waiting."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return self.is_set()


class Rig:
    """A camera, and its door, which counts each frame as published.

    `run` captures on the calling thread; `start` and `join` use another thread.

    Args:
        source: a source as configured.
        openings: the result of each opening of the source: a source, or an error to raise. Without any, the program's
            own `open_source` opens it.
        opener: replaces `open_source`.
        enough: the number of frames after which to stop, or a function of the newest frame that returns whether to.
        until_lost: stop when the camera is lost.
        stop: replaces the event that ends the camera.
        door: replaces the rig as the door. It must count the frames that it drops.
        activities: the activity of all cameras; None: the camera has no motion gate.
        options: options of the camera.

    Attributes:
        frames: the frames that were put.
        came_mono_s: when each of them was put, monotonic seconds.
        came_unix_s: the same as Unix time.
        states: each state that was set, with its reason if it has one.
        prepared: each frame size that was announced, None at the end, whether the source is live, and the number of
            frames that were put before.
    """

    def __init__(
        self,
        source,
        *openings,
        opener=open_source,
        enough=None,
        until_lost=False,
        realtime=False,
        loop=False,
        max_frames=None,
        fail_fast=False,
        stop=None,
        door=None,
        activities=None,
        **options,
    ):
        self.enough, self.until_lost = enough, until_lost
        self.stop, self.status = stop or threading.Event(), CameraStatus("cam0")
        self.frames, self.came_mono_s, self.came_unix_s = [], [], []
        self.opened, self.finished, self.newest_wins = False, False, None
        self.prepared = []
        self.states, self._set_state = [], self.status.set_state
        self.status.set_state = self._note_state
        self._openings, self._gave_up = list(openings), False
        self._thread = threading.Thread(target=self.run, daemon=True)
        self.camera = Camera(
            CameraConfig(name="cam0", source=str(source), **options),
            realtime=realtime,
            loop=loop,
            max_frames=max_frames,
            fail_fast=fail_fast,
            door=door or self,
            status=self.status,
            stop=self.stop,
            prepare=self._prepare,
            activities=activities,
            open_source=self._open if openings else opener,
        )

    def run(self):
        """Capture on this thread until the source ends or the camera stops. Return the frames."""
        watchdog = threading.Timer(GIVE_UP_S, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            self.camera.run()
        finally:
            watchdog.cancel()
        assert not self._gave_up, f"the camera still ran after {GIVE_UP_S} s"
        return self.frames

    def start(self):
        self._thread.start()

    def join(self):
        """Wait until the thread that `start` began has ended."""
        self._thread.join(GIVE_UP_S)
        assert not self._thread.is_alive()

    @property
    def state(self):
        return self.status.state

    def _give_up(self):
        self._gave_up = True
        self.stop.set()

    def _prepare(self, camera, size, live):
        assert camera == "cam0"
        self.prepared.append((size, live, len(self.frames)))

    def _open(self, config):
        opening = self._openings.pop(0)
        if isinstance(opening, Exception):
            raise opening
        return opening

    def _note_state(self, *state):
        self.states.append(state)
        self._set_state(*state)
        if self.until_lost and state[0] == "reconnecting":
            self.stop.set()

    # ---- the door, as the camera uses it

    def attach(self, camera, newest_wins):
        self.newest_wins = newest_wins

    def wait_until_open(self):
        self.opened = True

    def put(self, frame):
        self.came_mono_s.append(time.monotonic())
        self.came_unix_s.append(time.time())
        frame = frame if isinstance(frame, Frame) else frame.frame()  # as the door does when it lets the frame in
        if frame is None:
            return
        self.frames.append(frame)
        self.status.count_published(0.0)
        if self.enough(frame) if callable(self.enough) else len(self.frames) == self.enough:
            self.stop.set()

    def finish(self, camera):
        self.finished = True
