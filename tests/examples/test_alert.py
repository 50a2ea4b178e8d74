"""examples/alert.py: when a camera counts as lost and as back, and how that is delivered."""

import json
import os
import queue
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from tests.examples.loading import EXAMPLES, load
from tests.wire.publisher import WAIT_S, status

alert = load("alert")
NOW_S = 1_800_000_000  # Unix time
EVENT = {"publisher": "tcp://a:1", "camera": "door", "what": "lost", "reason": "timed out", "seconds": 30}


def watched(steps, names=None):
    """The events of some steps, as "seconds camera what state reason lost_s".

    A step is (seconds, state, reason, other keys of the status), or (seconds, None) without a status.
    """
    watch = alert.Watch("tcp://a:1", names, 30.0, 1000.0)

    def look(at_s, state, reason=None, changes=None):
        fields = {"camera": "door", "state": state, "reason": reason} | (changes or {})
        events = watch.seen(status(**fields), 1000.0 + at_s) if state else []
        events += watch.due(1000.0 + at_s)
        return [f"{at_s:g} {e['camera']} {e['what']} {e['state']} {e['reason']} {e['seconds']}" for e in events]

    return [event for step in steps for event in look(*step)]


def each_second(first, last, *said):
    return [(second, *said) for second in range(first, last + 1)]


def lost_for(seconds, now_s=NOW_S):
    """The keys of a status that says that its state began some seconds ago, in a run that is older."""
    return {"since_ns": (now_s - seconds) * 10**9, "uptime_s": 1e6}


