"""The processor of this machine, and the note below a table that says what its figures were computed with.

Used by `keypoints`, `tracking`, `presets` and benchmarks: scores depend on the precision, which `auto` chooses by the
processor.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

# Instruction sets that decide how fast networks run, and in which precision, as Linux names them.
_DECISIVE = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16")


def processor(file: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """Return the name of the processor and those of its instruction sets that decide how fast networks run.

    >>> processor(Path("no such file"))[1]
    []

    Args:
        file: describes the processor. If it can't be read, as on macOS, no instruction set is known.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [line.partition(":") for line in text.splitlines()]
    first = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    known = (first.get("flags") or first.get("Features") or "").split()
    name = first.get("model name") or platform.processor() or platform.machine()
    return name, [each for each in _DECISIVE if each in known]


def computed_with(device: str, engines: Mapping[str, str | None]) -> str:
    """Return a note: "computed on cpu with detector openvino bf16; processor: AMD EPYC (avx2, avx512_bf16)".

    Args:
        device: the device of the networks.
        engines: by network, its engine and precision; None for one that was not run.
    """
    used = [f"{network} {engine}" for network, engine in engines.items() if engine]
    name, instructions = processor()
    known = f" ({', '.join(instructions)})" if instructions else ""
    return f"computed on {device} with {', '.join(used) or 'no network'}; processor: {name}{known}"
