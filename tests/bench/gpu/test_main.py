"""The runner of `make gpu`: its steps are bounded in time, and whatever happens in one is on disk."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.bench.gpu import __main__ as runner
from tests.bench.gpu.record import CRASHED, ENDED_EARLY, Record, read
from tests.bench.gpu.steps import STEPS, TOTAL_S, limit_s
from tests.doubles import wait_until

# A step that does not end when it is asked to, with a child that doesn't either.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(60)
"""


def started(code: str, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], start_new_session=True)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_step_that_does_not_end_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_GRACE_S", 0.2)
    file = tmp_path / "child"
    process = started(STUBBORN, file)
    wait_until(lambda: file.exists() and file.read_text())
    assert runner._follow(process, 0.1) == ENDED_EARLY
    assert process.returncode is not None
    wait_until(lambda: not is_alive(int(file.read_text())))


@pytest.mark.parametrize(("code", "state"), [("pass", None), ("raise SystemExit(1)", CRASHED), ("import os; os.abort()", CRASHED)])  # fmt: skip # noqa: E501
def test_how_a_step_ended_is_seen(code: str, state: str | None) -> None:
    assert runner._follow(started(code), 30) == state


def test_what_a_step_had_before_its_error_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: object) -> None:
        job.record.put("first", p50_ms=1.5)  # type: ignore[attr-defined]
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(sys.modules, "tests.bench.gpu.broken", types.SimpleNamespace(run=run))  # type: ignore[arg-type]
    words = ["--device", "cpu", "--out", str(tmp_path), "--folder", str(tmp_path), "--one", "broken", "5"]
    assert runner.main(words) == 1
    part = read(tmp_path / "gpu.json")["steps"]["broken"]
    assert part["entries"] == {"first": {"p50_ms": 1.5}}
    assert part["failures"] == ["RuntimeError: CUDA error: an illegal memory access was encountered"]


def test_a_figure_that_is_no_number_leaves_the_file_readable(tmp_path: Path) -> None:
    Record(tmp_path / "gpu.json", "parity").put("nothing", p99_px=float("nan"), series=[1.0, float("inf")])
    assert read(tmp_path / "gpu.json")["steps"]["parity"]["entries"] == {
        "nothing": {"p99_px": None, "series": [1.0, None]}
    }


def test_all_steps_fit_into_eight_minutes_and_speed_takes_what_others_leave() -> None:
    assert sum(step.limit_s for step in STEPS) <= TOTAL_S < 480
    speed = next(step for step in STEPS if step.takes_rest)
    before_s = sum(step.limit_s for step in STEPS[: STEPS.index(speed)])
    after_s = sum(step.limit_s for step in STEPS[STEPS.index(speed) + 1 :])
    assert limit_s(speed, before_s) >= speed.limit_s
    assert limit_s(speed, spent_s=10.0) + 10.0 + after_s == TOTAL_S


@pytest.mark.parametrize("out", ["a file", "a file/below"])
def test_results_that_can_not_be_written_are_one_line(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").touch()
    assert runner.main(["--device", "cpu", "--out", str(tmp_path / out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"make gpu: can't write to {tmp_path / out}: ")
