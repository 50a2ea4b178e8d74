"""The examples that read a stream: what they draw and write, and what they say if something is wrong."""

import csv
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from realtime.client import Pose, PoseSubscriber
from tests.examples.loading import EXAMPLES, load
from tests.wire.publisher import WAIT_S, info, pose, status

READERS = ["alert", "draw_pictures", "draw_stream", "left_wrist", "print_stream"]


class Stream:
    """A stream that ends after some messages, as that of a file does."""

    def __init__(self, *messages, names=("nose", "left_wrist"), has_status=True):
        self.messages, self.names, self.has_status = messages, dict.fromkeys(("cam0", "cam1"), names), has_status

    def statuses(self, timeout_s):
        return [status()] if self.has_status else []

    def why(self):
        return "connected, but nothing was sent yet"

    def info(self, camera, timeout_s=None):
        return SimpleNamespace(keypoint_names=list(self.names[camera]), edges=[])

    def __iter__(self):
        return iter([Pose.of(message) for message in self.messages])


def people(keypoints, camera="cam0", seq=0, **changes):
    """A pose message with these keypoints of each person: x, y, score."""
    array = np.float32(keypoints)
    return pose(camera, seq, n=len(array), keypoints=array[..., :2], keypoint_scores=array[..., 2], **changes)


def options(**changes):
    return SimpleNamespace(**{"connect": "tcp://a:1", "camera": "cam0", "save": None, "count": None} | changes)


# ---- draw_stream.py --save


def test_the_first_message_with_people_is_saved(tmp_path):
    saved = str(tmp_path / "people.png")
    person = pose(seq=2, n=1, size=(64, 48), boxes=np.float32([[10, 10, 30, 40]]))
    stream = Stream(pose(n=0), pose(seq=1, n=0), person, pose(seq=3, n=0, size=(99, 99)))
    assert load("draw_stream").draw(stream, options(save=saved)) is None
    picture = cv2.imread(saved)
    assert picture.shape == (48, 64, 3)
    assert len({tuple(colour) for colour in picture.reshape(-1, 3)}) > 1


def test_people_of_a_real_stream_are_drawn(publisher, tmp_path, monkeypatch):
    saved, module = tmp_path / "people.png", load("draw_stream")
    monkeypatch.setattr(sys, "argv", ["draw_stream.py", "--connect", publisher.endpoint, "--save", str(saved)])
    with ThreadPoolExecutor(1) as pool:
        example = pool.submit(module.main)
        publisher.wait_for(b"pose/cam0/")
        publisher.send(info())
        publisher.send(pose())
        assert example.result(WAIT_S) is None
    assert cv2.imread(str(saved)).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("count", "error"),
    [(None, "no people in 3 messages: {} is not written"), (2, "no people in 2 messages: {} is not written")],
)
def test_a_stream_without_people_is_said_and_nothing_is_written(count, error, tmp_path):
    saved = tmp_path / "people.png"
    stream = Stream(*(pose(seq=seq, n=0) for seq in range(3)))
    assert load("draw_stream").draw(stream, options(save=str(saved), count=count)) == error.format(saved)
    assert not saved.exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    saved = str(tmp_path / "missing" / "people.png")
    assert load("draw_stream").draw(Stream(pose()), options(save=saved)) == f"--save: can't write {saved}"


# ---- left_wrist.py


