"""The whole process, over real sockets."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.wire.publisher import ROOT, WAIT_S

# A pipeline that does not exist: nothing listens on the discard port.
NO_PIPELINE = ["--connect", "tcp://127.0.0.1:9"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Dashboard:
    """A running dashboard."""

    def __init__(self, *arguments, **options):
        self.port = free_port()
        command = [sys.executable, "-m", "realtime.dashboard", *NO_PIPELINE, "--bind", str(self.port), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)
        self.first_line = self.process.stderr.readline()

    def get(self, path="/healthz", **headers):
        request = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        request.request("GET", path, headers=headers)
        return request.getresponse()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, rest


@pytest.fixture
def run():
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            dashboard = Dashboard(*arguments, **options)
            stack.callback(dashboard.process.wait)
            stack.callback(dashboard.process.kill)
            return dashboard

        yield start


def test_a_signal_ends_it_with_a_page_open_and_the_address_is_free_again(run):
    dashboard = run()
    assert f"info the page is at http://127.0.0.1:{dashboard.port}/" in dashboard.first_line
    with connect(f"ws://127.0.0.1:{dashboard.port}/ws") as page:
        assert '"type":"hello"' in page.recv()
        with socket.create_connection(("127.0.0.1", dashboard.port)):
            code, log = dashboard.end(signal.SIGINT)
    assert (code, log) == (0, "")
    with socket.create_server(("127.0.0.1", dashboard.port)):
        pass


def test_a_busy_address_is_told_in_one_line_with_exit_code_2():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "realtime.dashboard", "--bind", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 2
    why = "already in use by another program: choose another port"
    assert result.stderr == f"error: bind: can't bind 127.0.0.1:{port}: {why}\n"


def test_an_inherited_socket_is_served_until_standard_input_ends(run):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        dashboard = run(
            "--listen-fd",
            str(number),
            "--until-eof",
            "--log-format",
            "json",
            "--log-level",
            "debug",
            pass_fds=[number],
            stdin=subprocess.PIPE,
        )
        dashboard.port = listener.getsockname()[1]
        assert f'"message": "the page is at http://127.0.0.1:{dashboard.port}/' in dashboard.first_line
        assert dashboard.get("/").status == 200
        dashboard.process.stdin.close()
        assert dashboard.process.wait(WAIT_S) == 0


def test_a_thousand_silent_connections_keep_no_viewer_out(run):
    dashboard = run()
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", dashboard.port)))
            silent.send(b"GET / HT")
        with connect(f"ws://127.0.0.1:{dashboard.port}/ws") as page:
            assert '"type":"hello"' in page.recv()
        assert dashboard.get("/").status == 200
        assert len(list(Path(f"/proc/{dashboard.process.pid}/fd").iterdir())) < 400
    assert dashboard.end()[0] == 0


def test_few_descriptors_are_enough_and_do_not_make_it_spin(run):
    limits = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90)); "
    limits += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    port = free_port()
    command = [sys.executable, "-c", limits, "-m", "realtime.dashboard", *NO_PIPELINE, "--bind", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "connections, because ulimit -n is 90" in process.stderr.readline()
            process.stderr.readline()
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                request = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
                request.request("GET", "/")
                assert request.getresponse().status == 200
        finally:
            process.terminate()
            process.communicate(timeout=WAIT_S)
        assert process.returncode == 0


def test_a_page_that_pings_and_never_reads_takes_bounded_memory(run):
    dashboard = run()
    with socket.create_connection(("127.0.0.1", dashboard.port)) as page:
        page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert page.recv(12) == b"HTTP/1.1 101"
        ping = b"\x89\xfd" + bytes(4) + bytes(125)
        before = rss_kb(dashboard)
        end_s = time.monotonic() + WAIT_S
        with contextlib.suppress(ConnectionError):  # it may be cut off
            for _ in range(30):
                page.sendall(ping * 8000)  # a megabyte
                assert time.monotonic() < end_s
        assert rss_kb(dashboard) - before < 15_000
    assert dashboard.end()[0] == 0


def rss_kb(dashboard):
    status = Path(f"/proc/{dashboard.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
