"""The fault cases of the whole program and of its stream (signals, subscribers, file descriptors): `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from realtime.client import PoseSubscriber

from .fakecam import CameraProcess, FakeCamera, backlog_full_listener
from .rig import Program, Subscriber

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

DEMO = "--source", "demo", "--realtime"


# Reads one message, prints "got", and keeps reading.
READER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.connect(sys.argv[1])
socket.recv()
print("got", flush=True)
while True:
    socket.recv()
"""


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fault", ["reading", "opening"])
def test_27_a_signal_ends_the_program_while_a_camera_hangs(number, fault, tmp_path, figure):
    @contextlib.contextmanager
    def frozen():
        with FakeCamera() as camera:
            yield camera.port, camera.freeze

    @contextlib.contextmanager
    def dead():
        with backlog_full_listener() as port:
            yield port, lambda: None

    with (frozen if fault == "reading" else dead)() as (port, freeze):
        with Program("--source", f"rtsp://127.0.0.1:{port}/cam", folder=tmp_path) as program:
            program.until(lambda: program.states(), what="a status")
            if fault == "reading":
                program.until_pose()
                freeze()
            program.run_for(1)
            code, took_s = program.end(number)
            program.subscriber.__exit__()
        figure("27", f"{number.name} while {fault} hangs: program exits after", took_s, "s", at_most=3)
        assert code == 0, program.log
        assert program.told[-1].body["state"] == "ended"
        assert not any("Traceback" in line for line in program.log)


def test_29_a_stopped_subscriber_does_not_disturb_the_others(tmp_path, figure):
    with Program(*DEMO, folder=tmp_path, keeps_bodies=False) as program:
        reader = subprocess.Popen([sys.executable, "-c", READER, program.endpoint], stdout=subprocess.PIPE, text=True)
        try:
            assert reader.stdout.readline() == "got\n"
            program.run_for(6)
            memory_mb, before = program.resident_mb(), program.fps(since_s=time.monotonic() - 4)
            reader.send_signal(signal.SIGSTOP)
            stopped_s = time.monotonic()
            program.run_for(60)
            gained_mb, rate = program.resident_mb() - memory_mb, 100 * program.fps(since_s=stopped_s) / before
            figure("29", "a stopped subscriber, 60 s: memory growth", gained_mb, "MB", at_most=10)
            figure("29", "a stopped subscriber, 60 s: another subscriber's rate", rate, "%", at_least=90)
            code, took_s = program.end()
            figure("29", "a stopped subscriber: program exits after", took_s, "s", at_most=3)
            assert code == 0
        finally:
            reader.kill()
            reader.wait()
            reader.stdout.close()


def test_30_our_client_continues_with_the_newest_pose_after_a_pause(tmp_path, figure):
    program = Program(*DEMO, folder=tmp_path, keeps_bodies=False)
    with program, PoseSubscriber(program.endpoint, timeout_s=30) as client:
        client.latest()
        time.sleep(10)  # it doesn't read
        ages_s = [client.latest()["cam0"].age_s() for _ in range(20)]
    figure("30", "our client, 10 s without reading: age of the first pose afterwards", ages_s[0], "s", at_most=0.5)
    figure("30", "our client, 10 s without reading: highest age of the next 19", max(ages_s[1:]), "s", at_most=0.5)


def test_31_a_subscriber_keeps_receiving_after_the_program_restarts(tmp_path, figure, port):
    endpoint = f"tcp://127.0.0.1:{port}"
    with Subscriber(endpoint) as subscriber:
        sessions = []
        for _ in range(2):
            with Program(*DEMO, folder=tmp_path, endpoint=endpoint) as program:
                program.subscriber, own = subscriber, program.subscriber
                program.until_logged("opened demo")  # the models load after the port is bound and before this line
                opened_s = time.monotonic()
                pose = program.until_pose(since_s=opened_s)
                sessions.append(pose.body["session"])
                program.end()
                program.subscriber = own
        figure("31", "program restarted: first pose after the source is open", pose.at_s - opened_s, "s", at_most=1)
    assert sessions[0] != sessions[1]


