"""The processor of this machine: its name, and what it can do.

Used by models.proof and models.speeds, because a self-test and a measured speed hold for one kind of processor, and by
evaluate.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

# Instruction sets that decide how fast networks run, and in which precision, as Linux names them.
_DECISIVE = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16")
_FILE = Path("/proc/cpuinfo")


def processor(file: Path = _FILE) -> tuple[str, list[str]]:
    """Return the name of the processor and those of its instruction sets that decide how fast networks run.

    >>> processor(Path("no such file"))[1]
    []

    Args:
        file: describes the processor. If it can't be read, as on macOS, no instruction set is known.
    """
    name, known = _read(file)
    return name, [each for each in _DECISIVE if each in known]


def kind_of_processor(file: Path = _FILE) -> str:
    """Return a text that differs between kinds of processors: the name, and a digest of all instruction sets.

    >>> kind_of_processor(Path("no such file")).rpartition(" ")[2]
    'e3b0c442'
    """
    name, known = _read(file)
    return f"{name} {hashlib.sha256(' '.join(sorted(known)).encode()).hexdigest()[:8]}"


def _read(file: Path) -> tuple[str, list[str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [line.partition(":") for line in text.splitlines()]
    first = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    known = (first.get("flags") or first.get("Features") or "").split()
    return first.get("model name") or platform.processor() or platform.machine(), known
