"""A fake camera in a process of its own, which can be killed, stopped and started anew; and a host that seems dead."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .marks import Clock


class CameraProcess:
    """A fake camera in a process of its own, for the time of a `with` block.

    Args:
        arguments: of the command line, see `main`. Its ports are free ones unless given.
    """

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> CameraProcess:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.faults.fakecam",
                "--control=0",
                "--until-eof",
                f"--port={self.port}",
                *self.arguments,
            ],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,  # closes when this process dies, however it does: then the camera ends too
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        if not line.startswith("READY "):
            raise RuntimeError(f"the camera process did not start, it said {line!r}")
        ready = json.loads(line.removeprefix("READY "))
        self.port, self.control_port = ready.pop("port"), ready.pop("control_port")
        self.clock = Clock(**ready)

    def url(self, userinfo: str = "", path: str = "/cam") -> str:
        return f"rtsp://{userinfo}127.0.0.1:{self.port}{path}"

    def command(self, line: str) -> dict[str, object]:
        """As `FakeCamera.command`. It must run: one that was stopped doesn't answer."""
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=5) as control:
            control.sendall(line.encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def kill(self) -> None:
        """SIGKILL, and wait for its end. Nothing happens if it is dead."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def stop(self) -> None:
        """SIGSTOP: connections stay up and nothing comes."""
        self._process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT: goes on, with all that was due meanwhile in one burst."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it if it lives, and start it on the same port; the clock begins anew."""
        self.kill()
        self.start()


@contextlib.contextmanager
def backlog_full_listener() -> Iterator[int]:
    """The port of a host that seems dead: it takes no more connections and leaves those who ask without an answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        # Linux queues one more than the backlog; the others wait as the clients will.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
