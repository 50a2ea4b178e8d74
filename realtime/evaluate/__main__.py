"""The command line of the measurements: `python -m realtime.evaluate COMMAND`.

COMMANDS names the module of each command, which is imported only when the command is used. Its `add_arguments(parser)`
adds the flags, its `run(options) -> Report` measures. This file handles `--json` and errors for all of them.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

from realtime.errors import ConfigError, OutputError, RealtimeError
from realtime.evaluate.report import Report
from realtime.home import home_path
from realtime.machine import prepared_folders
from realtime.observe.log import log_uncaught, set_up_logging
from realtime.printable import say
from realtime.redact import one_line, secrets_of
from realtime.stdio import run_main
from realtime.stdout import discard_output, keep_stdout, kept_path, write_out

PROGRAM = "python -m realtime.evaluate"
# The loggers that tell which model is used, and announce its download or conversion, which may take minutes.
_SHOWN = ("realtime.models", "realtime.pose.build", "realtime.evaluate.progress")
# Name of each command: the module that implements it, and what it does.
COMMANDS = {
    "bench": (
        "realtime.evaluate.bench.command",
        "how fast is this machine: all measurements of speed, in one file that can be compared with another machine's",
    ),
    "tracking": (
        "realtime.evaluate.tracking.command",
        "score tracking against ground truth in MOTChallenge format: HOTA, DetA, AssA, MOTA, IDF1, IDSW",
    ),
    "keypoints": (
        "realtime.evaluate.keypoints",
        "score keypoints against ground truth in COCO format: OKS AP and AR",
    ),
    "smoothing": (
        "realtime.evaluate.smoothing.command",
        "compare smoothing filters with ground-truth motion: error, jitter and lag",
    ),
    "presets": (
        "realtime.evaluate.presets.command",
        "make it faster: speed, people found and keypoint change of each preset and setting, on this machine",
    ),
    "latency": (
        "realtime.evaluate.latency",
        "why is it slow: the latency of a recording or a running stream, by stage",
    ),
    "compare": (
        "realtime.evaluate.speed.compare",
        "compare our speed with that of plain loops of the same models",
    ),
    "start": (
        "realtime.evaluate.speed.start",
        "measure the time from the command to the first pose, CPU time and memory",
    ),
    "activity": (
        "realtime.evaluate.activity.command",
        "show what the motion gate does on a recording: states, wake-ups, false alarms, missed people, CPU time saved",
    ),
    "cost": (
        "realtime.evaluate.speed.cost",
        "measure the cost of more cameras, people and parallel inferences, and CPU time by part of the program",
    ),
    "precisions": (
        "realtime.evaluate.precisions",
        "show how fast this processor computes in fp32, bf16 and int8, which decides what `auto` chooses",
    ),
}


class Measurement(Protocol):
    """The two functions that the module of a command provides."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags of the command."""

    def run(self, options: argparse.Namespace) -> Report:
        """Measure and return the results.

        Raises:
            ConfigError: a flag, a file or a folder is wrong.
            RealtimeError: the measurement failed for a reason that fits on one line.
        """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command: measure, print the table and write the JSON file.

    Args:
        argv: the arguments after the program's name. None: those of this process, which is this command's own
            (realtime.cli.main).

    Returns:
        The exit code: 0 on success, 2 for a wrong command line or file or a missing library, 1 for any other failure,
        also of a part of the measurement.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    secrets = [secret for word in words for secret in secrets_of(word)]
    if argv is None:
        keep_stdout()
        set_up_logging("warning", "text", secrets)
        for name in _SHOWN:
            logging.getLogger(name).setLevel(logging.INFO)
        log_uncaught()
    try:
        return _run(words)
    except RealtimeError as error:
        say(one_line(f"error: {error}", secrets))
        return ConfigError.exit_code if isinstance(error, ConfigError) else RealtimeError.exit_code
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "realtime"):
            raise
        say(f"error: {library} is not installed: pip install 'realtime-pose[eval]'")
        return ConfigError.exit_code
    except KeyboardInterrupt:
        return RealtimeError.exit_code
    except BrokenPipeError:
        discard_output()  # its reader, such as `head`, is gone
        return RealtimeError.exit_code


def _run(argv: list[str]) -> int:
    parser = _Parser(
        PROGRAM, allow_abbrev=False, description="Measure accuracy, speed, latency and cost on your own data."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    measurement: Measurement | None = None
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, allow_abbrev=False, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if argv[:1] == [name]:
            measurement = cast("Measurement", importlib.import_module(module))
            measurement.add_arguments(command)
            command.add_argument("--json", type=home_path, metavar="FILE", help="also write the results as JSON")
    options = parser.parse_args(argv)
    assert measurement is not None  # parse_args rejects any other first word
    if options.json is not None:
        options.json = kept_path(options.json)
        _check_json(options.json)
    with prepared_folders():
        report = measurement.run(options)
    write_out(report.text())
    if options.json is not None:
        report.write_json(options.json)
    return RealtimeError.exit_code if report.failed else 0


def _check_json(file: Path) -> None:
    """Check that the file can be written: the error should come before the measurement, not after it.

    Raises:
        OutputError: the file can't be written.
    """
    try:
        file.open("a").close()
    except OSError as error:
        raise OutputError(f"--json: can't write {file}: {error.strerror}") from None


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: object = None) -> None:
        write_out(self.format_help())

    def error(self, message: str) -> NoReturn:
        was_flag = "--compare" in message.split()  # of latency, before it became a command
        raise ConfigError(f"{message}; " + (f"use {PROGRAM} compare" if was_flag else f"see {self.prog} --help"))


if __name__ == "__main__":
    run_main(main)