def test_the_wrists_are_found_by_name_in_each_camera_s_skeleton(capsys):
    first = people([[[1, 2, 0.1], [3, 4, 0.2]], [[5, 6, 0.3], [7, 8, 0.4]]], captured_ns=10**18, media_s=0.25)
    second = people([[[1, 2, 0.5], [3, 4, 0.6]]], "cam1", captured_ns=2, media_s=None)
    stream = Stream(pose(n=0), first, second)
    stream.names["cam1"] = ("left_wrist", "nose")
    assert load("left_wrist").write(stream, options(keypoint="left_wrist")) is None
    assert list(csv.reader(capsys.readouterr().out.splitlines())) == [
        ["captured_ns", "media_s", "camera", "track_id", "x", "y", "score"],
        ["1000000000000000000", "0.25", "cam0", "1", "3.00", "4.00", "0.200"],
        ["1000000000000000000", "0.25", "cam0", "2", "7.00", "8.00", "0.400"],
        ["2", "", "cam1", "1", "1.00", "2.00", "0.500"],
    ]


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (Stream(pose(), names=["nose"]), "'cam0' has no keypoint 'left_wrist', only these: ['nose']"),
        (Stream(pose(n=0), names=[]), "'cam0' has no keypoint 'left_wrist', only these: []"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(stream, error):
    assert load("left_wrist").write(stream, options(keypoint="left_wrist")) == error


def test_it_waits_for_a_publisher_that_loads_its_models(capsys):
    assert load("left_wrist").write(Stream(has_status=False), options(keypoint="left_wrist")) is None
    assert capsys.readouterr().err == "tcp://a:1: connected, but nothing was sent yet; still waiting\n"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["left_wrist.py", "--keypoint", "nose"], [rb"captured_ns,.*", rb".*,cam0,1,1\.00,2\.00,0\.250"]),
        (["print_stream.py"], [rb"cam0 \[1\] \(1, 1, 3\)"]),
    ],
    ids=["left_wrist", "print_stream"],
)
def test_it_ends_quietly_when_its_reader_does(publisher, words, lines):
    command = [sys.executable, str(EXAMPLES / words[0]), *words[1:], "--connect", publisher.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as example:
        publisher.wait_for(b"pose/")
        publisher.send(status())
        publisher.send(info())
        publisher.send(people([[[1, 2, 0.25]]]))
        for line in lines:
            assert re.fullmatch(line, example.stdout.readline().strip())
        example.stdout.close()
        publisher.send(people([[[1, 2, 0.25]]], seq=1))
        assert example.wait(WAIT_S) == 0
        assert example.stderr.read() == b""


# ---- all of them


def ended(name, flags, monkeypatch, capsys):
    """Run an example that fails. Return its exit code and its only line, or the last one, after its usage."""
    module = load(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *flags])
    with pytest.raises(SystemExit) as ended:
        sys.exit(module.main())
    code = ended.value.code
    return (1, code) if isinstance(code, str) else (code, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--connect", "tcp://127.0.0.1"], "connect: got 'tcp://127.0.0.1', expected tcp://HOST:PORT"),
        (["--curve-secret", "mine"], "got only one of curve_secret and curve_server, expected both or neither"),
        (["--curve-secret", "mine", "--curve-server", "theirs"], "mine"),
    ],
)
def test_a_wrong_address_or_key_is_one_line(name, flags, error, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, line = ended(name, [*flags, *(["--save", "a.png"] if "draw" in name else [])], monkeypatch, capsys)
    assert code == (2 if name == "alert" else 1)
    assert error in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ["draw_pictures", "draw_stream"])
def test_a_publisher_or_camera_that_is_not_there_is_one_line(name, monkeypatch, capsys):
    real = PoseSubscriber.info
    monkeypatch.setattr(PoseSubscriber, "info", lambda self, camera, timeout_s: real(self, camera, 0.0))
    code, line = ended(name, ["--connect", "tcp://127.0.0.1:1", "--save", "a.png"], monkeypatch, capsys)
    assert code == 1
    assert line.startswith("no info about camera 'cam0' from tcp://127.0.0.1:1 for 0 s: ")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["draw_pictures", "draw_stream"])
@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ([], "no window can be opened: there is no display; use --save FILE"),
        (["--save", "people"], "--save: got people, expected the name of an image file, such as people.png"),
    ],
)
def test_without_a_display_or_a_kind_of_image_one_line_says_what_to_do(name, flags, error, monkeypatch, capsys):
    monkeypatch.setattr("realtime.publish.window.why_no_window", lambda: "there is no display")
    assert ended(name, flags, monkeypatch, capsys) == (1, error)
