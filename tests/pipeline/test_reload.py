"""SIGHUP: the program reads its configuration files again and takes the cameras that they hold by now."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import msgpack
import pytest
import yaml
import zmq

from tests.faults.fakecam import FakeCamera

ROOT = Path(__file__).parents[2]


class Program:
    """The program in a process of its own, its log and what a subscriber gets from it."""

    def __init__(self, tmp_path: Path, cameras: list[dict[str, object]], **keys: object) -> None:
        self.file, self.report = tmp_path / "cameras.yaml", tmp_path / "report.json"
        self.endpoint = f"ipc://{tmp_path}/stream"
        self.keys = {"realtime": True, "detector": {"size": 320}, "pose": {"model": "none"}} | keys
        self.write(cameras)
        command = [sys.executable, "run_realtime.py", "--config", str(self.file), "--report", str(self.report)]
        command += ["--publish.bind", self.endpoint]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self.got: dict[str, list[dict[str, object]]] = defaultdict(list)
        self._stop = threading.Event()
        for work in (self._read_log, self._subscribe):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self.process.kill()

    def write(self, cameras: list[dict[str, object]], **keys: object) -> None:
        self.file.write_text(yaml.safe_dump(self.keys | keys | {"cameras": cameras}))

    def reload(self, cameras: list[dict[str, object]], **keys: object) -> None:
        self.write(cameras, **keys)
        self.process.send_signal(signal.SIGHUP)

    def until_logged(self, text: str) -> None:
        self.until(lambda: any(text in line for line in self.log), text)

    def until_more(self, topic: str, more: int = 3) -> None:
        target = len(self.got[topic]) + more
        self.until(lambda: len(self.got[topic]) >= target, topic)

    def until_state(self, camera: str, state: str) -> None:
        self.until(lambda: bool(s := self.got[f"status/{camera}"]) and s[-1]["state"] == state, f"{camera} {state}")

    def until(self, condition, what: str) -> None:  # type: ignore[no-untyped-def]
        end_s = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end_s, f"{what}\n{''.join(self.log)}"
            time.sleep(0.02)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line)

    def _subscribe(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.linger, socket.rcvtimeo = 0, 100
            socket.subscribe(b"")
            socket.connect(self.endpoint)
            while not self._stop.is_set():
                try:
                    topic, payload = socket.recv_multipart()
                except zmq.Again:
                    continue
                self.got[topic.decode().rstrip("/")].append(msgpack.unpackb(payload))


def test_cameras_come_and_go_with_the_file_and_nothing_wrong_in_it_does_harm(tmp_path: Path, yolov8n: Path) -> None:
    demo = {"name": "a", "source": "demo"}
    with FakeCamera(("admin", "s3cr3t-pw")) as camera, Program(tmp_path, [demo]) as run:
        address = f"rtsp://admin:s3cr3t-pw@127.0.0.1:{camera.port}/cam"
        run.until_more("pose/a")

        run.reload([demo, {"name": "b", "source": address}], detector={"size": 640})
        run.until_logged("reload: detector.size: changed too, but only a new start takes that")
        run.until_logged("reload: added b; 1 unchanged")
        run.until_more("pose/b")

        for mistake in ("cameras: [", "cameras: []", "camera: 3"):
            run.file.write_text(mistake)
            told = len(run.log)
            run.process.send_signal(signal.SIGHUP)
            run.until(lambda told=told: len(run.log) > told, mistake)
            assert "error reload: " in run.log[-1]
            assert "nothing is changed" in run.log[-1]

        run.reload([demo, {"name": "b", "source": f"rtsp://admin:wr0ng-pw@127.0.0.1:{camera.port}/cam"}])
        run.until_logged("login failed")
        run.until_state("b", "reconnecting")
        run.reload([demo, {"name": "c", "source": str(tmp_path / "none.mp4")}])
        run.until_state("b", "ended")
        run.until_state("c", "failed")
        run.until_more("pose/a")
        assert run.end() == 0
    assert run.got["status/b"][-1]["reason"] == "removed"
    assert [m["seq"] for m in run.got["pose/b"]] == list(range(len(run.got["pose/b"])))
    last_of = {camera: [topic for topic in run.got if topic.endswith(f"/{camera}")] for camera in "abc"}
    assert sorted(last_of["c"]) == ["info/c", "status/c"]
    report = json.loads(run.report.read_text())
    assert sorted(report["cameras"]) == ["a", "b", "c"]
    everything = "".join(run.log) + str(dict(run.got)) + run.report.read_text()
    assert "s3cr3t" not in everything
    assert "wr0ng" not in everything
    assert "Traceback" not in everything


def test_a_reload_that_comes_while_models_load_is_kept(tmp_path: Path, yolov8n: Path) -> None:
    with Program(tmp_path, [{"name": "a", "source": "demo"}]) as run:
        run.until_logged("publishing on")  # the port is bound first, then models are loaded
        run.reload([{"name": "b", "source": "demo"}])
        run.until_more("pose/b")
        assert run.end() == 0
    assert any("reload: added b; removed a; 0 unchanged" in line for line in run.log)


@pytest.mark.parametrize("with_file", [True, False])
def test_a_closed_terminal_ends_the_program(tmp_path: Path, yolov8n: Path, with_file: bool) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: [{name: a, source: demo}]")
    report = tmp_path / "report.json"
    command = [sys.executable, "run_realtime.py", "--realtime", "--detector.size", "320", "--pose.model", "none"]
    command += ["--publish.bind", f"ipc://{tmp_path}/stream", "--report", str(report)]
    command += ["--config", str(file)] if with_file else ["--source", "demo"]
    child, master = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, command)
    seen = b""
    while b"opened demo" not in seen:
        seen += os.read(master, 4096)
    os.close(master)  # the terminal is gone: the system sends SIGHUP
    end_s = time.monotonic() + 30
    while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
        assert time.monotonic() < end_s, "it runs on without anybody there"
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert json.loads(report.read_text())["cameras"]
