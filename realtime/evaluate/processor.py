"""The hardware and the precision that a measurement was computed with, for the notes below its table.

Used by `keypoints` and `tracking`: their scores depend on the precision, and `auto` chooses it by the processor.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path

# The extensions on which the speed of a network depends, and the precision that `auto` chooses.
_EXTENSIONS = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "asimddp", "bf16", "i8mm",
)  # fmt: skip


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor, and those extensions of its instruction set that matter here.

    >>> processor(Path("no such file")) == (platform.processor() or platform.machine())
    True

    Args:
        cpuinfo: Linux's description of the processor; without it, the extensions are unknown.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    name, flags = (re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE) for key in ("model name", "(?:flags|Features)"))
    words = flags[1].split() if flags else []
    found = [word for word in _EXTENSIONS if word in words]
    return f"{name[1] if name else platform.machine()}" + (f" ({', '.join(found)})" if found else "")


def computed_with(device: str, engines: Mapping[str, str | None]) -> str:
    """Return a note: "computed on cpu with detector openvino bf16; processor: AMD EPYC (avx2, avx512_bf16)".

    Args:
        device: the device of the networks.
        engines: by network, its engine and precision; None for one that was not run.
    """
    used = [f"{network} {engine}" for network, engine in engines.items() if engine]
    return f"computed on {device} with {', '.join(used) or 'no network'}; processor: {processor()}"
