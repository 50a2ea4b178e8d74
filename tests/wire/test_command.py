import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import pytest

from realtime import client, wire
from realtime.client import PoseSubscriber, main
from realtime.wire import command
from realtime.wire.command import _told
from tests.wire.publisher import ROOT, WAIT_S, info, pose, status


def start(*arguments):
    words = [sys.executable, "-m", "realtime.client", *arguments]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_json_prints_the_json_form_and_stops_after_count_lines(publisher):
    program = start("--connect", publisher.endpoint, "--json", "--count", "2", "--timeout", str(WAIT_S))
    publisher.wait_for(b"pose/")
    sent = [pose(seq=seq) for seq in range(4)]
    for message in sent:
        publisher.send(message)
    out, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [json.loads(wire.encode(m, "json")) for m in sent[:2]]


def test_without_json_it_prints_readable_lines(publisher):
    program = start("--connect", publisher.endpoint, "--camera", "cam0", "--count", "2")
    publisher.wait_for(b"pose/cam0/")
    publisher.send(pose(seq=4))
    publisher.send(pose(seq=5, n=0))
    out, _ = program.communicate(timeout=WAIT_S)
    first, second = out.splitlines()
    assert re.fullmatch(r"cam0 frame 4: id 1 \(0\.50\), id 2 \(0\.50\), -?\d+ ms old", first)
    assert re.fullmatch(r"cam0 frame 5: no people, -?\d+ ms old", second)


def test_status_prints_the_state_and_counters_of_the_cameras(publisher):
    for mode in ([], ["--json"]):
        program = start("--connect", publisher.endpoint, "--status", "--count", "1", *mode)
        publisher.wait_for(b"pose/")
        publisher.topics.clear()
        publisher.send(pose())
        recording = {"written": 1, "lost": 7, "error": "No space left on device"}
        publisher.send(status(state="failed", reason="login failed", recording=recording))
        out, errors = program.communicate(timeout=WAIT_S)
        assert (program.returncode, errors) == (0, "")
        if mode:
            assert json.loads(out)["reason"] == "login failed"
        else:
            counts = "3 captured, 1 dropped, 2 published, recording: 7 lines lost (No space left on device)"
            assert out == f"cam0 failed (login failed): 10.0 fps, {counts}\n"


def test_once_prints_a_line_for_each_camera_with_those_in_trouble_first(publisher, monkeypatch, capfd):
    monkeypatch.setattr(command, "ROUND_S", 0.0)
    said = [
        status(camera="b"),
        status(camera="a"),
        status(camera="c", state="reconnecting"),
        status(camera="a", fps=3.0),
    ]
    newest = list(command._newest_of_each(iter(said[:1])))
    assert newest == said[:1]
    monkeypatch.setattr(command, "ROUND_S", 60.0)
    newest = [(each.camera, each.fps) for each in command._newest_of_each(iter(said))]
    assert newest == [("c", 10.0), ("a", 3.0), ("b", 10.0)]
    with pytest.raises(SystemExit) as ended:
        command.main(["--once"])
    assert (ended.value.code, "--once: expected --status too" in capfd.readouterr().err) == (2, True)


def test_frames_that_an_empty_camera_left_out_are_told_apart_from_dropped_ones():
    empty = status(
        state="live", activity="empty", captured=90, dropped=80, published=10, drops={"idle": 78, "too old": 2}
    )
    counts = "90 captured, 2 dropped and 78 left out while empty, 10 published"
    assert _told(empty) == f"cam0 live, empty: 10.0 fps, {counts}"


@pytest.mark.parametrize(
    ("ago_s", "told"),
    [
        (None, "cam0 failed: "),  # an older publisher doesn't tell
        (0, "cam0 failed for 0 s: "),
        (-60, "cam0 failed for 0 s: "),  # the publisher's clock is ahead
        (59, "cam0 failed for 59 s: "),
        (200, "cam0 failed for 3 min 20 s: "),
        (3600, "cam0 failed for 1 h 0 min: "),
        (90_000, "cam0 failed for 1 d 1 h: "),
        (-(2**62), "cam0 failed for 0 s: "),  # a stranger may send any number
        (2**62, "d "),
    ],
)
def test_status_says_how_long_the_state_has_lasted(monkeypatch, ago_s, told):
    now_s = 1_764_374_400
    monkeypatch.setattr("realtime.wire.command.time.time_ns", lambda: now_s * 10**9)
    since_ns = None if ago_s is None else now_s * 10**9 - int(ago_s * 10**9 if abs(ago_s) < 2**60 else ago_s)
    assert told in _told(status(state="failed", since_ns=since_ns))