def test_32_and_33_garbage_and_silent_connections_are_dropped(tmp_path, figure, port):
    greeting = bytes([0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0]) + b"NULL".ljust(20, b"\0")
    words = [b"\x00garbage" * 50] * 300 + [greeting + os.urandom(80)] * 200 + [b"GET / HTTP/1.0\r\n\r\n"] * 50
    with Program(*DEMO, folder=tmp_path, endpoint=f"tcp://127.0.0.1:{port}") as program:
        program.until_pose()
        program.run_for(3)
        files, before = program.descriptors(), program.poses()[-1].body["seq"]
        for word in words:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
                stranger.sendall(word)
        half_open = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(500)]
        opened_s = time.monotonic()
        took_s = program.until(lambda: program.descriptors() <= files, 20, "the connections to be dropped") - opened_s
        figure("33", "500 silent connections: all dropped after", took_s, "s", at_most=7)  # 5 s to shake hands
        for stranger in half_open:
            stranger.close()
        program.run_for(1)
        seqs = [told.body["seq"] for told in program.poses() if told.body["seq"] > before]
        lost = 100 * (1 - len(seqs) / (seqs[-1] - before))
        figure("32", "550 garbage connections: messages lost by a subscriber", lost, "%", at_most=5)
        figure("32", "550 garbage connections: additional open files", program.descriptors() - files, "", at_most=0)
        assert program.end()[0] == 0


def test_34_a_flood_of_subscriptions_does_not_slow_other_subscribers(tmp_path, figure):
    """Without CURVE keys, any peer that can reach the port can do this; by default, only loopback peers can."""
    with Program(*DEMO, folder=tmp_path) as program, zmq.Context() as context, context.socket(zmq.SUB) as flooder:
        program.until_pose()
        program.run_for(4)
        before, memory_mb = program.fps(since_s=time.monotonic() - 3), program.resident_mb()
        flooder.linger = 0
        flooder.connect(program.endpoint)
        flood_s = time.monotonic()
        for number in range(100_000):
            flooder.subscribe(f"topic{number}".encode())
        program.run_for(max(2.0, 6 - (time.monotonic() - flood_s)))
        rate, gained_mb = 100 * program.fps(since_s=flood_s) / before, program.resident_mb() - memory_mb
        figure("34", "100 000 subscriptions by one peer: another subscriber's rate", rate, "%", at_least=80)
        figure("34", "100 000 subscriptions by one peer: memory growth", gained_mb, "MB", at_most=60)
        assert program.end()[0] == 0


def test_35_running_out_of_file_descriptors_delays_only_the_camera_that_reconnects(tmp_path, figure):
    quick = "--fps=10", "--key-every=5"
    with CameraProcess(*quick) as well, CameraProcess(*quick) as ill:
        sources = "--source", f"well={well.url()}", "--source", f"ill={ill.url()}"
        with Program(*sources, folder=tmp_path) as program:
            for camera in ("well", "ill"):
                program.until_pose(camera)
            program.run_for(5)
            before = program.fps("well", since_s=time.monotonic() - 4)
            ill.kill()
            program.until_state("reconnecting", "ill")
            process = program.process.pid
            limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
            used = {int(file.name) for file in Path(f"/proc/{process}/fd").iterdir()}
            lowest_free = min(set(range(9999)) - used)
            resource.prlimit(process, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            ill.start()
            since_s = time.monotonic()
            program.run_for(6)
            rate = 100 * program.fps("well", since_s) / before
            resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
            freed_s = time.monotonic()
            assert not program.poses("ill", since_s=since_s)
            figure("35", "no file descriptor left: another camera's rate", rate, "%", at_least=95, at_most=105)
            back = program.until_pose("ill", since_s=freed_s, timeout_s=20)
            figure("35", "file descriptors free again: first pose after", back.at_s - freed_s, "s", at_most=7.5)
            assert program.end()[0] == 0
            assert not any("Traceback" in line for line in program.log)
