"""Outputs are complete or not there, and destroy nothing."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.recordings.convert.recordings import convert, error_of, people, recorded

# The formats whose file we write ourselves.
FORMATS = ["coco", "mot", "csv", "jsonl", "mcap"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_earlier_file_is_renamed(tmp_path: Path) -> None:
    path, out = recorded(tmp_path / "x.jsonl", people(0)), tmp_path / "x.csv"
    out.write_text("earlier")
    os.utime(out, (1795873500, 1795873500))
    before = content(tmp_path)
    convert(path, "csv", out)
    after = content(tmp_path)
    assert after.pop("x.csv").startswith(b"session")
    assert after == {**{k: v for k, v in before.items() if k != "x.csv"}, "x-20261128T134500Z.csv": b"earlier"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    out = tmp_path / "x.txt"
    out.symlink_to(tmp_path / "real" / "y.txt")
    convert(recorded(tmp_path / "x.jsonl", people(0)), "mot", out)
    assert out.is_symlink()
    assert (tmp_path / "real" / "y.txt").read_text().count("\n") == 2


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_is_one_line_and_nothing_stays_behind(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    small_files: Callable[[], AbstractContextManager[None]],
) -> None:  # fmt: skip
    path, out = recorded(tmp_path / "x.jsonl", *map(people, range(500))), tmp_path / "out"
    before = content(tmp_path)
    with small_files():
        convert(path, to, out, code=1)
    assert error_of(capsys) == f"{out}: can't be written: File too large"
    assert content(tmp_path) == before


# The output, and the error.
REFUSED = [
    ("{dir}/none/x", "{dir}/none/x: can't be written: No such file or directory"),
    ("{dir}", "{dir}: a folder, expected a file"),
    ("{dir}/x.jsonl", "--out: {dir}/x.jsonl is read by this conversion: choose another file"),
    ("{dir}/x.info.json", "--out: {dir}/x.info.json is read by this conversion: choose another file"),
    ("{dir}/x.jsonl/y", "{dir}/x.jsonl/y: can't be written: Not a directory"),
]


@pytest.mark.parametrize(("out", "told"), REFUSED)
def test_an_output_that_cannot_be_written_is_exit_2(
    out: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0))
    before = content(tmp_path)
    convert(path, "csv", Path(out.format(dir=tmp_path)), code=2)
    assert error_of(capsys) == told.format(dir=tmp_path)
    assert content(tmp_path) == before


def test_a_file_that_a_run_writes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = recorded(tmp_path / "x.jsonl", people(0)), tmp_path / "y.jsonl"
    with out.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        convert(path, "jsonl", out, code=2)
    assert "a run writes it" in error_of(capsys)


def run(*words: str, **changes: object) -> subprocess.Popen:
    code = "import sys; from realtime.convert import main; sys.exit(main())"
    return subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, **changes)


def test_pipes_are_read_and_written_until_the_reader_is_gone(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", *map(people, range(400)))
    words = ["/dev/stdin", "--to", "mot", "--out", "/dev/stdout"]
    with path.open("rb") as recording:
        process = run(*words, stdin=recording, stdout=subprocess.PIPE)
        lines = process.communicate(timeout=20)[0].splitlines()
    assert (process.returncode, len(lines), lines[-1].split(b",")[:2]) == (0, 800, [b"400", b"2"])


def test_a_signal_leaves_nothing_behind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    out = tmp_path / "out"
    out.mkdir()
    process = run(str(tmp_path / "x.jsonl"), "--to", "csv", "--out", str(out / "x.csv"))
    with (tmp_path / "x.jsonl").open("wb", buffering=0) as pipe:  # opens when the conversion reads it
        pipe.write(recorded(tmp_path / "y.jsonl", people(0)).read_bytes())
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (1, b"error: interrupted before the output was complete\n")
    assert not list(out.iterdir())