FORGED = "cam0\nforged \x1b[31m\x9b\u2028\u202e"
SEEN = r"cam0\nforged \x1b[31m\x9b\u2028\u202e"


@pytest.mark.parametrize(
    ("mode", "message", "printed"),
    [
        ([], pose(camera=FORGED, n=0), f"{SEEN} frame "),
        (["--status"], status(camera="a", reason=FORGED), f"a live ({SEEN})"),
        (["--topics"], pose(camera=FORGED), f"pose/{SEEN}/\n"),
        (["--json"], pose(camera=FORGED), json.dumps(FORGED)),
        (["--json", "--status"], status(reason=FORGED), json.dumps(FORGED)),
        (["--json"], pose(camera="Tür"), "Tür"),  # letters stay
    ],
)
def test_what_a_strange_publisher_says_stays_on_one_line(publisher, capfdbinary, mode, message, printed):
    topic = b"" if "--topics" in mode else b"pose/"
    sender = threading.Thread(target=lambda: (publisher.wait_for(topic), publisher.send(message)))
    sender.start()
    assert main(["--connect", publisher.endpoint, "--count", "1", "--timeout", str(WAIT_S), *mode]) == 0
    sender.join()
    out = capfdbinary.readouterr().out.decode()
    assert printed in out
    assert out.removesuffix("\n").isprintable()


def test_an_error_about_what_a_strange_publisher_says_is_one_line(capfd, monkeypatch):
    def fail(*given):
        raise wire.WireError(f"topic: got {FORGED}")

    monkeypatch.setattr("realtime.wire.command._messages", fail)
    assert main([]) == 1
    assert capfd.readouterr().err == f"topic: got {SEEN}\n"
    with pytest.raises(SystemExit):
        main([f"--{FORGED}"])
    assert capfd.readouterr().err.endswith(f"error: unrecognized arguments: --{SEEN}\n")


@pytest.mark.parametrize("seconds", ["nan", "-1", "1e30", "soon"])
def test_an_invalid_timeout_is_rejected(seconds, capfd):
    with pytest.raises(SystemExit) as left:
        main(["--timeout", seconds])
    assert left.value.code == 2
    assert f"got '{seconds}', expected seconds" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_prints_one_line_and_exits_with_1(publisher):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        program = subprocess.Popen(
            [sys.executable, "-m", "realtime.client", "--connect", publisher.endpoint], cwd=ROOT, stdout=full,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    _, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (1, "standard output can't be written: No space left on device\n")


def test_topics_prints_each_topic_once(publisher):
    program = start("--connect", publisher.endpoint, "--topics", "--count", "2")
    publisher.wait_for(b"")
    for message in (pose(seq=0), pose(seq=1), info()):
        publisher.send(message)
    out, _ = program.communicate(timeout=WAIT_S)
    assert out.splitlines() == ["pose/cam0/", "info/cam0/"]


@pytest.mark.parametrize("mode", ["--json", "--topics"])
def test_a_timeout_prints_one_line_and_exits_with_1(publisher, capfd, mode):
    assert main(["--connect", publisher.endpoint, "--timeout", "0.01", mode]) == 1
    out, errors = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"no.* from tcp://.* for 0\.01 s.*\n", errors)


@pytest.mark.parametrize("mode", ["--status", "--topics"])
def test_without_a_publisher_status_and_topics_give_up(capfd, monkeypatch, mode):
    monkeypatch.setattr(command, "PATIENCE_S", 0.05)
    assert main(["--connect", "tcp://127.0.0.1:1", mode]) == 1
    out, errors = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"no .* for 0\.05 s: no connection: is the publisher running\?\n", errors)


# The flags, what the publisher sends after a pause, and what was said about the pause.
PAUSES = [
    ([], pose(), "no poses from .* for 0.05 s: connected, but nothing was sent yet: .*; still waiting"),
    (["--timeout", "0"], pose(), "no poses from .* for 0.05 s: connected, .*; still waiting"),
    (["--status"], status(), "no status from .* for 0.05 s: connected, .*; still waiting"),
    (["--topics"], status(), "no messages from .* for 0.05 s: connected, .*; still waiting"),
]


