"""Run all measurements of speed in one go, and write one file that can be compared with that of another machine.

This is `python -m realtime.evaluate bench`. Each section is another command of realtime.evaluate, in a process of its
own, so that one that fails does not end the others. The file is written again after each section.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from realtime.errors import ConfigError, RealtimeError
from realtime.evaluate.bench.files import Bench, Figure, Result
from realtime.evaluate.bench.machine import chosen, machine
from realtime.evaluate.bench.sections import SECTIONS, Section
from realtime.evaluate.bench.side_by_side import compared
from realtime.evaluate.report import Cell, Report
from realtime.home import home_path
from realtime.printable import say

# After Ctrl-C, a section gets this long (s) to end its processes.
_LEAVE_S = 10.0
# How the line begins with which a command ends that failed.
_ERROR = "error: "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument
    names = ", ".join(section.name for section in SECTIONS)
    add("--video", metavar="CLIP", help="video file to process; default: the built-in demo source")
    add("--quick", action="store_true", help="fewer frames and one round each: rough figures in a quarter of the time")
    add("--sections", metavar="A,B", help=f"run only these: {names}; default: all")
    add(
        "--compare",
        nargs=2,
        type=home_path,
        metavar="FILE",
        help="measure nothing, and show the figures of two files that --json wrote side by side",
    )


def run(options: argparse.Namespace) -> Report:
    """Run the sections, or compare two files.

    A section that fails, and Ctrl-C, are named above the table; the exit code is then 1.

    Raises:
        ConfigError: a flag or a file is wrong.
    """
    if options.compare is not None:
        return compared(*options.compare)
    sections = _chosen_sections(options.sections)
    video = None if options.video is None else str(home_path(options.video))
    if video is not None and not Path(video).is_file():
        raise ConfigError(f"--video: {video}: no such file")
    minutes = sum(section.minutes[options.quick] for section in sections)
    names = ", ".join(section.name for section in sections)
    say(f"bench: about {max(1.0, minutes):.0f} min on 2 cores for {names}")
    bench = Bench(format=1, quick=options.quick, machine=machine(), commands=[], sections={})
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        try:
            bench.machine.auto = chosen(Path(name))
        except RealtimeError as error:
            problems.append(f"the program failed with its defaults: {error}")
            say(problems[-1])
        except KeyboardInterrupt:
            sections = []
            problems.append("interrupted before the first section")
        for number, section in enumerate(sections, 1):
            words = section.words(video, options.quick)
            command = shlex.join(["python", "-m", "realtime.evaluate", *words])
            say(f"section {number} of {len(sections)}, {section.name}: {command}")
            try:
                result = _result(section, words, Path(name) / "section.json")
            except KeyboardInterrupt:
                problems.append(f"interrupted during section {number} of {len(sections)}, {section.name}")
                break
            bench.commands.append(command)
            bench.sections[section.name] = result
            if result.error is not None:
                problems.append(f"{section.name} failed: {result.error}")
                say(problems[-1])
            if options.json is not None:
                _report(bench, problems).write_json(options.json)
    return _report(bench, problems)


def _result(section: Section, words: Sequence[str], file: Path) -> Result:
    began_s = time.monotonic()
    try:
        measure(words, file)
    except RealtimeError as error:
        return Result(time.monotonic() - began_s, error=str(error))
    data = json.loads(file.read_text(encoding="utf-8"))
    figures = {name: Figure(**figure) for name, figure in section.figures(data).items()}
    return Result(time.monotonic() - began_s, figures, data)


def measure(words: Sequence[str], file: Path) -> None:
    """Run a command of realtime.evaluate in a process of its own, and pass its lines on to standard error.

    Args:
        words: the command and its flags.
        file: where it writes its results as JSON.

    Raises:
        RealtimeError: it failed. The message is its last line.
    """
    command = [sys.executable, "-m", "realtime.evaluate", *words, "--json", str(file)]
    last = ""
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as child:
        assert child.stderr is not None
        try:
            for line in child.stderr:
                last = line.rstrip()
                if not last.startswith(_ERROR):
                    say(last)
        except BaseException:
            _end(child)
            raise
    if child.returncode < 0:
        raise RealtimeError(f"killed by signal {-child.returncode}")
    if child.returncode:
        raise RealtimeError(last.removeprefix(_ERROR) or f"exit code {child.returncode}")


def _end(child: subprocess.Popen[str]) -> None:
    """End a section, which ends its own processes on SIGINT. On a terminal, Ctrl-C has reached them too."""
    with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
        child.send_signal(signal.SIGINT)
        child.wait(_LEAVE_S)
    child.kill()


def _report(bench: Bench, problems: Sequence[str]) -> Report:
    rows: list[list[Cell]] = [
        [section, name, figure.median, figure.min, figure.max]
        for section, result in bench.sections.items()
        for name, figure in result.figures.items()
    ]
    minutes = sum(result.seconds for result in bench.sections.values()) / 60
    return Report(
        title=f"{bench.machine.in_words()}; {minutes:.0f} minutes",
        columns=["section", "figure", "median", "least", "most"],
        rows=rows,
        data=msgspec.to_builtins(bench),
        notes=["speed: ours divided by that side's. age, first: time to a result, ours divided by that side's."],
        warnings=problems,
        failed=bool(problems),
    )


def _chosen_sections(names: str | None) -> list[Section]:
    if names is None:
        return list(SECTIONS)
    known = {section.name: section for section in SECTIONS}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"--sections: got {unknown[0]!r}, expected some of {', '.join(known)}")
    return [section for name, section in known.items() if name in wanted]
