"""A viewer of the live page without a browser. It speaks web/1: watches cameras, acknowledges, and measures ages.

In this process, `with Viewer("http://127.0.0.1:8080") as viewer:`. As a process of its own, which can be stopped:

    python -m tests.browser.viewer http://127.0.0.1:8080 --width 320 --summary-s 1

It prints a line of JSON per `--summary-s`: the frames, bytes and ages of that time. Ages are measured against
`captured_ms`, so viewer and pipeline must run on one machine. WATCH_NONE and WATCH_ALL are signals to the process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# The largest message that the viewer accepts: a full picture of a large camera.
LONGEST_MESSAGE = 16 << 20
PATIENCE_S = 30.0
WATCH_NONE, WATCH_ALL = signal.SIGUSR1, signal.SIGUSR2
# Text messages that are kept; older ones are forgotten.
MOST_MESSAGES = 5000


@dataclass(frozen=True)
class Arrival:
    """A frame and when it arrived (Unix time in ms). `header` is the JSON before the JPEG."""

    at_ms: float
    header: dict[str, Any]
    jpeg: bytes

    @property
    def age_ms(self) -> float:
        return self.at_ms - self.header["captured_ms"]


def split_frame(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the JPEG of a binary message of web/1."""
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


class Viewer:
    """A viewer for the duration of a `with` block, on a thread of its own.

    Args:
        address: of the page, such as http://127.0.0.1:8080.
        cameras: names of the cameras to watch; None watches all that there are.
        width: width of each tile in device pixels.
        pictures: False asks for skeletons only.
        token: sent as a bearer token.
        acknowledges: False never sends `shown`.
        headers: further headers, such as a wrong Host or Origin.
        note: called with each frame instead of keeping it in `frames`.
    """

    def __init__(
        self,
        address: str,
        *,
        cameras: Sequence[str] | None = None,
        width: int = 320,
        pictures: bool = True,
        token: str | None = None,
        acknowledges: bool = True,
        headers: dict[str, str] | None = None,
        note: Callable[[Arrival], None] | None = None,
    ) -> None:
        self._url = address.replace("http", "ws", 1).rstrip("/") + "/ws"
        self._cameras, self._width, self._pictures = cameras, width, pictures
        self._headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        self._acknowledges = acknowledges
        self.frames: list[Arrival] = []
        self.messages: deque[dict[str, Any]] = deque(maxlen=MOST_MESSAGES)
        self.cameras: dict[str, dict[str, Any]] = {}
        self.closed: ConnectionClosed | None = None
        self._note = note or self.frames.append
        self._thread = threading.Thread(target=self._read, name="viewer", daemon=True)

    def __enter__(self) -> Viewer:
        self._connection = connect(
            self._url,
            additional_headers=self._headers,
            compression=None,
            ping_interval=None,
            max_size=LONGEST_MESSAGE,
            max_queue=1,  # what this viewer does not read stays in the sockets' buffers
            close_timeout=1,
            proxy=None,
        )
        self.socket = self._connection.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)
        self._thread.join(10)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the text messages of this type."""
        return [message for message in list(self.messages) if message["type"] == kind]

    def until(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: object = "") -> None:
        """Wait until `condition` is true."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert self.closed is None, f"closed while waiting for {what}: {self.closed}"
            assert time.monotonic() < end_s, f"timed out waiting for: {what}"
            time.sleep(0.005)

    def send(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def watch(self, cameras: Sequence[str] | None, width: int = 0, pictures: bool = True) -> None:
        """Change what is watched; None: every camera."""
        self._cameras, self._width, self._pictures = cameras, width or self._width, pictures
        self._ask()

    def _ask(self) -> None:
        names = list(self.cameras) if self._cameras is None else self._cameras
        tiles = [{"name": name, "width": self._width} for name in names]
        self.send(type="watch", cameras=tiles, pictures=self._pictures)

    def _read(self) -> None:
        try:
            while True:
                message = self.socket.recv()
                if isinstance(message, bytes):
                    self._on_frame(Arrival(time.time() * 1e3, *split_frame(message)))
                else:
                    self._on_text(json.loads(message))
        except ConnectionClosed as error:
            self.closed = error

    def _on_frame(self, arrival: Arrival) -> None:
        self._note(arrival)
        if self._acknowledges:
            header = arrival.header
            self.send(type="shown", camera=header["camera"], seq=header["seq"], width=self._width)

    def _on_text(self, message: dict[str, Any]) -> None:
        if message["type"] == "cameras":
            names = set(self.cameras)
            self.cameras = {camera["name"]: camera for camera in message["cameras"]}
            if self._cameras is not None or set(self.cameras) != names:
                self._ask()
        elif message["type"] == "camera":
            self.cameras[message["name"]] = message
        self.messages.append(message)


class Tally:
    """What arrived since the last summary. A frame is on show until the next one of its camera arrives.

    `oldest_ms` is the greatest age that a picture on show reached: its own on arrival, plus the time until the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[str, float] = {}  # captured_ms of the newest picture of each camera
        self._ages_ms: list[float] = []
        self._bytes, self._oldest_ms, self._backwards = 0, 0.0, 0

    def add(self, arrival: Arrival) -> None:
        camera, captured_ms = arrival.header["camera"], arrival.header["captured_ms"]
        with self._lock:
            before_ms = self._shown.get(camera, captured_ms)
            self._backwards += captured_ms < before_ms
            self._shown[camera] = captured_ms
            self._oldest_ms = max(self._oldest_ms, arrival.at_ms - before_ms)
            self._ages_ms.append(arrival.age_ms)
            self._bytes += len(arrival.jpeg)

    def take(self) -> dict[str, float]:
        """Return the summary and begin the next."""
        now_ms = time.time() * 1e3
        with self._lock:
            ages = sorted(self._ages_ms)
            oldest_ms = max([self._oldest_ms, *(now_ms - captured_ms for captured_ms in self._shown.values())])
            summary = {
                "unix_s": now_ms / 1e3,
                "frames": len(ages),
                "cameras": len(self._shown),
                "bytes": self._bytes,
                "age_p50_ms": ages[len(ages) // 2] if ages else 0.0,
                "age_max_ms": ages[-1] if ages else 0.0,
                "oldest_ms": oldest_ms,
                "backwards": self._backwards,
            }
            self._ages_ms, self._bytes, self._oldest_ms, self._backwards = [], 0, 0.0, 0
        return summary


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.viewer", description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the page, such as http://127.0.0.1:8080")
    parser.add_argument("--camera", dest="cameras", action="append", help="watch only this camera (repeatable)")
    parser.add_argument("--width", type=int, default=320, help="width of each tile (device pixels)")
    parser.add_argument("--token", help="bearer token")
    parser.add_argument("--no-pictures", dest="pictures", action="store_false", help="skeletons only")
    parser.add_argument("--no-shown", dest="acknowledges", action="store_false", help="never acknowledge a frame")
    parser.add_argument("--summary-s", type=float, default=1.0, help="print a summary this often (s)")
    return parser.parse_args(arguments)


def _seconds(every_s: float) -> Iterator[None]:
    """Yield every so often, without drift. After a pause of the process, it goes on from there."""
    next_s = time.monotonic()
    while True:
        next_s = max(next_s + every_s, time.monotonic())
        time.sleep(next_s - time.monotonic())
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    options = vars(_parse(arguments))
    every_s = options.pop("summary_s")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    tally = Tally()
    with contextlib.suppress(KeyboardInterrupt), Viewer(**options, note=tally.add) as viewer:
        signal.signal(WATCH_NONE, lambda *_: viewer.watch([]))
        signal.signal(WATCH_ALL, lambda *_: viewer.watch(None))
        for _ in _seconds(every_s):
            print(json.dumps(tally.take()), flush=True)
            if viewer.closed is not None:
                raise SystemExit(f"the connection was closed: {viewer.closed}")


if __name__ == "__main__":
    main()
