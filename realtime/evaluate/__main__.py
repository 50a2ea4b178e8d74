"""The command line of the measurements: python -m realtime.evaluate tracking | keypoints | smoothing | latency | cost.

The front of realtime.evaluate. Each subcommand is a module with two functions, imported only when it is asked for:
`add_arguments(parser)` adds its flags, `run(options) -> Report` measures. `--json` and errors are dealt with here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

from realtime.errors import ConfigError, OutputError, RealtimeError
from realtime.evaluate.report import Report
from realtime.redact import redact

PROGRAM = "python -m realtime.evaluate"
COMMANDS = {
    "tracking": "identities against ground truth in MOTChallenge form: HOTA, DetA, AssA, MOTA, IDF1, IDSW",
    "keypoints": "keypoints against ground truth in COCO form: OKS AP and AR",
    "smoothing": "filters against true motion: error, jitter and lag",
    "latency": "capture to publish, stage by stage, of a recording or a running publisher; --compare: against others",
    "cost": "what more cameras and people cost, and the share of all besides the two models",
}


class Measurement(Protocol):
    """What a subcommand's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags."""

    def run(self, options: argparse.Namespace) -> Report:
        """Measure.

        Raises:
            ConfigError: a flag, a file or a folder is wrong.
            RealtimeError: nothing could be measured, for a reason that the user can read in one line.
        """


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON.

    Args:
        argv: the arguments after the program's name; default: the process's.

    Returns:
        The exit code: 0; 2 for a wrong command line, file or missing library; 1 for anything else.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except RealtimeError as error:
        sys.stderr.write(redact(f"error: {error}\n"))
        return ConfigError.exit_code if isinstance(error, ConfigError) else RealtimeError.exit_code
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "realtime"):
            raise
        sys.stderr.write(f"error: {library} is not installed: pip install 'realtime-pose[eval]'\n")
        return ConfigError.exit_code
    except KeyboardInterrupt:
        return RealtimeError.exit_code
    except BrokenPipeError:
        # The reader of the pipe has seen enough. Python would flush, and fail, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: list[str]) -> int:
    parser = _Parser(PROGRAM, allow_abbrev=False, description="Measure: one table on standard output.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    measurement: Measurement | None = None
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, allow_abbrev=False, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if argv[:1] == [name]:
            measurement = cast("Measurement", importlib.import_module(f"realtime.evaluate.{name}"))
            measurement.add_arguments(command)
            command.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON, too")
    options = parser.parse_args(argv)
    assert measurement is not None  # parse_args takes no other first word
    if options.json is not None:
        _check_json(options.json)
    report = measurement.run(options)
    sys.stdout.write(report.text())
    sys.stdout.flush()
    if options.json is not None:
        report.write_json(options.json)
    return 0


def _check_json(file: Path) -> None:
    """A file that can't be written is told before the measurement, not after it."""
    try:
        file.open("a").close()
    except OSError as error:
        raise OutputError(f"--json: can't write {file}: {error.strerror}") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


if __name__ == "__main__":
    sys.exit(main())
