"""The program with `--web`, and a dashboard of its own, as the tests in the browser start them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page

from realtime import wire
from tests.faults.rig import PATIENCE_S, ROOT, Program
from tests.faults.test_strangers import free_port

# Large enough to find people in every frame: a camera without any is shown as idle.
DEMO = "--source", "demo", "--realtime", "--detector.size", "320"

# Notes the time at which each state of a tile begins (Unix ms), also if the tile is made anew; "none" without a tile.
_RECORD = """name => {
  const now = () => document.querySelector(`.tile.view[data-camera="${name}"]`)?.dataset.state ?? "none";
  const states = [[Date.now(), now()]];
  (window.testStates ??= {})[name] = states;
  new MutationObserver(() => now() === states.at(-1)[1] || states.push([Date.now(), now()]))
    .observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"]});
}"""


class Web(Program):
    """The program with `--web`, for the duration of a `with` block, and the page's address."""

    def __init__(
        self, *arguments: str, folder: Path, port: int = 0, endpoint: str = "", keeps_bodies: bool = True
    ) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        web = "--web", f"127.0.0.1:{self.port}"
        super().__init__(*arguments, *web, folder=folder, endpoint=endpoint, keeps_bodies=keeps_bodies)

    def __enter__(self) -> Web:
        super().__enter__()
        try:
            self.until(lambda: is_listening(self.port), what="the page")
        except BaseException:
            self.__exit__()
            raise
        return self

    def pose(self, seq: int, camera: str = "cam0") -> wire.PoseMessage:
        """Return the pose message with this number. Wait for it: the page can be faster than the subscriber."""
        self.until(lambda: self._bodies(seq, camera), 5, f"pose {seq} of {camera}")
        return wire.PoseMessage(**self._bodies(seq, camera)[0])

    def _bodies(self, seq: int, camera: str) -> list[dict[str, object]]:
        return [told.body for told in self.poses(camera) if told.body["seq"] == seq]


class Dashboard:
    """`python -m realtime.dashboard` for the duration of a `with` block."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self._command = [sys.executable, "-m", "realtime.dashboard", "--bind", f"127.0.0.1:{self.port}", *arguments]

    def __enter__(self) -> Dashboard:
        self.process = subprocess.Popen(self._command, cwd=ROOT)
        end_s = time.monotonic() + PATIENCE_S
        while not is_listening(self.port):
            assert self.process.poll() is None, "the dashboard has ended"
            assert time.monotonic() < end_s, "the dashboard did not start"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def is_listening(port: int) -> bool:
    """Whether a program on this machine accepts connections to this port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def view(camera: str, **data: str) -> str:
    """Return the selector of a camera's tile, in this state."""
    return f'.tile.view[data-camera="{camera}"]' + "".join(f'[data-{key}="{value}"]' for key, value in data.items())


def wait_for(page: Page, camera: str, timeout_s: float = 30, **data: str) -> None:
    """Wait until a camera's tile is in this state."""
    page.wait_for_selector(view(camera, **data), timeout=timeout_s * 1e3)


def record_states(page: Page, *cameras: str) -> None:
    """Begin to record the states of these tiles. A page that is loaded again forgets them."""
    for camera in cameras:
        page.evaluate(_RECORD, camera)


def states(page: Page, camera: str) -> list[tuple[float, str]]:
    """Return the recorded states of a tile, and when each began (time.monotonic(), s)."""
    shift_s = time.monotonic() - time.time()
    return [(at_ms / 1e3 + shift_s, state) for at_ms, state in page.evaluate(f"window.testStates[{camera!r}]")]