@pytest.mark.parametrize(
    ("steps", "events"),
    [
        # lost, once, and back
        (
            [(0, "live"), *each_second(1, 40, "reconnecting", "timed out"), (41, "live"), (42, "live")],
            ["31 door lost reconnecting timed out 30", "41 door back live None 40"],
        ),
        # another reason is the same loss
        (
            [(0, "live"), (1, "reconnecting", "timed out"), *each_second(2, 70, "reconnecting", "not found")],
            ["31 door lost reconnecting not found 30"],
        ),
        # back in time: no alert
        ([(0, "live"), *each_second(1, 30, "reconnecting", "timed out"), (30.5, "live")], []),
        # failed is like any other loss
        ([(0, "live"), *each_second(1, 35, "failed", "missing")], ["31 door lost failed missing 30"]),
        # lost again after it was back: another alert
        (
            [
                *each_second(0, 31, "reconnecting", "a"),
                (32, "live"),
                *each_second(33, 65, "reconnecting", "b"),
            ],
            ["30 door lost reconnecting a 30", "32 door back live None 32", "63 door lost reconnecting b 30"],
        ),
        # it was lost before the script began
        ([(0, "reconnecting", "timed out", lost_for(100))], ["0 door lost reconnecting timed out 100"]),
        ([(0, "reconnecting", "timed out", lost_for(20)), (3, None)], []),
        # it cannot have been lost for longer than the run, whatever the clocks say
        ([(0, "reconnecting", "timed out", {"since_ns": 1, "uptime_s": 2.0})], []),
        ([(0, "live"), (1, "reconnecting", "timed out", lost_for(100))], []),
        ([(0, "reconnecting", "timed out", lost_for(-100)), (1, None)], []),
        # a restart of the program does not bring a camera back that was down before
        (
            [*each_second(0, 31, "reconnecting", "a"), (32, "starting"), *each_second(33, 70, "reconnecting", "a")],
            ["30 door lost reconnecting a 30"],
        ),
        # a publisher that falls silent, and comes back
        (
            [(0, "live"), *each_second(1, 31, None), (40, "starting"), (41, "live")],
            ["30 door lost live no publisher 30", "41 door back live None 41"],
        ),
        # one that was never heard, and comes
        (
            [*each_second(0, 31, None), (50, "starting")],
            ["30 None lost None no publisher 30", "50 None back None None 50"],
        ),
        # a run that was stopped is no loss, but if no other follows, there is no publisher
        ([(0, "live"), (1, "ended", "stopped"), (20, "starting"), (21, "live"), (22, "live")], []),
        ([(0, "live"), (1, "ended", "stopped"), *each_second(2, 31, None)], ["31 door lost ended no publisher 30"]),
        # the end of a file, and a camera that was removed
        ([(0, "live"), (1, "ended"), *each_second(2, 90, None)], []),
        ([(0, "live"), (1, "ended", "removed"), *each_second(2, 90, None)], []),
        ([*each_second(0, 90, "ended")], []),
        (
            [*each_second(0, 31, "reconnecting", "timed out"), (32, "ended", "removed"), (99, None)],
            ["30 door lost reconnecting timed out 30", "32 door ended ended removed 32"],
        ),
        # waiting for its first frame is no loss; waiting for the next one is
        ([*each_second(0, 90, "starting")], []),
        (
            [(0, "live"), *each_second(1, 31, "starting", "waiting for a key frame")],
            ["31 door lost starting waiting for a key frame 30"],
        ),
    ],
)  # fmt: skip
def test_a_camera_is_lost_once_and_back_once(steps, events, monkeypatch):
    frozen = SimpleNamespace(time=lambda: float(NOW_S), strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(alert, "time", frozen)
    assert watched(steps) == events


def test_a_camera_that_is_silent_while_others_are_heard_has_no_status():
    steps = [(0, "live"), *each_second(1, 31, "live", None, {"camera": "yard"})]
    assert watched(steps) == ["30 door lost live no status 30"]
    assert watched(steps, ["door", "shed"]) == ["30 shed lost None no status 30", "30 door lost live no status 30"]


def test_a_publisher_cannot_fill_the_memory():
    watch = alert.Watch("tcp://a:1", None, 30.0, 0.0)
    for number in range(1500):
        watch.seen(status(camera=f"cam{number}", reason="x" * 5000), 1.0)
    assert len(watch.cameras) == 1000
    assert len(watch.cameras["cam0"].reason) == 200


@pytest.fixture
def server():
    """A web server that answers 500 to the first post of each path that begins with /once. It keeps the bodies."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_first = self.path not in {path for path, _ in posts}
            posts.append((self.path, json.loads(body)))
            code = 500 if is_first and self.path.startswith("/once") else 302 if self.path.startswith("/moved") else 200
            self.send_response(code)
            self.send_header("Location", "/other")
            self.end_headers()
            arrived.put(self.path)

        def log_message(self, *_):
            pass

    posts, arrived = [], queue.Queue()
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, args=[0.01]).start()
    web.posts, web.arrived, web.url = posts, arrived, f"http://127.0.0.1:{web.server_port}"
    yield web
    web.shutdown()
    web.server_close()


def test_it_runs_the_command_and_posts_to_the_url_when_a_camera_is_lost_and_when_it_is_back(
    publisher, server, tmp_path
):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    shell = f'{{ echo "$ALERT_WHAT $ALERT_CAMERA $ALERT_REASON"; cat; }} >{fifo}'
    command = [sys.executable, str(EXAMPLES / "alert.py"), "--connect", publisher.endpoint, "--camera", "door"]
    command += ["--run", f"sh -c {shlex.quote(shell)}", "--url", f"{server.url}/hook?token=hunter2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as example:
        publisher.wait_for(b"status/")
        publisher.send(
            status(camera="door", state="reconnecting", reason="timed out", **lost_for(42, int(time.time())))
        )
        variables, body = fifo.read_text().split("\n")
        assert variables == "lost door timed out"
        event = json.loads(body)
        publisher.send(status(camera="door"))
        variables, body = fifo.read_text().split("\n")
        assert variables == "back door "
        back = json.loads(body)
        publisher.send(status(camera="door", state="ended"))  # the end of a run is not the end of the watch
        publisher.send(
            status(camera="door", session="s2", state="failed", reason="missing", **lost_for(50, int(time.time())))
        )
        assert fifo.read_text().startswith("lost door missing\n")
        for _ in range(3):
            server.arrived.get(timeout=WAIT_S)
        example.send_signal(signal.SIGTERM)
        errors = example.communicate(timeout=WAIT_S)[1]
    since, seconds = event.pop("since"), event.pop("seconds")
    assert seconds >= 42
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
    assert event == {
        "what": "lost", "publisher": publisher.endpoint, "camera": "door", "state": "reconnecting",
        "reason": "timed out",
    }  # fmt: skip
    assert (back["what"], back["state"], back["reason"]) == ("back", "live", None)
    assert server.posts[:2] == [
        ("/hook?token=hunter2", event | {"since": since, "seconds": seconds}),
        ("/hook?token=hunter2", back),
    ]
    assert example.returncode == 0
    first, lost, again, _ = errors.splitlines()
    assert first == f"watching {publisher.endpoint}; a camera is lost after 30 s"
    assert lost.endswith(f" door of {publisher.endpoint}: lost for {seconds} s (timed out)")
    assert re.fullmatch(rf"\S+ door of {publisher.endpoint}: back after \d+ s", again)


def test_a_delivery_that_fails_is_tried_again_once(server, monkeypatch, capsys):
    monkeypatch.setattr(alert, "RETRY_S", 0.0)
    done = queue.Queue()

    def deliver(event):
        try:
            alert.post(f"{server.url}{event['path']}?token=hunter2", event)
        finally:
            done.put(event["path"])

    output = alert.Output("--url", deliver)
    for path in ("/once", "/moved"):
        output.put(EVENT | {"path": path})
    assert [done.get(timeout=WAIT_S) for _ in range(4)] == ["/once", "/once", "/moved", "/moved"]
    output.put(EVENT | {"path": "/last"})
    done.get(timeout=WAIT_S)  # the lines of the others are complete
    where = "door of tcp://a:1: lost for 30 s (timed out): --url failed: the server answers"
    assert capsys.readouterr().err.splitlines() == [
        f"{where} 500; trying again in 0 s",
        f"{where} 302; trying again in 0 s",
        f"{where} 302; giving up",
    ]
    assert len(server.posts) == 5  # none to /other


def test_a_delivery_that_hangs_delays_no_other_lane_and_the_queue_is_bounded(monkeypatch, capsys):
    monkeypatch.setattr(alert, "MOST_WAITING", 3)
    hung, delivered, released = threading.Event(), queue.Queue(), threading.Event()

    def deliver(event):
        if event["camera"] == "door":
            hung.set()
            released.wait(WAIT_S)
        delivered.put(event["camera"])

    output = alert.Output("--run", deliver)
    output.put(EVENT)
    assert hung.wait(WAIT_S)
    for _ in range(4):
        output.put(EVENT)
    lane = hash(("tcp://a:1", "door")) % alert.LANES
    other = next(f"cam{n}" for n in range(99) if hash(("tcp://a:1", f"cam{n}")) % alert.LANES != lane)
    output.put(EVENT | {"camera": other})
    assert delivered.get(timeout=WAIT_S) == other
    released.set()
    assert [delivered.get(timeout=WAIT_S) for _ in range(4)] == ["door"] * 4
    assert capsys.readouterr().err == (
        "door of tcp://a:1: lost for 30 s (timed out): not delivered by --run, because 3 alerts are waiting\n"
    )


def test_a_command_that_hangs_is_ended_with_all_that_it_started(monkeypatch, tmp_path):
    monkeypatch.setattr(alert, "TIMEOUT_S", 1.0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TimeoutError):
        alert.run(["sh", "-c", f"exec 3>{fifo}; sleep 99 & sleep 99"], EVENT)
    closed = select.poll()
    closed.register(reading, select.POLLHUP)
    assert closed.poll(WAIT_S * 1000)  # no process holds the pipe open
    os.close(reading)


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(alert, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="timed out") as raised:
        alert.post(f"http://127.0.0.1:{silent.getsockname()[1]}/", EVENT)
    assert alert.why(raised.value) == "no answer within 0.1 s"


@pytest.mark.parametrize(
    ("fail", "why"),
    [
        (lambda: alert.run(["false"], EVENT), "exit code 1"),
        (lambda: alert.run(["cat"], EVENT | {"reason": "x" * 500_000}), "Argument list too long"),
        (lambda: alert.post("http://127.0.0.1:1/?token=hunter2", EVENT), "Connection refused"),
        (lambda: alert.post("http://a b/?token=hunter2", EVENT), "InvalidURL"),
    ],
)
def test_the_cause_of_a_failure_is_told_without_the_url(fail, why):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        fail()
    assert alert.why(raised.value) == why


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--connect", "tcp//127.0.0.1:5555"], "connect: got 'tcp//127.0.0.1:5555', expected tcp://HOST:PORT"),
        (["--curve-secret", "key"], "got only one of curve_secret and curve_server"),
        (["--lost-s", "0"], "--lost-s: got 0, expected seconds, more than 0"),
        (["--lost-s", "nan"], "--lost-s: got nan, expected seconds"),
        (["--run", ""], "--run: got 'nothing', expected a program that is installed"),
        (["--run", "no-such-program -x hunter2"], "--run: got 'no-such-program', expected a program that is installed"),
        (["--run", "sh -c 'exit"], "--run: No closing quotation"),
        (["--url", ""], "--url: expected http://HOST/... or https://HOST/..., without a user name"),
        (["--url", "ftp://a/hunter2"], "--url: expected http"),
        (["--url", "http://me:hunter2@a/"], "--url: expected http"),
        (["--url", "https://a:port/hunter2"], "--url: expected http"),
    ],
)
def test_a_wrong_argument_is_one_line_without_secrets(flags, error, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["alert.py", *flags])
    with pytest.raises(SystemExit) as ended:
        alert.main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert error in last
    assert "hunter2" not in last
