import json
import threading
from pathlib import Path

import pytest
import zmq

from realtime import wire
from realtime.evaluate.__main__ import main
from realtime.evaluate.latency import INTERVAL, TOTAL, gather


def message(
    seq: int, *, frame: int | None = None, total_ms: float = 50.0, camera: str = "cam0", session: str = "one"
) -> wire.PoseMessage:
    """A message of a stream that publishes every 100 ms. The detector takes half of the latency."""
    published_ns = 1_700_000_000_000_000_000 + seq * 100_000_000
    return wire.PoseMessage(
        session=session,
        camera=camera,
        epoch=0,
        seq=seq,
        frame=seq if frame is None else frame,
        captured_ns=published_ns - round(total_ms * 1e6),
        clock="arrival",
        published_ns=published_ns,
        media_s=None,
        size=(640, 480),
        skeleton="none",
        track_ids=[],
        scores=[],
        boxes=b"",
        keypoints=b"",
        measured=[],
        timing_ms={"detect": total_ms / 2},
    )


def record(file: Path, messages: list[wire.PoseMessage], rest: bytes = b"") -> Path:
    file.write_bytes(b"".join(wire.encode(m, "json") + b"\n" for m in messages) + rest)
    return file


def measured(file: Path, *flags: str) -> dict[str, dict]:
    numbers = file.with_suffix(".numbers.json")
    assert main(["latency", str(file), *flags, "--json", str(numbers)]) == 0
    return json.loads(numbers.read_text())["cameras"]


def test_percentiles_are_computed_for_each_stage_and_for_the_whole_latency(tmp_path: Path) -> None:
    camera = measured(record(tmp_path / "r.jsonl", [message(i, total_ms=float(i)) for i in range(101)]))["cam0"]
    assert camera["ms"][TOTAL] == pytest.approx({"p50": 50, "p95": 95, "p99": 99, "max": 100})
    assert camera["ms"]["detect"] == pytest.approx({"p50": 25, "p95": 47.5, "p99": 49.5, "max": 50})
    assert camera["ms"][INTERVAL]["p50"] == pytest.approx(100)
    assert camera["rate_hz"] == pytest.approx(10)
    assert camera["messages"] == 101


def test_gaps_in_frames_and_in_messages_are_counted_separately(tmp_path: Path) -> None:
    seen = [message(0, frame=0), message(1, frame=3), message(2, frame=4), message(5, frame=20)]
    camera = measured(record(tmp_path / "r.jsonl", seen))["cam0"]
    assert camera["frame_gaps"] == {"count": 2, "missing": 17, "longest": 15}
    assert camera["seq_gaps"] == {"count": 1, "missing": 2, "longest": 2}


def test_cameras_are_measured_separately_and_can_be_selected(tmp_path: Path) -> None:
    file = record(tmp_path / "r.jsonl", [message(i, camera=camera) for i in range(3) for camera in ("a", "b")])
    assert list(measured(file)) == ["a", "b"]
    assert list(measured(file, "--camera", "b")) == ["b"]


def test_the_pause_between_two_sessions_is_neither_a_gap_nor_part_of_the_rate() -> None:
    first = [message(i) for i in range(5)]
    second = [message(1000 + i, session="two") for i in range(5)]
    times = gather(first + second)["cam0"]
    assert times.seqs.count == times.frames.count == 0
    assert times.rate_hz == pytest.approx(10)


def test_an_incomplete_last_line_of_a_killed_run_is_skipped(tmp_path: Path) -> None:
    file = record(tmp_path / "r.jsonl", [message(0), message(1)], rest=b'{"schema":"pose/1","ses')
    assert measured(file)["cam0"]["messages"] == 2


def test_a_single_message_has_no_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measured(record(tmp_path / "r.jsonl", [message(0)]))["cam0"]["rate_hz"] is None
    assert "cam0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "expected either a recording"),
        (["{dir}/r.jsonl", "--connect", "tcp://127.0.0.1:5555"], 2, "expected either a recording"),
        (["{dir}/none.jsonl"], 2, "no such file"),
        (["{dir}/bad.jsonl"], 2, "bad.jsonl:1: "),
        (["{dir}/r.jsonl", "--camera", "other"], 1, "no poses received from other"),
        (["--connect", "tcp://nowhere"], 2, "expected tcp://HOST:PORT"),
        (["--connect", "tcp://127.0.0.1:5555", "--seconds", "0"], 2, "--seconds: got 0"),
        (["--connect", "ipc://{dir}/unused", "--seconds", "0.01"], 1, "is the publisher running?"),
    ],
)
def test_a_user_error_is_one_line_on_stderr(
    words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "r.jsonl", [message(0)])
    record(tmp_path / "bad.jsonl", [], rest=b"{}\n")
    assert main(["latency", *(word.format(dir=tmp_path) for word in words)]) == code
    err = capsys.readouterr().err
    assert said.lower() in err.lower()
    assert err.count("\n") == 1


def test_the_messages_of_a_running_publisher_are_measured(tmp_path: Path) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def publish() -> None:
        for _ in (b"info", b"pose"):  # the subscriptions: the reader has connected
            socket.recv()
        for i in range(20):
            socket.send_multipart([wire.pose_topic("cam0"), wire.encode(message(i), "msgpack")])

    thread = threading.Thread(target=publish)
    thread.start()
    numbers = tmp_path / "numbers.json"
    try:
        words = ["--connect", f"tcp://127.0.0.1:{port}", "--seconds", "0.7", "--json", str(numbers)]
        assert main(["latency", *words]) == 0
    finally:
        thread.join()
        context.destroy(linger=0)
    camera = json.loads(numbers.read_text())["cameras"]["cam0"]
    assert camera["messages"] == 20
    assert camera["ms"][TOTAL]["p50"] == pytest.approx(50)
