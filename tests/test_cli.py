"""Wrong uses give the right exit code and one plain line on standard error: no traceback, no secret."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.cli import main
from realtime.config import changes
from realtime.config_reader import ConfigReader
from realtime.errors import SourceError, SourceReason
from realtime.flags import parse
from realtime.tools import TOOLS
from tests.capture.clips import write_clip

ROOT = Path(__file__).parents[1]
# Starts processes that have imported everything, which is the slow part of a start.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["realtime.pipeline", __name__])


def run_warm(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of WARM."""
    out, err = folder / "stdout", folder / "stderr"
    process = WARM.Process(target=_run_warm, args=(arguments, out, err))
    process.start()
    process.join(110)
    process.kill()
    return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _run_warm(arguments: list[str], out: Path, err: Path) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.exit(main(arguments))


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_realtime.py"), *arguments],
        capture_output=True, text=True, timeout=110, check=False, cwd=ROOT,
        env=os.environ | (environment or {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "code"),
    [(None, 0), (RuntimeError("planted"), 1), (SourceError("cam0: gone", SourceReason.MISSING), 3)],
)
def test_a_thread_stuck_in_a_library_does_not_change_the_exit_code(failure, code, monkeypatch, capfd):
    class Held:
        """A pipeline that leaves a thread behind."""

        stuck_threads = ["capture-cam0"]  # noqa: RUF012

        def __init__(self, config, read_again, private):
            pass

        def run(self, beside):
            if failure:
                raise failure

    class Left(BaseException):
        pass

    def leave(code):
        raise Left(code)

    monkeypatch.setattr("realtime.observe.log.set_up_logging", lambda *given: None)  # it would change the whole process
    monkeypatch.setattr("realtime.pipeline.Pipeline", Held)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(Left) as left:
        main(["--source", "demo"])
    assert left.value.args == (code,)
    assert ("cam0: gone" in capfd.readouterr().err) == (code == 3)


@pytest.mark.parametrize("password", ["it's", "two words"])
def test_no_password_is_shown_whatever_characters_it_contains(password, capfd):
    url = f"rtsp://admin:{password}@127.0.0.1:9/s1"
    assert main(["--source", url, "--print-config"]) == 0
    assert main(["--source", url, "--sorce", url]) == 2
    assert main([url]) == 2
    shown = capfd.readouterr()
    assert "***" in shown.out
    assert password not in shown.out + shown.err


def test_an_interruption_that_a_library_swallows_still_ends_the_run(monkeypatch):
    def swallow(*given):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("half a module") from None

    monkeypatch.setattr("realtime.observe.log.set_up_logging", lambda *given: None)
    monkeypatch.setattr("realtime.pipeline.Pipeline", swallow)
    assert main(["--source", "demo"]) == 0


