"""The processor of this machine, as a report names it. Used by `command`."""

from __future__ import annotations

import platform
from pathlib import Path

# Instruction sets that decide how fast networks run, as Linux names them.
_DECISIVE = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16")


def processor(file: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """Return the name of the processor and those of its instruction sets that decide how fast networks run.

    Args:
        file: describes the processor. If it can't be read, as on macOS, no instruction set is known.
    """
    try:
        text = file.read_text(errors="replace")
    except OSError:
        text = ""
    lines = [line.partition(":") for line in text.splitlines()]
    first = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    known = (first.get("flags") or first.get("Features") or "").split()
    name = first.get("model name") or platform.processor() or platform.machine()
    return name, [each for each in _DECISIVE if each in known]
