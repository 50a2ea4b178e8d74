"""The step that runs tests/gpu: on a GPU, each test must run and pass."""

from __future__ import annotations

import sys
import time

import pytest

from tests.bench.gpu import suite
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.steps import Job
from tests.bench.gpu.suite import FAILED, PASSED, SKIPPED, Outcome, Tally

TESTS = """
import pytest

def test_that_passes():
    pass

def test_that_fails():
    assert 1 == 2, "unlike"

def test_that_is_skipped():
    pytest.skip("no device")

@pytest.mark.xfail(reason="known")
def test_that_is_expected_to_fail():
    assert False

@pytest.fixture
def broken():
    raise OSError("no fixture")

def test_whose_fixture_fails(broken):
    pass
"""


def run_tests(folder, text: str = TESTS, left_s: float = 60.0) -> tuple[Tally, int]:
    """Run tests in a session of their own."""
    (folder / "test_some.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    tally = Tally(lambda name: None, lambda: left_s)
    words = [str(folder), f"--rootdir={folder}", "--import-mode=importlib"]
    words += [word for plugin in ("cacheprovider", "timeout") for word in ("-p", f"no:{plugin}")]
    code = int(pytest.main(words, plugins=[tally]))
    sys.modules.pop("test_some", None)  # the file of the next session has the same name
    return tally, code


def job(tmp_path, device: str) -> Job:
    return Job(device, False, Record(tmp_path / "gpu.json", "suite"), time.monotonic() + 60, tmp_path, tmp_path)


def fake_session(monkeypatch, outcomes: dict[str, Outcome], found: list[str] | None = None, code: int = 0) -> None:
    """Let pytest.main report these outcomes."""

    def main(words, plugins):
        (tally,) = plugins
        tally.found = list(outcomes) if found is None else found
        for name, outcome in outcomes.items():
            tally.outcomes[name] = outcome
            tally._tell(name)
        return code

    monkeypatch.setattr(pytest, "main", main)
    monkeypatch.setattr(suite, "_train", lambda job, folder: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_each_outcome_is_told_with_its_reason(tmp_path):
    tally, code = run_tests(tmp_path)
    kinds = {name: (outcome.kind, outcome.why) for name, outcome in tally.outcomes.items()}
    assert kinds == {
        "test_that_passes": (PASSED, ""),
        "test_that_fails": (FAILED, "AssertionError: unlike assert 1 == 2 (test_some.py:8)"),
        "test_that_is_skipped": (SKIPPED, "Skipped: no device"),
        "test_that_is_expected_to_fail": (SKIPPED, "xfail: known"),
        "test_whose_fixture_fails": (FAILED, "OSError: no fixture (test_some.py:19)"),
    }
    assert tally.gaps(code) == []
    assert tally.figures() | {"seconds": 0, "slowest": "", "seconds_of_each": {}} == {
        "found": 5, "passed": 1, "failed": 2, "skipped": 2, "seconds": 0, "slowest": "", "seconds_of_each": {},
    }  # fmt: skip


def test_a_file_that_cannot_be_imported_is_a_gap(tmp_path):
    tally, code = run_tests(tmp_path, "import no_such_package\n")
    (gap,) = tally.gaps(code)
    assert gap == "test_some.py: can't be imported: ModuleNotFoundError: No module named 'no_such_package'"


def test_no_test_starts_when_no_time_is_left(tmp_path):
    tally, _ = run_tests(tmp_path, left_s=1.0)
    assert {outcome.kind for outcome in tally.outcomes.values()} == {SKIPPED}


@pytest.mark.parametrize(
    ("outcomes", "found", "code", "failures"),
    [
        ({"test_a": Outcome(PASSED, 1.0)}, None, 0, []),
        ({"test_a": Outcome(FAILED, 1.0, "0.3 > 0.2")}, None, 1, ["test_a: failed: 0.3 > 0.2"]),
        # on a GPU, nothing may be skipped
        ({"test_a": Outcome(SKIPPED, 0.0, "no weights")}, None, 0, ["test_a: skipped: no weights"]),
        # the session ended early
        ({"test_a": Outcome(PASSED, 1.0)}, ["test_a", "test_b"], 2, ["test_b: did not run"]),
        ({"test_a": Outcome(PASSED, 1.0)}, None, 3, ["pytest ended with exit code 3, its output is in gpu.log"]),
        ({}, None, 5, ["no tests were found; pytest ended with exit code 5, its output is in gpu.log"]),
    ],
)
def test_on_a_gpu_all_that_did_not_pass_is_a_failure(tmp_path, monkeypatch, outcomes, found, code, failures):
    fake_session(monkeypatch, outcomes, found, code)
    suite.run(job(tmp_path, "cuda:0"))
    assert read(tmp_path / "gpu.json")["steps"]["suite"]["failures"] == failures


def test_on_a_cpu_the_tests_are_counted(tmp_path, monkeypatch):
    fake_session(monkeypatch, {f"test_{letter}": Outcome(SKIPPED, 0.0, "no device") for letter in "abc"})
    suite.run(job(tmp_path, "cpu"))
    part = read(tmp_path / "gpu.json")["steps"]["suite"]
    assert part["failures"] == []
    assert part["left_out"] == ["3 tests, because they need a CUDA device"]


def test_the_device_becomes_the_only_one():
    assert suite.visible("cuda:1", None) == "1"
    assert suite.visible("cuda:1", "4,GPU-7") == "GPU-7"
