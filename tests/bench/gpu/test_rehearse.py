"""The rehearsal notices what went wrong in the run that it rehearses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench.gpu import rehearse
from tests.bench.gpu.record import PASSED, write
from tests.bench.gpu.steps import STEPS


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone after a run in which all went well."""
    (tmp_path / "gpu-results").mkdir()
    (tmp_path / ".gitignore").write_text("*\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in ("gpu.md", "trace.json.gz"):
        (tmp_path / "gpu-results" / name).write_bytes(b"")
    write_states(tmp_path, {})
    return tmp_path


def write_states(clone: Path, states: dict[str, str]) -> None:
    steps = {step.name: {"state": states.get(step.name, PASSED)} for step in STEPS}
    write(clone / "gpu-results" / "gpu.json", {"steps": {name: step for name, step in steps.items() if step["state"]}})


def test_a_good_run_has_no_faults(clone):
    assert rehearse.faults_of(clone, 0, 100.0) == []


def test_each_fault_is_told(clone, monkeypatch):
    write_states(clone, {"suite": "failed", "soak": ""})
    (clone / "gpu-results" / "gpu.md").unlink()
    (clone / "gpu-results" / "trace.json.gz").write_bytes(bytes(2**20))
    (clone / ".gitignore").write_text("gpu-results\n.gitignore\n")
    (clone / "left").touch()
    monkeypatch.setattr(rehearse, "MOST_TRACE_MIB", 0.5)
    assert rehearse.faults_of(clone, 1, 481.0) == [
        "make gpu ended with exit code 1",
        "the step soak did not run",
        "the step suite: failed",
        "it took 481 s, more than 480 s",
        "gpu-results/gpu.md is missing",
        "the trace takes 1.0 MiB, more than 0.5 MiB",
        "it left in the clone: ?? left",
    ]


def test_a_changed_environment_is_noticed_but_not_compiled_python(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "package.py").touch()
    before = rehearse.files_in(tmp_path)
    (tmp_path / "__pycache__" / "package.pyc").touch()
    assert rehearse.changes(before, rehearse.files_in(tmp_path)) == []
    (tmp_path / "new.py").touch()
    (text,) = rehearse.changes(before, rehearse.files_in(tmp_path))
    assert text == f"1 files of the environment changed, such as {tmp_path / 'new.py'}"
