"""Standard streams that are closed, full or left by their reader change nothing but what can't be printed."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.stdio import Lossy

ROOT = Path(__file__).parents[1]
PROGRAM = [str(ROOT / "run_realtime.py")]
CLIENT, KEYS, EVALUATE = (["-m", f"realtime.{name}"] for name in ("client", "keys", "evaluate"))


def break_stream(descriptor: int, fault: str) -> None:
    """Close a descriptor of this process, or let it lead to a full disk or to a pipe that no one reads or writes."""
    if fault == "closed":
        os.close(descriptor)
        return
    if fault == "full":
        other = os.open("/dev/full", os.O_RDWR)
    else:
        ends = os.pipe()
        other = ends[descriptor > 0]
        os.close(ends[descriptor == 0])
    os.dup2(other, descriptor)
    os.close(other)


def start(arguments: list[str], faults: dict[int, str]) -> subprocess.Popen[str]:
    """Start Python with broken standard streams."""

    def break_streams() -> None:
        for descriptor, fault in faults.items():
            break_stream(descriptor, fault)

    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=break_streams,
    )  # fmt: skip


FAULTS = ["closed", "full", "broken"]
EACH = [{descriptor: fault} for descriptor in range(3) for fault in FAULTS] + [dict.fromkeys(range(3), "closed")]
OUTPUT = [faults for faults in EACH if 1 in faults]  # the other streams are made safe before the words are read
# Exit code and the last words on standard error if standard output can't be written.
UNWRITTEN = {"closed": (2, "it is closed"), "full": (2, "No space left on device"), "broken": (1, "")}


@pytest.mark.parametrize(
    ("arguments", "code", "is_asked", "cases"),
    [
        ([*PROGRAM, "--version"], 0, True, EACH),
        ([*PROGRAM, "--help"], 0, True, OUTPUT),
        ([*PROGRAM, "--print-config"], 0, True, OUTPUT),
        ([*PROGRAM, "--bad"], 2, False, EACH),
        ([*CLIENT, "--help"], 0, True, EACH),
        ([*KEYS, "--help"], 0, True, EACH),
        ([*EVALUATE, "--help"], 0, True, OUTPUT),
        ([*CLIENT, "--bad"], 2, False, OUTPUT),
    ],
    ids=["version", "help", "print-config", "bad", "client", "keys", "evaluate", "client bad"],
)
def test_a_broken_stream_changes_only_what_it_should_carry(arguments, code, is_asked, cases):
    processes = [(faults, start(arguments, faults)) for faults in cases]
    for faults, process in processes:
        out, err = process.communicate(timeout=60)
        expected, words = UNWRITTEN[faults[1]] if is_asked and 1 in faults else (code, "--bad" if code else "")
        assert process.returncode == expected, (faults, err)
        assert bool(out) == (is_asked and 1 not in faults), faults
        if 2 not in faults:
            assert words in err, faults
            assert "Traceback" not in err
            assert not words or err.endswith("\n")
            assert bool(err) == bool(words), faults


def test_files_never_get_the_numbers_of_closed_streams(tmp_path):
    code = "from realtime.stdio import open_standard_streams as o; o(); import os, sys\n"
    code += f"number = os.open({str(tmp_path / 'number')!r}, os.O_WRONLY | os.O_CREAT)\n"
    code += "sys.stdin.read(), print('lost'), print('lost', file=sys.stderr); os.write(number, b'%d' % number)"
    process = start(["-c", code], dict.fromkeys(range(3), "closed"))
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "number").read_text() == "3"


def test_a_log_line_to_a_full_disk_is_lost_without_a_word():
    code = "from realtime.stdio import open_standard_streams as o; o(); import logging\n"
    code += "logging.error('x' * 100_000); print('done')"
    for fault in FAULTS:
        process = start(["-c", code], {2: fault})
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "done\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_the_encoding_lacks_is_written_as_an_escape(encoding):
    code = "from realtime.stdio import open_standard_streams as o; o(); import sys\n"
    code += "[stream.write('\\u4e16\\U0001f600\\udce9\\xe9\\n') for stream in (sys.stdout, sys.stderr)]"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert result.stdout == result.stderr
    assert rb"\udce9" in result.stdout
    # As in a JSON string, where \xe9 would be an error.
    assert json.loads(f'"{result.stdout.decode(encoding).strip()}"') == "\u4e16\U0001f600\udce9\xe9"


def test_a_stream_that_may_not_wait_loses_text_instead_of_failing():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.closing(io.FileIO(reader)), contextlib.closing(io.FileIO(writer, "w")) as pipe:
        lossy = Lossy(pipe)
        for _ in range(100):
            assert lossy.write(b"x" * 10_000) > 0
        assert lossy.has_lost


def test_a_stream_that_was_replaced_is_left_alone():
    code = "import io, sys; sys.stdout = out = io.StringIO(); sys.stderr = err = io.StringIO()\n"
    code += "from realtime.stdio import open_standard_streams as o; o(); assert (sys.stdout, sys.stderr) == (out, err)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
