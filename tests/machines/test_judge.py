"""The judge of the machines finds what is wrong with a run."""

import json

import pytest

from .cell import FRAMES, PASSWORD, Result
from .judge import faults_of, summary
from .table import Ends, Machine

ORDINARY = Machine("an ordinary user")
FULL = Machine("full", ends={"file": Ends(1, "No space left"), "camera": Ends(loses=True)})
LOG = "12:00:00 info device: auto chose cpu"
WARNING = "12:00:01 warning record: can't write poses.jsonl: No space left on device"
ERROR = "realtime-pose: error: record: can't write poses.jsonl: No space left on device"


def lines(count):
    return "".join(json.dumps({"seq": number}) + "\n" for number in range(count))


def report(published):
    return json.dumps({"cameras": {"cam0": {"captured": published, "dropped": 0, "published": published}}})


def result(code=0, poses=FRAMES, recording=FRAMES, **keys):
    """A run of a file that went well."""
    fields = {"stderr": [LOG], "poses": [{}] * poses, "states": [{"state": "ended"}]}
    fields |= {"recording": None if recording is None else lines(recording), "report": report(poses)}
    return Result(code, **fields | keys)


def test_a_run_without_a_fault_passes():
    assert faults_of(result(), ORDINARY, "file") == []
    assert summary(result()) == "runs"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"code": None}, "did not end"),
        ({"code": 120}, "exit code 120, expected 0"),
        ({"stderr": [LOG, "Traceback (most recent call last):"]}, "Traceback"),
        ({"stderr": [LOG, "OpenBLAS: pthread_create failed"]}, "neither of the log nor an error"),
        ({"stderr": [LOG, ERROR]}, "1 error lines"),
        ({"stderr": [LOG, f"12:00:01 info cam0: rtsp://anna:{PASSWORD}@host"]}, "password"),
        ({"stderr": [LOG, "12:00:01 info yolov8n.pt: converting the network for OpenVINO"]}, "is not used"),
        ({"stdout": "Creating new settings file"}, "standard output"),
        ({"poses": 0}, "no pose"),
        ({"poses": FRAMES - 1}, f"expected {FRAMES}"),
        ({"states": [{"state": "live"}]}, "not 'ended'"),
        ({"recording": FRAMES - 1}, f"{FRAMES - 1} lines recorded"),
        ({"recording": None}, "no recording"),
        ({"report": None}, "report can't be read"),
        ({"report": report(FRAMES - 1)}, "the report says"),
        ({"left": ["/mnt/run/stream"]}, "left behind: /mnt/run/stream"),
        ({"open_to_all": ["compiled"]}, "other users can write compiled"),
    ],
)
def test_each_fault_is_found(keys, says):
    assert any(says in fault for fault in faults_of(result(**keys), ORDINARY, "file"))


def test_a_recording_that_is_cut_off_is_a_fault_whatever_the_exit_code():
    made = result(1, stderr=[LOG, ERROR])
    made.recording += '{"seq"'
    assert any("cut off" in fault for fault in faults_of(made, FULL, "file"))


def test_an_expected_error_is_exactly_one_line_that_says_why():
    assert faults_of(result(1, recording=3, stderr=[LOG, ERROR]), FULL, "file") == []
    assert summary(result(1)) == "exit 1, one line"
    for stderr in [LOG], [LOG, ERROR, ERROR], [LOG, "realtime-pose: error: something else"]:
        assert faults_of(result(1, recording=3, stderr=stderr), FULL, "file")


def test_a_live_run_must_count_what_its_recording_loses():
    lost = {"state": "ended", "recording": {"written": 12, "lost": 8, "error": "No space left on device"}}
    made = result(recording=12, stderr=[LOG, WARNING], states=[lost])
    assert faults_of(made, FULL, "camera") == []
    assert summary(made) == "runs; lost lines are counted"
    assert faults_of(result(recording=13, stderr=[LOG, WARNING], states=[lost]), FULL, "camera")
    assert faults_of(result(recording=12, stderr=[LOG], states=[lost]), FULL, "camera")
    assert faults_of(result(recording=12, stderr=[LOG, WARNING]), FULL, "camera")
