"""On SIGHUP the program reads its configuration files again and applies their cameras."""

import json
import os
import pty
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime.config import AppConfig, load
from realtime.pipeline import Pipeline
from realtime.runtime.epochs import PerEpoch
from tests.faults.fakecam import FakeCamera
from tests.faults.rig import QUICK, ROOT, Program, Subscriber, Told, Waiting
from tests.pose.checkpoints import save_checkpoint


def write(file: Path, *cameras: dict[str, object], **keys: object) -> None:
    file.write_text(yaml.safe_dump({"realtime": True, "cameras": list(cameras)} | keys))


def ids(poses: list[Told]) -> set[int]:
    return {track_id for told in poses for track_id in told.body["track_ids"]}


def test_cameras_follow_the_file_and_mistakes_in_it_do_no_harm(tmp_path: Path, yolov8n: Path) -> None:
    demo = {"name": "a", "source": "demo"}
    file, report = tmp_path / "cameras.yaml", tmp_path / "report.json"
    write(file, demo)
    arguments = "--config", str(file), "--report", str(report)
    with FakeCamera(("admin", "s3cr3t-pw")) as camera, Program(*arguments, folder=tmp_path) as run:
        run.until_pose("a")

        write(file, demo, {"name": "b", "source": camera.url("admin:s3cr3t-pw@")}, smoothing={"method": "none"})
        run.process.send_signal(signal.SIGHUP)
        run.until_logged("reload: smoothing.method: also changed, but takes effect only after a restart")
        run.until_logged("reload: added b; 1 unchanged")
        run.until_pose("b")

        nul, bomb = 'cameras: [{name: a, source: "a\\0b"}]', "a: &a [x]\nb: &b [*a, *a]\ncameras: *b"
        for mistake in ("cameras: [", "cameras: []", "camera: 3", "[" * 3000, nul, bomb, "max_frames: 2026-99-99"):
            file.write_text(mistake)
            told = len(run.log)
            run.process.send_signal(signal.SIGHUP)
            run.until(lambda told=told: any("error reload: " in line for line in run.log[told:]), what=mistake)
            assert "nothing was changed" in next(line for line in run.log[told:] if "error reload: " in line)

        write(file, demo, {"name": "b", "source": camera.url("admin:wr0ng-pw@")})
        run.process.send_signal(signal.SIGHUP)
        run.until_logged("login failed")
        run.until_state("reconnecting", "b")
        write(file, demo, {"name": "c", "source": "long" * 100 + ".mp4"})
        run.process.send_signal(signal.SIGHUP)
        run.until_state("ended", "b")
        run.until_state("failed", "c")
        run.until_pose("a", since_s=time.monotonic() + 0.5)
        assert run.end()[0] == 0
        run.until_state("ended", "a")
    assert run.states("b")[-1].body["reason"] == "removed"
    for name in "ab":
        assert [told.body["seq"] for told in run.poses(name)] == list(range(len(run.poses(name))))
    assert {told.topic for told in run.told if told.topic.endswith("/c")} == {"info/c", "status/c"}
    assert sorted(json.loads(report.read_text())["cameras"]) == ["a", "b", "c"]
    everything = "".join(run.log) + str(run.told) + report.read_text()
    assert "s3cr3t" not in everything
    assert "wr0ng" not in everything
    assert "Traceback" not in everything


def states_of(part: object, depth: int = 3) -> list[PerEpoch[Any]]:
    """The states that a stage, or an object of it, holds.

    Not found with gc.get_objects: in CPython, that can break a tuple that another thread is building (gh-59313).
    """
    if type(part) is PerEpoch:
        return [part]
    if depth == 0 or not type(part).__module__.startswith("realtime.") or not hasattr(part, "__dict__"):
        return []
    return [state for each in vars(part).values() for state in states_of(each, depth - 1)]