@pytest.mark.parametrize(("flags", "message", "expected"), PAUSES)
def test_a_publisher_that_is_silent_is_waited_for_and_mentioned_once(
    publisher, capfd, monkeypatch, flags, message, expected
):
    monkeypatch.setattr(command, "PATIENCE_S", 0.05)
    said = []
    monkeypatch.setattr(command, "say", lambda line: (said.append(line), publisher.send(message)))
    assert main(["--connect", publisher.endpoint, "--count", "1", *flags]) == 0
    assert len(said) == 1
    assert re.fullmatch(expected, said[0])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", [[], ["--json"], ["--status"]])
def test_the_end_of_the_stream_ends_the_command_with_0(publisher, capfd, mode):
    def end():
        publisher.wait_for(b"pose/")
        publisher.send(pose())
        publisher.send(status(state="ended"))
        publisher.close()

    thread = threading.Thread(target=end)
    thread.start()
    assert main(["--connect", publisher.endpoint, *mode]) == 0
    thread.join()
    out, errors = capfd.readouterr()
    assert (out.count("\n"), errors) == (1, "")


def test_a_lost_connection_ends_the_command_with_1(publisher, capfd, monkeypatch):
    monkeypatch.setattr(command, "PoseSubscriber", partial(PoseSubscriber, lost_s=0.05))

    def end():
        publisher.wait_for(b"pose/")
        publisher.send(status())
        publisher.close()

    thread = threading.Thread(target=end)
    thread.start()
    assert main(["--connect", publisher.endpoint]) == 1
    thread.join()
    assert re.fullmatch(
        r"no messages from tcp://.*: the connection was lost before the stream ended: .*\n", capfd.readouterr().err
    )


def test_an_invalid_endpoint_prints_one_line_and_exits_with_2(capfd):
    assert main(["--connect", "tcp://nowhere"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_ctrl_c_exits_with_0_and_prints_nothing(publisher):
    program = start("--connect", publisher.endpoint, "--json")
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    program.stdout.readline()
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe behaves differently on Windows")
def test_a_closed_pipe_ends_the_program_without_an_error(publisher):
    program = start("--connect", publisher.endpoint, "--json")
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    program.stdout.readline()
    program.stdout.close()
    publisher.send(pose(seq=1))
    assert program.wait(WAIT_S) == 0
    assert program.stderr.read() == ""
    program.stderr.close()


def test_the_example_script_prints_the_stream_and_ends_with_it(publisher):
    code = (ROOT / "examples" / "print_stream.py").read_text(encoding="utf-8")
    assert "tcp://127.0.0.1:5555" in code
    words = [sys.executable, "-u", "-c", code.replace("tcp://127.0.0.1:5555", publisher.endpoint)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        publisher.wait_for(b"pose/")
        publisher.send(pose())
        publisher.send(status(state="ended"))
        publisher.close()
        out, _ = program.communicate(timeout=WAIT_S)
    assert (program.returncode, out) == (0, "cam0 [1 2] (2, 17, 3)\n")


@pytest.mark.parametrize(
    ("documented", "topic", "expected"),
    [
        (client, b"pose/", "cam0 [1 2] (2, 17, 3)\n"),
        (PoseSubscriber, b"pose/cam0/", "person 1: nose at (2.5, 2.5), score 0.25\n"),
    ],
    ids=["of_the_module", "of_PoseSubscriber"],
)
def test_the_code_in_the_docstring_reads_the_stream(publisher, documented, topic, expected):
    # The docstring ends with the code.
    code = re.search(r"^ *from realtime\.client import .*", documented.__doc__, re.MULTILINE | re.DOTALL)[0]
    assert "tcp://127.0.0.1:5555" in code
    code = textwrap.dedent(code).replace("tcp://127.0.0.1:5555", publisher.endpoint)
    with subprocess.Popen([sys.executable, "-u", "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        publisher.wait_for(topic)
        publisher.send(info())
        publisher.send(pose())
        line = program.stdout.readline()
        program.kill()
    assert line == expected