def test_a_run_that_does_not_start_changes_no_file(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("realtime.observe.log.set_up_logging", lambda *given: None)
    record, video = tmp_path / "old.jsonl", tmp_path / "clip.mp4"
    record.write_text("worth keeping")
    assert main(["--source", "demo", "--record", str(record), "--pose.model", "nope"]) == 4
    assert main(["--source", "demo", "--record", str(record), "--report", str(record)]) == 2
    assert record.read_text() == "worth keeping"
    write_clip(video)
    before = video.read_bytes()
    assert main(["--source", f"yard={video}", "--report", str(video)]) == 2
    assert f"report: got {video}, the source of yard" in capfd.readouterr().err
    assert video.read_bytes() == before


def test_a_bad_file_is_reported_before_the_models_load(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("realtime.observe.log.set_up_logging", lambda *given: None)
    monkeypatch.setattr("realtime.pipeline.load_models", None)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    for source, message in (
        ("empty", "no images in this folder"),
        ("text.mp4", "not a video"),
        ("x" * 300, "can't be read"),
    ):
        assert main(["--source", f"yard={tmp_path / source}"]) == 3
        assert message in capfd.readouterr().err


def run_patched(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, in which `realtime.config.load` has this body first."""
    code = f"import os, sys, realtime.config as c\nload = c.load\ndef patched(*given, **more):\n  {body}\n"
    code += "  return load(*given, **more)\n"
    code += f"c.load = patched\nsys.argv[1:] = {list(arguments)!r}\nfrom realtime.cli import main\nsys.exit(main())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


def test_what_libraries_print_goes_to_standard_error():
    result = run_patched("print('chatter'); os.write(1, b'more chatter\\n')", "--source", "demo", "--print-config")
    assert result.stdout.startswith("preset: null\n")
    assert "chatter" not in result.stdout
    assert result.stderr == "chatter\nmore chatter\n"
    assert result.returncode == 0


def test_a_bug_ends_the_program_with_an_indented_traceback_without_secrets():
    url = "rtsp://u:two words@h/s1"
    result = run_patched(f"raise RuntimeError('{url} is\\n12:00:00 info forged')", "--source", url)
    head, *trace = result.stderr.splitlines()
    assert result.returncode == 1
    assert head.endswith(" critical unexpected error; please report this")
    assert all(line.startswith("  ") for line in trace)
    assert trace[-2:] == ["  RuntimeError: rtsp://***@h/s1 is", "  12:00:00 info forged"]


def test_a_list_of_choices_can_be_set_by_repeating_a_flag(capfd):
    assert main(["--source", "demo", "--latency.levers", "size", "--latency.levers", "people", "--print-config"]) == 0
    assert "levers:\n  - size\n  - people\n" in capfd.readouterr().out
    assert main(["--source", "demo", "--latency.levers", "luck", "--print-config"]) == 2
    assert "latency.levers.0: got 'luck'" in capfd.readouterr().err


def test_a_failed_import_of_a_name_is_not_reported_as_a_missing_library(monkeypatch):
    def load(*files, **more):
        raise ImportError("cannot import name 'f' from 'cv2' (/x/cv2/cv2.cpython-311-x86_64-linux-gnu.so)")

    monkeypatch.setattr("realtime.config.load", load)
    with pytest.raises(ImportError, match="cannot import name"):
        main(["--source", "demo"])


@pytest.mark.parametrize("kind", [ImportError, OSError])
@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", 2, "apt-get install libgl1"),
        ("/x/a.so: cannot enable executable stack as shared object requires: Invalid argument", 2, "SELinux"),
        ("/x/a.so: failed to map segment from shared object: Operation not permitted", 2, "noexec"),
        ("/x/a.so: failed to map segment from shared object: Cannot allocate memory", 1, "not enough memory"),
        ("a.so: failed to map segment from shared object", 1, "not enough memory"),
        ("/x/a.abi3.so: undefined symbol: foo", 2, "install the packages again"),
        ("/lib/a.so.6: version `GLIBC_2.38' not found (required by b.so)", 2, "install the packages again"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_one_error_line(kind, text, code, says, monkeypatch, capfd):
    def load(*files, **more):
        raise kind(text)

    monkeypatch.setattr("realtime.config.load", load)
    assert main(["--source", "demo"]) == code
    assert says in capfd.readouterr().err


# Name, arguments ({tmp}: a folder of this test, {port}: a port in use), exit code, part of the error line.
WRONG_USES: list[tuple[str, str, int, str]] = [
    ("an unknown flag", "--sorce 0", 2, "did you mean --source?"),
    ("an unknown preset", "--source 0 --preset turbo", 2, "'fast', 'balanced' or 'accurate'"),
    ("no source", "", 2, "no source"),
    ("a file without --source", "clip.mp4", 2, "--source clip.mp4"),
    ("a word that is no tool", "clinet", 2, "the tools, named first, are client, keys, evaluate"),
    ("a bad camera name", "--source a,b=0", 2, "expected letters"),
    ("the same camera name twice", "--source a=demo --source a=demo", 2, "two cameras with the name 'a'"),
    ("a value that is not a number", "--source demo --detector.min-score high", 2, "detector.min_score: got 'high'"),
    ("a value out of range", "--source demo --max-frames 0", 2, "max_frames"),
    ("a detector floor above the tracker's", "--source demo --detector.min-score 0.4", 2, "at most tracker.low_score"),
    ("an unknown choice", "--source demo --smoothing.method magic", 2, "smoothing.method: got 'magic'"),
    ("the expert of another dataset", "--source demo --pose.dataset-index 2", 2, "only the head for COCO"),
    ("an input size that is not a multiple of 16", "--source demo --pose.input-size 250x190", 2, "multiples of 16"),
    (
        "int8 on torch",
        "--source demo --pose.model {tmp}/empty --pose.engine torch --pose.precision int8",
        2,
        "openvino",
    ),
    ("int8 for a YOLO model", "--source demo --pose.model yolo11n-pose --pose.precision int8", 2, "a ViTPose model"),
    ("a device that does not exist", "--source demo --device cuda:7", 2, "device"),
    ("a missing configuration", "--config {tmp}/none.yaml", 2, "no such file"),
    ("a folder as configuration", "--config {tmp}", 2, "can't read"),
    ("a configuration that is not YAML", "--config {tmp}/broken.yaml", 2, "line 2: not valid YAML"),
    ("an unknown key in a file", "--config {tmp}/unknown.yaml", 2, "unknown key pose.modle, did you mean pose.model?"),
    ("a port in use", "--source demo --publish.bind tcp://127.0.0.1:{port}", 2, "already in use"),
    (
        "a port of pictures in use",
        "--source demo --publish.pictures tcp://127.0.0.1:{port}",
        2,
        "publish.pictures: can't",
    ),
    ("a port that does not exist", "--source demo --publish.bind tcp://127.0.0.1:99999", 2, "expected 1..65535"),
    ("a port open to the network", "--source demo --publish.bind tcp://0.0.0.0:5999", 2, "--publish.allow-insecure"),
    ("a page at a port in use", "--source demo --web {port}", 2, "already in use"),
    ("a page at no port", "--source demo --web localhost", 2, "web: got 'localhost', expected HOST:PORT"),
    ("a page open to the network", "--source demo --web 0.0.0.0:5998", 2, "--web-token-file"),
    (
        "a token that others can read",
        "--source demo --web 5998 --web-token-file {tmp}/readable",
        2,
        "web_token_file: ",
    ),
    ("a missing token", "--source demo --web 5998 --web-token-file {tmp}/none", 2, "web_token_file: "),
    ("a recording that can't be written", "--source demo --record {tmp}/no/x.jsonl", 2, "can't write"),
    ("a report that can't be written", "--source demo --report {tmp}/no/r.json", 2, "can't write"),
    ("a missing video", "--source {tmp}/none.mp4", 3, "none.mp4: no such file"),
    ("a text as video", "--source {tmp}/text.mp4", 3, "not a video"),
    ("an empty folder", "--source {tmp}/empty", 3, "empty"),
    ("a webcam that does not exist", "--source 97", 3, "webcam"),
    (
        "a camera that refuses the connection",
        "--source rtsp://u:s3cret@127.0.0.1:1/s --fail-fast",
        3,
        "connection refused",
    ),
    ("a text file as weights", "--source demo --detector.weights {tmp}/text.pt", 4, "not a YOLO model"),
    ("missing weights", "--source demo --detector.weights {tmp}/none.pt", 4, "no such file"),
    ("a pose folder without a model", "--source demo --pose.model {tmp}/empty", 4, "config.json"),
    (
        "a pose model that can't be downloaded",
        "--source demo --pose.model usyd-community/vitpose-base",
        4,
        "is not available",
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "broken.yaml").write_text("a: [1, 2\nb: }")
    (tmp_path / "unknown.yaml").write_text("pose: {modle: x}")
    (tmp_path / "text.mp4").write_text("this is not a video")
    (tmp_path / "text.pt").write_text("these are not weights")
    (tmp_path / "empty").mkdir()
    (tmp_path / "readable").write_text("correct horse battery")
    (tmp_path / "readable").chmod(0o644)
    return tmp_path


@pytest.fixture
def busy_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), [case[1:] for case in WRONG_USES], ids=[c[0] for c in WRONG_USES]
)
def test_a_wrong_use_gives_one_error_line(
    folder: Path, busy_port: int, arguments: str, code: int, message: str
) -> None:
    words = [word.format(tmp=folder, port=busy_port) for word in arguments.split()]
    if "--publish.bind" not in words:
        words += ["--publish.bind", "tcp://127.0.0.1:*"]
    if code != 4:  # a wrong source is found before the models load
        words += ["--pose.model", "none"] if "--pose.model" not in words else []
    result = run_warm(folder, words)
    assert result.returncode == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("realtime-pose: error: ")]
    assert len(errors) == 1, result.stderr
    assert message in errors[0]
    assert "Traceback" not in result.stderr
    assert "s3cret" not in result.stdout + result.stderr
    assert result.stdout == ""


def test_the_process_ends_with_the_exit_code_and_prints_nothing_else(folder: Path) -> None:
    result = run("--source", f"{folder}/text.mp4", "--pose.model", "none", "--publish.bind", "tcp://127.0.0.1:*")
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


FORMER_KEYS = ["--latency.means", "size", "--pose.dataset-index", "0"]


def test_former_keys_are_logged_once_in_the_format_of_the_log(folder: Path) -> None:
    (folder / "old.yaml").write_text("log_format: json\npose: {dataset_index: 0}\nlatency: {means: [size]}\n")
    arguments = ["--source", f"{folder}/text.mp4", "--pose.model", "none", "--publish.bind", "tcp://127.0.0.1:*"]
    result = run_warm(folder, [*arguments, "--config", f"{folder}/old.yaml"])
    *logged, error = result.stderr.splitlines()
    assert "text.mp4" in error
    warnings = [line["message"] for line in map(json.loads, logged) if line["level"] == "warning"]
    assert [warning.partition(":")[0] for warning in warnings] == [
        "latency.means is now called latency.levers",
        "pose.dataset_index has no effect any more",
    ]


def test_former_keys_are_not_logged_if_only_errors_are(folder: Path) -> None:
    arguments = ["--source", f"{folder}/text.mp4", "--pose.model", "none", "--publish.bind", "tcp://127.0.0.1:*"]
    result = run_warm(folder, [*arguments, *FORMER_KEYS, "--log-level", "error"])
    assert len(result.stderr.splitlines()) == 1
    assert "text.mp4" in result.stderr


def test_print_config_warns_of_former_keys_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", "demo", *FORMER_KEYS, "--print-config"]) == 0
    out, err = capfd.readouterr()
    assert "levers:\n  - size\n" in out
    assert "means:" not in out
    assert [line.split(" ")[:3] for line in err.splitlines()] == [
        ["realtime-pose:", "warning:", "latency.means"],
        ["realtime-pose:", "warning:", "pose.dataset_index"],
    ]


def test_print_config_shows_the_preset_and_its_choices(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("realtime.models.weights.is_here", lambda model: model == "yolov8s")
    assert main(["--source", "demo", "--preset", "accurate", "--print-config"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("preset: accurate\n")
    assert "  weights: yolov8s\n" in out
    assert (
        "realtime-pose: preset accurate: detector.weights is yolov8s, the largest of its models on this machine" in err
    )


def test_a_reload_keeps_the_preset_and_its_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = ["yolov8s"]
    monkeypatch.setattr("realtime.models.weights.is_here", here.__contains__)
    file = tmp_path / "x.yaml"
    file.write_text("cameras: [{name: a, source: demo}]\n")
    reader = ConfigReader(*parse(["--preset", "accurate", "--config", str(file)]), [])
    before = reader.read()
    caplog.set_level("INFO")
    reader.log_lines()
    here.append("yolo11m")  # another program has downloaded it
    file.write_text("cameras: [{name: b, source: demo}]\n")
    assert changes(before, reader.read_again()) == ["cameras"]
    assert sum("detector.weights is yolov8s" in line for line in caplog.messages) == 1


def test_an_unknown_variable_is_an_error(folder: Path) -> None:
    result = run("--source", "demo", environment={"REALTIME_POSE__MODLE": "x"})
    assert result.returncode == 2
    assert "did you mean REALTIME_POSE__MODEL?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], "realtime-pose 0."),
        (["--help"], "--smoothing.method"),
        (["--print-config", "--source", "door=rtsp://user:s3cret@h/s?token=s3cret", "--pose.decode_sigma=0.8"], "0.8"),
    ],
)
def test_requested_output_goes_to_standard_output(arguments: list[str], expected: str) -> None:
    result = run(*arguments)
    assert result.returncode == 0
    assert expected in result.stdout
    assert "s3cret" not in result.stdout + result.stderr


@pytest.mark.parametrize("word", list(TOOLS))
def test_a_tool_is_run_by_its_name_as_python_runs_its_module(word: str) -> None:
    for arguments in (["--help"], ["--nonsense"]):
        module = [sys.executable, "-m", f"realtime.{word}", *arguments]
        direct = subprocess.run(module, capture_output=True, text=True, check=False, cwd=ROOT)
        named = run(word, *arguments)
        assert (named.returncode, named.stdout, named.stderr) == (direct.returncode, direct.stdout, direct.stderr)
        assert named.returncode == (0 if arguments == ["--help"] else 2)
        assert word in named.stdout + named.stderr


def test_the_help_lists_the_tools() -> None:
    listed = run("--help").stdout.partition("tools:")[2]
    assert all(f"\n  {word} " in listed for word in TOOLS)


def test_the_client_runs_without_the_libraries_of_the_pipeline() -> None:
    code = "import sys; sys.argv = ['x', 'client', '--help']; import realtime.cli as c\n"
    code += "try: c.main()\nexcept SystemExit: pass\n"
    code += "heavy = {'pydantic', 'yaml', 'torch', 'cv2', 'av', 'realtime.config'} & set(sys.modules)\n"
    code += "sys.exit(f'imported {heavy}' if heavy else 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "--connect" in result.stdout


HEAVY = {"torch", "cv2", "av", "zmq", "numpy", "transformers", "ultralytics", "boxmot"}


@pytest.mark.parametrize(
    ("flags", "heavy"),
    [
        ("--help", HEAVY),
        ("--version", HEAVY | {"pydantic", "yaml", "realtime.config"}),
        ("--print-config --source=demo", {"torch", "openvino", "realtime.models.speeds"}),
    ],
)
def test_what_only_prints_needs_no_heavy_import(flags: str, heavy: set[str]) -> None:
    code = f"import sys; sys.argv = ['x', *{flags.split()}]; import realtime.cli as c\n"
    code += "try: c.main()\nexcept SystemExit: pass\n"
    code += f"heavy = {heavy} & set(sys.modules)\n"
    code += "sys.exit(f'imported {heavy}' if heavy else 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_a_missing_extra_is_an_error_with_the_pip_command(tmp_path: Path, monkeypatch: Callable) -> None:
    (tmp_path / "pydantic.py").write_text("raise ModuleNotFoundError(\"No module named 'pydantic'\", name='pydantic')")
    result = run("--source", "demo", environment={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 2
    assert "pip install 'realtime-pose[run]'" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--version", "--fail-fast"], ["--print-config"]])
@pytest.mark.parametrize(("target", "reason"), [("/dev/full", "No space left on device"), (None, "it is closed")])
def test_standard_output_that_cannot_be_written_is_one_error_line(arguments, target, reason) -> None:
    def redirect() -> None:
        if target:
            os.dup2(os.open(target, os.O_WRONLY), 1)
        else:
            os.close(1)

    result = subprocess.run(
        [sys.executable, str(ROOT / "run_realtime.py"), *arguments],
        stderr=subprocess.PIPE, text=True, timeout=110, check=False, preexec_fn=redirect,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == f"realtime-pose: error: standard output can't be written: {reason}\n"
