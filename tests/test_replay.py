"""The command as users run it: its errors, its exit codes and its signals."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.client import PoseSubscriber
from realtime.replay import main
from tests.recordings.recorded import lines, of_camera, record

# The arguments after the recording, and the error.
WRONG = [
    (["--speed", "0"], "argument --speed: got '0', expected more than 0, or inf; see python -m realtime.replay --help"),
    (["--speed", "nan"], "argument --speed: got 'nan'"),
    (["--from", "-1"], "argument --from: got '-1', expected seconds, at least 0"),
    (["--from", "2", "--to", "1"], "error: --to: got 1, expected more than --from, 2"),
    (["--form", "2"], "unrecognized arguments: --form 2"),
    (["--publish.bind", "tcp://0.0.0.0:5999"], "publish.bind: anyone on the network could read tcp://0.0.0.0:5999"),
    (["--publish.bind", "http://x"], "publish.bind: got 'http://x'"),
    (["--publish.encoding", "yaml"], "publish.encoding: got 'yaml'"),
    (["--publish.curve-clients", "{dir}"], "publish.curve_clients: expected curve_secret too"),
    (["--publish.bind", "ipc://{dir}/none/x"], "publish.bind: can't bind ipc://{dir}/none/x: the socket's folder"),
    (["--from", "99"], "{dir}/x.jsonl: nothing between --from 99"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(3))
    try:
        code = main([str(path), "--publish.bind", "tcp://127.0.0.1:*", *(word.format(dir=tmp_path) for word in words)])
    except SystemExit as end:
        code = end.code
    [line] = capsys.readouterr().err.splitlines()
    assert (code, line[: len("error: ")]) == (2, "error: ")
    assert told.format(dir=tmp_path) in line


def test_the_help_names_both_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "a recording of --record (.jsonl or .parquet)" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"text\n"])
def test_a_recording_that_cannot_be_read_is_one_too(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), "--publish.bind", "tcp://127.0.0.1:*"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}")


def test_a_signal_ends_it_with_0(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(100))
    endpoint = f"ipc://{tmp_path}/stream"
    words = ["replay", str(path), "--loop", "--publish.bind", endpoint, "--publish.wait-for-subscribers", "1"]
    code = "import sys; from realtime.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    with PoseSubscriber(endpoint, timeout_s=20.0) as poses:
        assert next(iter(poses)).seq == 0
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert f"publishing on {endpoint}" in said
    assert not (tmp_path / "stream").exists()


def test_a_signal_ends_it_while_it_waits_for_a_pipe(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/stream"
    words = ["/dev/stdin", "--publish.bind", endpoint, "--publish.wait-for-subscribers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime.replay", *words], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(lines(*of_camera(2)))
    process.stdin.flush()
    with PoseSubscriber(endpoint, timeout_s=20.0) as poses:
        assert next(iter(poses)).seq == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert b"Traceback" not in process.stderr.read()


def test_it_ends_with_0_at_the_end_of_the_recording_and_imports_no_model(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(3), rest=b'{"schema":')
    code = (
        "import sys; from realtime.replay import main\n"
        f"code = main([{str(path)!r}, '--publish.bind', 'tcp://127.0.0.1:*', '--speed', '100'])\n"
        "assert not {'torch', 'cv2', 'av', 'ultralytics'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == f"{path}:4: incomplete, as a killed run leaves its last line; left out\n"
