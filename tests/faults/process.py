"""A fake camera in its own process, which can be killed, stopped and restarted, and a host that appears to be down."""

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
    """A fake camera in its own process, for the duration of a `with` block.

    Args:
        arguments: options of `python -m tests.faults.fakecam`. Free ports are used unless ports are given.
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
        """Start the camera and wait until it accepts connections."""
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
            stdin=subprocess.PIPE,  # closes when this process dies in any way, which ends the camera
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        if not line.startswith("READY "):
            raise RuntimeError(f"the camera process did not start: got {line!r}, expected a line with READY")
        ready = json.loads(line.removeprefix("READY "))
        self.port, self.control_port = ready.pop("port"), ready.pop("control_port")
        self.clock = Clock(**ready)

    def url(self, userinfo: str = "", path: str = "/cam") -> str:
        return f"rtsp://{userinfo}127.0.0.1:{self.port}{path}"

    def command(self, line: str) -> dict[str, object]:
        """Send a command to `FakeCamera.command` and return its answer. A stopped process does not answer."""
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=5) as control:
            control.sendall(line.encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def kill(self) -> None:
        """Kill the process with SIGKILL and wait for its end. Do nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def stop(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, but no data comes."""
        self._process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Resume the process with SIGCONT: it sends everything that became due meanwhile in one burst."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill the process if it is running and start it on the same port. Its clock starts again at frame 0."""
        self.kill()
        self.start()


@contextlib.contextmanager
def backlog_full_listener() -> Iterator[int]:
    """Yield a port of a host that appears to be down: its backlog is full, so connection attempts get no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        # Linux queues one connection more than the backlog. The rest wait, as the clients under test will.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
