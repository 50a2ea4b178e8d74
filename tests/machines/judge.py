"""Judges a cell of the table: `faults_of` returns all that is wrong with a run, and `summary` what the table says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from .cell import FRAMES, PASSWORD, Result, whole_lines
from .table import USUAL, Ends, Machine

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (debug|info|warning|error) \S")
ERROR_LINE = re.compile(r"realtime-pose: error: \S")
# What a library or Python itself prints where our code should have printed a line, or nothing.
NEVER = (
    "Traceback (most recent call last)",
    "Logging error",
    "Exception ignored",
    "Fatal Python error",
    "terminate called",
)

# When the recording fails, and once more at the end of the run.
MOST_WARNINGS = 2


def faults_of(result: Result, machine: Machine, run: str) -> list[str]:
    """Return everything that is wrong with a run; nothing if it is as the table says."""
    ends = machine.ends.get(run, Ends())
    if result.code is None:
        return ["it did not end in time"]
    faults = [f"exit code {result.code}, expected {ends.code}"] if result.code != ends.code else []
    faults += _lines(result, ends, machine)
    faults += [f"left behind: {path}" for path in result.left]
    faults += [f"other users can write {path} in the cache" for path in result.open_to_all]
    if result.code == 0:
        faults += _stream(result, machine, run)
    if run != "demo":
        faults += _recording(result, ends)
    if run == "file" and ends.code == 0:
        faults += _report(result)
    return faults


def summary(result: Result) -> str:
    """Return what the table says about a run that is as expected."""
    if result.code:
        return f"exit {result.code}, one line"
    told = result.states[-1].get("recording") if result.states else None
    return "runs; lost lines are counted" if told and told["lost"] else "runs"


def _lines(result: Result, ends: Ends, machine: Machine) -> Iterator[str]:
    text = "\n".join(result.stderr)
    for word in NEVER:
        if word in text:
            yield f"{word!r} on standard error: {result.stderr[-1]}"
    if PASSWORD in text + result.stdout or PASSWORD in (result.recording or "") + (result.report or ""):
        yield "the password of the camera is shown"
    if result.stdout:
        yield f"on standard output: {result.stdout[:200]!r}"
    others = [line for line in result.stderr if not LOG_LINE.match(line)]
    errors = [line for line in others if ERROR_LINE.match(line)]
    if len(others) > len(errors):
        yield f"a line that is neither of the log nor an error: {next(x for x in others if x not in errors)!r}"
    if machine.has_stderr:
        if len(errors) != (result.code != 0):
            yield f"{len(errors)} error lines: {errors}"
        if ends.code and not any(re.search(ends.says, line) for line in errors):
            yield f"no error line says {ends.says!r}: {errors}"
        has_home = machine.environment.get("HOME", USUAL["HOME"]) == USUAL["HOME"]
        if machine.has_cache and has_home and "converting the network" in text:
            yield "the converted network in the cache is not used"
        if machine.logs and not any(re.search(machine.logs, line) for line in result.stderr):
            yield f"no line of the log says {machine.logs!r}"


def _stream(result: Result, machine: Machine, run: str) -> Iterator[str]:
    count = len(result.poses)
    if not count:
        yield "no pose was published"
    if run != "camera" and not machine.is_paced and count != FRAMES:
        yield f"{count} poses of a file, expected {FRAMES}"
    if not result.states or result.states[-1]["state"] != "ended":
        yield "the last status is not 'ended'"


def _recording(result: Result, ends: Ends) -> Iterator[str]:
    if result.recording is None and not ends.loses:
        if result.code == 0:
            yield "no recording was written"
        return
    try:
        lines = whole_lines(result.recording or "")
    except ValueError as error:
        yield str(error)
        return
    if result.code == 0 and ends.loses:
        yield from _losses(result, len(lines))
    elif result.code == 0 and len(lines) != len(result.poses):
        yield f"{len(lines)} lines recorded, {len(result.poses)} poses published"


def _losses(result: Result, lines: int) -> Iterator[str]:
    told = result.states[-1].get("recording") if result.states else None
    if not told or not told["lost"]:
        yield f"the recording lost lines, but the status says {told}"
    elif told["written"] + told["lost"] != len(result.poses):
        yield f"the status says {told}, but {len(result.poses)} poses were published"
    elif told["written"] != lines and result.recording is not None:
        yield f"the status says {told}, but {lines} lines were recorded"
    warnings = [line for line in result.stderr if " warning record: " in line]
    if not 1 <= len(warnings) <= MOST_WARNINGS:
        yield f"{len(warnings)} warnings about the recording: {warnings}"


def _report(result: Result) -> Iterator[str]:
    try:
        camera = json.loads(result.report or "")["cameras"]["cam0"]
    except (ValueError, KeyError) as error:
        yield f"the report can't be read: {error!r}"
        return
    if camera["captured"] != camera["dropped"] + camera["published"] or camera["published"] != len(result.poses):
        yield f"the report says {camera}, but {len(result.poses)} poses were published"
