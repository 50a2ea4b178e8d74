"""What a process uses, read from /proc: CPU seconds, resident memory, children. Linux only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(process: int) -> float:
    """Return the CPU seconds that all threads of a process have used, without its children."""
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_mb(process: int) -> float:
    """Return the resident memory of a process in MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / 1e6


def child_of(process: int, word: str) -> int:
    """Return the child of a process whose command line has this word.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _is_child(path, process) and word in (path / "cmdline").read_text().split("\0")
    ]
    if len(found) != 1:
        raise LookupError(f"children of {process} with {word!r} in their command line: got {len(found)}, expected one")
    return found[0]


def slope_per_600_s(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a line through these points rises in 10 minutes (least squares)."""
    return float(np.polyfit(times_s, values, 1)[0] * 600)


def _is_child(path: Path, process: int) -> bool:
    try:
        return int(_stat(int(path.name))[1]) == process
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, from the state on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
