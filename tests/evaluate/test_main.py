import argparse
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from realtime.errors import ConfigError, ModelError, RealtimeError, SourceError, SourceReason
from realtime.evaluate import __main__ as command
from realtime.evaluate.report import Report

REPORT = Report(
    title="Two things",
    columns=["name", "share", "count"],
    rows=[["short", 1.0, 7], ["a longer one", 12.345, None]],
    data={"numbers": {"a": 1.5, "b": float("nan")}, "list": (1, 2)},
    notes=["A note."],
)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Add a command, `fake`, that returns REPORT, or raises its attribute `error` if one is set."""
    module = ModuleType("realtime.evaluate.fake")
    module.error = None

    def run(options: argparse.Namespace) -> Report:
        if module.error is not None:
            raise module.error
        return REPORT

    module.add_arguments = lambda parser: parser.add_argument("--number", type=int)
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(command.COMMANDS, "fake", (module.__name__, "measures nothing"))
    return module


def test_names_in_the_table_and_in_errors_stay_on_one_line(measure: ModuleType, capsys) -> None:
    odd, seen = "a\nforged \x1b[31m", r"a\nforged \x1b[31m"
    assert seen in Report("t", ["name"], [[odd]], {}).text()
    measure.error = ConfigError(f"--detections: no such file: {odd}")
    assert command.main(["fake"]) == 2
    assert capsys.readouterr().err == f"error: --detections: no such file: {seen}\n"
    assert command.main([odd]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_table_is_aligned_plain_text() -> None:
    assert REPORT.text() == (
        "Two things\n\nname          share  count\nshort          1.00      7\na longer one  12.35      -\n\nA note.\n"
    )


def test_a_row_must_have_one_cell_per_column() -> None:
    with pytest.raises(ValueError, match="expected 2 cells"):
        Report("t", ["a", "b"], [[1]], {})


def test_a_table_without_rows_shows_its_header() -> None:
    assert Report("t", ["a", "b"], [], {}).text() == "t\n\na  b\n"


def test_the_table_goes_to_standard_output_and_the_data_to_the_json_file(
    measure: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "numbers.json"
    assert command.main(["fake", "--json", str(file)]) == 0
    assert capsys.readouterr().out == REPORT.text()
    assert json.loads(file.read_text()) == {
        "title": "Two things",
        "numbers": {"a": 1.5, "b": None},
        "list": [1, 2],
        "notes": ["A note."],
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("det.txt: no such file"), 2),
        (RealtimeError("no poses received"), 1),
        (SourceError("clip.mp4: lost", SourceReason.LOST), 1),  # the pipeline exits with 3, a measurement with 1
        (ModelError("no weights"), 1),
        (ModuleNotFoundError("No module named 'trackers'", name="trackers"), 2),
        (KeyboardInterrupt(), 1),
    ],
)
def test_an_error_is_one_line_with_an_exit_code(
    measure: ModuleType, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    measure.error = error
    assert command.main(["fake"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == (0 if isinstance(error, KeyboardInterrupt) else 1)


def test_a_missing_library_is_named_with_the_extra_that_installs_it(
    measure: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    measure.error = ModuleNotFoundError("No module named 'trackers.eval'", name="trackers.eval")
    command.main(["fake"])
    assert capsys.readouterr().err == "error: trackers is not installed: pip install 'realtime-pose[eval]'\n"


def test_a_missing_module_of_our_own_keeps_its_traceback(measure: ModuleType) -> None:
    measure.error = ModuleNotFoundError("No module named 'realtime.gone'", name="realtime.gone")
    with pytest.raises(ModuleNotFoundError):
        command.main(["fake"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: COMMAND"),
        (["speed"], "invalid choice: 'speed'"),
        (["fake", "--numbr", "1"], "unrecognized arguments: --numbr 1"),
        (["latency", "--compare", "--mode", "live"], "use python -m realtime.evaluate compare"),
        (["fake", "--number", "one"], "invalid int value: 'one'"),
        (["fake", "--json", "/nowhere/numbers.json"], "--json: can't write /nowhere/numbers.json"),
    ],
)
def test_a_wrong_command_line_is_one_error_line_and_exit_code_2(
    measure: ModuleType, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_help_names_every_command_without_importing_any(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("tracking", "keypoints", "smoothing", "latency", "compare", "cost"))