def test_a_removed_camera_is_forgotten_and_its_name_gets_new_ids_when_added_again(
    tmp_path: Path, yolov8n: Path
) -> None:
    endpoint = f"ipc://{tmp_path}/stream"
    keys = QUICK | {"pose.model": str(save_checkpoint(tmp_path / "vitpose")), "detector.size": "320"}
    keys |= {"publish.bind": [endpoint], "publish.wait_for_subscribers": 1, "realtime": "true", "loop": "true"}

    def configuration(*names: str) -> AppConfig:
        return load(environment={}, flags=keys | {"cameras": [{"name": name, "source": "demo"} for name in names]})

    configurations = [configuration("stays", "leaves")]
    pipeline = Pipeline(configurations[0], lambda: configurations[-1])
    thread = threading.Thread(target=pipeline.run)
    run = Waiting()
    with Subscriber(endpoint) as run.subscriber:
        thread.start()
        try:
            run.until(lambda: ids(run.poses("leaves")), what="people in the camera")
            states = [each for stage in pipeline._chain for each in states_of(stage) if each.get("leaves") is not None]
            assert len(states) == 5  # in detect, track, pose, relink and smooth

            configurations.append(configuration("stays"))
            pipeline.reload()
            removed_s = run.until_state("ended", "leaves").at_s
            run.until(lambda: all(each.get("leaves") is None for each in states), what="the camera to be forgotten")
            run.until(lambda: all(each.get("stays") is not None for each in states), what="people in the other camera")

            configurations.append(configuration("stays", "leaves"))
            pipeline.reload()
            run.until(lambda: ids(run.poses("leaves", removed_s)), what="people in the added camera")
        finally:
            pipeline.stop()
            thread.join(30)
    before = [told for told in run.poses("leaves") if told.at_s < removed_s]
    after = run.poses("leaves", removed_s)
    assert ids(before)
    assert min(ids(after)) > max(ids(before))
    assert [told.body["seq"] for told in before + after] == list(range(len(before + after)))
    statuses = [told.body for told in run.states("leaves") if told.at_s <= removed_s]
    assert {i for status in statuses for i in status["tracks_started"]} == ids(before)
    assert {i for status in statuses for i in status["tracks_ended"]} == ids(before)


def test_a_reload_requested_while_models_load_is_carried_out(tmp_path: Path, yolov8n: Path) -> None:
    file = tmp_path / "cameras.yaml"
    write(file, {"name": "a", "source": "demo"})
    with Program("--config", str(file), folder=tmp_path) as run:
        run.until_logged("publishing on")  # the port is bound before models are loaded
        write(file, {"name": "b", "source": "demo"})
        run.process.send_signal(signal.SIGHUP)
        run.until_pose("b")
        assert run.end()[0] == 0
    assert any("reload: added b; removed a; 0 unchanged" in line for line in run.log)


@pytest.mark.parametrize("with_file", [True, False])
def test_a_closed_terminal_ends_the_program(tmp_path: Path, yolov8n: Path, with_file: bool) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: [{name: a, source: demo}]")
    report = tmp_path / "report.json"
    command = [sys.executable, "run_realtime.py", "--realtime", "--detector.size", "160", "--pose.model", "none"]
    command += ["--publish.bind", f"ipc://{tmp_path}/stream", "--report", str(report)]
    command += ["--config", str(file)] if with_file else ["--source", "demo"]
    child, master = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which ignores it
        os.chdir(ROOT)
        os.execv(sys.executable, command)
    seen = b""
    while b"opened demo" not in seen:
        seen += os.read(master, 4096)
    os.close(master)  # the terminal is gone: the system sends SIGHUP
    end_s = time.monotonic() + 30
    while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end_s:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the program runs on without its terminal")
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert json.loads(report.read_text())["cameras"]


def test_a_configuration_that_can_not_be_read_delays_neither_the_cameras_nor_the_end(
    tmp_path: Path, yolov8n: Path
) -> None:
    file = tmp_path / "cameras.yaml"
    write(file, {"name": "a", "source": "demo"})
    with Program("--config", str(file), folder=tmp_path) as run:
        run.until_pose("a")
        file.unlink()
        os.mkfifo(file)  # nothing ever writes to it
        run.process.send_signal(signal.SIGHUP)
        run.until_pose("a", since_s=time.monotonic() + 0.5)
        run.process.send_signal(signal.SIGHUP)
        run.until_logged("reload: the configuration files are still being read; they will be read again")
        assert run.end()[0] == 0
