import json
from pathlib import Path
from typing import Any

import pytest

from realtime.evaluate.__main__ import main

MACHINE: dict[str, Any] = {
    "processor": "AMD EPYC", "instructions": ["avx2"], "cores": 2, "memory_gb": 23.4, "system": "Linux x86_64",
    "python": "3.11.7", "program": "0.1.0", "libraries": {"torch": "2.14"}, "auto": {"pose_engine": "openvino fp32"},
}  # fmt: skip


def bench(**figures: float | None) -> dict[str, Any]:
    ranges = {name: {"median": value, "min": value, "max": value} for name, value in figures.items()}
    sections = {"boxes": {"seconds": 9.5, "figures": ranges, "data": {"any": [1]}, "error": None}}
    return {"format": 1, "quick": False, "machine": MACHINE, "commands": ["x"], "sections": sections, "title": "t"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text(json.dumps(bench(track=2.0, zero=0.0, here=1.0)))
    other.write_text(json.dumps(bench(track=3.0, zero=1.0, there=None)))
    return one, other


def test_the_figures_of_two_machines_are_side_by_side(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "numbers.json"
    assert main(["bench", "--compare", *map(str, files), "--json", str(numbers)]) == 0
    out = capsys.readouterr().out
    assert "boxes    track   2.00  3.00   1.50" in out
    assert "boxes    zero    0.00  1.00      -" in out
    assert "boxes    here    1.00     -      -" in out
    assert "boxes    there      -     -      -" in out
    assert "AMD EPYC (avx2), 2 cores, 23 GB; auto: openvino fp32" in out
    assert json.loads(numbers.read_text())["sections"]["boxes"]["track"] == {"a": 2, "b": 3, "b_over_a": 1.5}


def test_what_else_differs_is_named_above_the_table(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = bench(track=1.0)
    data["quick"] = True
    data["machine"] = MACHINE | {"cores": 8, "libraries": {"torch": "2.13"}}
    data["sections"]["live"] = {"seconds": 1, "error": "no \x1b[31m clip"}
    files[1].write_text(json.dumps(data))
    assert main(["bench", "--compare", *map(str, files)]) == 0
    out = capsys.readouterr().out
    assert "warning: only one of the files was measured with --quick" in out
    assert "warning: the machines have 2 and 8 cores" in out
    assert "warning: the versions of libraries differ: torch 2.14 and 2.13" in out
    assert r"B: live failed: no \x1b[31m clip" in out


def changed(**keys: object) -> bytes:
    return json.dumps(bench(track=1.0) | keys).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[1]",
        b"\xff\xfe{",
        b"[" * 100_000,
        json.dumps({"modes": {}}).encode(),  # of another command
        changed(format=2),
        changed(format="1"),
        changed(machine={}),
        changed(sections=[]),
        changed(sections={"boxes": {"seconds": 1, "figures": {"x": {"median": 1}}}}),
        json.dumps(bench(track=float("nan"))).encode(),
        json.dumps(bench(track=7.5)).replace("7.5", "1e999").encode(),
    ],
)
def test_a_file_of_another_format_is_refused_in_one_line(
    content: bytes, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[1].write_bytes(content)
    assert main(["bench", "--compare", *map(str, files)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: --compare: {files[1]}: expected a file of format 1 that bench --json wrote: ")
    assert shown.err.count("\n") == 1


def test_a_folder_and_a_missing_file_are_refused_in_one_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "gone", "No such file or directory")):
        assert main(["bench", "--compare", str(files[0]), str(path)]) == 2
        assert capsys.readouterr().err == f"error: --compare: {path} can't be read: {why}\n"
