import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.gpu import table
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.table import groups, markdown

ABOUT = {"device": "cuda:0", "gpu": "NVIDIA H200", "gpu_gb": 150.1, "torch": "2.11.0", "cuda": "13.0", "short": False,
         "python": "3.12.3", "processor": "AMD EPYC (avx2, amx_bf16)", "cores": 16, "commit": "abc1234"}  # fmt: skip
CELL = {"size": "S", "precision": "fp16", "people": 8, "cameras": 1, "live": False, "eager": False, "graphs": True,
        "streams": True, "fps": 312.4, "busy_detect": 0.9}  # fmt: skip


def step(entries: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"state": "passed", "seconds": 2.0, "entries": entries or {}, "failures": [], "left_out": []} | more


def lines(about: dict[str, Any] = ABOUT, **steps: Any) -> list[str]:
    return markdown({"about": about, "steps": steps}).splitlines()


def test_the_examples_are_right() -> None:
    assert doctest.testmod(table).failed == 0


def test_the_head_names_the_machine_and_the_command() -> None:
    text = "\n".join(lines())
    assert text.startswith("## NVIDIA H200\n")
    for part in ("150.1 GB", "torch 2.11.0", "CUDA 13.0", "Python 3.12.3", "(avx2, amx_bf16)", "commit abc1234"):
        assert part in text
    assert "    make gpu\n" in text + "\n"
    short = "\n".join(lines({"device": "cpu", "processor": "AMD EPYC", "short": True}))
    assert "make gpu DEVICE=cpu" in short
    assert "figures mean little" in short


def test_entries_with_the_same_figures_are_rows_of_one_table() -> None:
    told = lines(parity=step({"S": {"p99_px": 0.1234, "engine": "torch"}, "B": {"p99_px": 2.0, "engine": "torch"}}))
    at = told.index("In all rows: engine torch.")
    assert told[at + 2 : at + 6] == ["|  | p99 px |", "| --- | --- |", "| S | 0.123 |", "| B | 2.00 |"]


def test_entries_whose_figures_are_all_the_same_are_one_line() -> None:
    assert "- S, B: p99 px 0" in lines(parity=step({"S": {"p99_px": 0}, "B": {"p99_px": 0}}))


def test_an_entry_joins_a_table_that_has_all_its_figures() -> None:
    ours, theirs, other = {"fps": 1.0}, {"fps": 2.0, "ratio": 2.0}, {"frame_ms": 21.3}
    assert groups({"theirs": theirs, "other": other, "ours": ours}) == [
        {"theirs": theirs, "ours": ours},
        {"other": other},
    ]
    assert groups({"ours": ours, "theirs": theirs}) == [{"ours": ours, "theirs": theirs}]
    told = lines(beside=step({"theirs": theirs, "ours": ours}))
    assert "| ours | 1.00 |  |" in told


def test_failures_come_first_and_bold_and_what_was_left_out_comes_last() -> None:
    part = step({"a": {"fps": 1.0}}, state="failed", failures=["p99 3 px | expected **1**"], left_out=["B: no time"])
    told = lines(parity=part, soak=step(state="ended early"))
    assert "**Not passed: parity (failed), soak (ended early).**" in told
    order = [
        "### parity: failed, 2 s",
        "- **Failed: p99 3 px \\| expected \\*\\*1\\*\\***",
        "- a: frames/s 1.00",
        "Left out:",
    ]
    places = [told.index(line) for line in order]
    assert places == sorted(places)
    assert told[places[-1] + 2] == "- B: no time"


def test_cells_are_escaped_and_lists_are_not_shown() -> None:
    told = lines(soak=step({"a|b\n<c>": {"x": "1|2", "series": [1, 2]}, "d": {"x": None, "series": [3]}}))
    assert "| a\\|b &lt;c> | 1\\|2 |" in told
    assert "| d | – |" in told
    assert not [line for line in told if "[1, 2]" in line]


def test_speed_is_shown_by_model_and_people() -> None:
    cells = {
        "S 8": CELL,
        "S 64": CELL | {"people": 64, "fps": 99.96},
        "B 8": CELL | {"size": "B"},
        "S 8, no graphs": CELL | {"graphs": False},
        "rates": {"copy_gb_per_s": 3000.0},
    }
    told = lines(speed=step(cells))
    at = told.index("| model | 8 people | 64 people |")
    assert told[at + 2 : at + 4] == ["| ViTPose-S fp16 | 312 | 100 |", "| ViTPose-B fp16 | 312 |  |"]
    assert "- S 8, no graphs: frames/s 312" in told
    assert "- rates: copy GB/s 3000" in told


@pytest.mark.parametrize(
    "results",
    [{"about": {}, "steps": {}}, {"about": {"error": "x"}, "steps": {"suite": step(state="running", seconds=0.0)}}],
)
def test_empty_results_have_a_table(results: dict[str, Any]) -> None:
    assert markdown(results).startswith("## unknown machine\n")


def test_an_entry_without_figures_is_named() -> None:
    assert "- lost" in lines(soak=step({"lost": {}}))
    assert "| only a series |  |" in lines(soak=step({"only a series": {"series": [1]}, "other": {"fps": 1.0}}))


def test_a_file_is_printed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gpu.json"
    Record(file, "memory").put("loaded", rss_mib=1234.5)
    capsys.readouterr()
    assert table.main([str(file)]) == 0
    assert capsys.readouterr().out == markdown(read(file))
    assert json.loads(file.read_text())["steps"]["memory"]["entries"] == {"loaded": {"rss_mib": 1234.5}}
    assert table.main([str(tmp_path / "missing.json")]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"steps": {"spe', "[1]", '{"about": {}}', "\0"])
def test_a_file_that_is_no_result_is_one_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gpu.json"
    file.write_text(content)
    assert table.main([str(file)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}: expected a gpu.json of make gpu")
