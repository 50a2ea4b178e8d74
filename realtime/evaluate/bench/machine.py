"""The machine that was measured: processor, memory, libraries, and what `auto` chooses on it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import realtime
from realtime.errors import RealtimeError
from realtime.evaluate.bench.files import Machine
from realtime.evaluate.processor import processor
from realtime.machine import environment_without_settings
from realtime.runtime.core_budget import all_cores

_LIBRARIES = ("av", "boxmot", "numpy", "opencv-python", "openvino", "torch", "transformers", "ultralytics")
_ENTRY = "import sys; from realtime.cli import main; sys.exit(main())"


def machine() -> Machine:
    """Return the facts that a figure depends on, without the name of the machine, and with an empty `auto`."""
    name, instructions = processor()
    return Machine(
        processor=name,
        instructions=instructions,
        cores=all_cores(),
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        program=realtime.__version__,
        libraries={library: version for library in _LIBRARIES if (version := _version(library))},
        auto={},
    )


def chosen(folder: Path) -> dict[str, str]:
    """Run the program for a frame of the built-in source, and return what `auto` chose.

    Args:
        folder: where its report is written.

    Returns:
        The device, the names of the models, and their engines with the precision, as in the run report.

    Raises:
        RealtimeError: it failed. The message is its error line.
    """
    report = folder / "report.json"
    words = ["--source=cam0=demo", "--max-frames=1", "--publish.bind=tcp://127.0.0.1:*", f"--report={report}",
             "--log-level=warning", "--log-format=text"]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", _ENTRY, *words], capture_output=True, text=True, check=False,
        env=environment_without_settings(),
    )  # fmt: skip
    if done.returncode:
        raise RealtimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    told = json.loads(report.read_text())
    return {"device": told["device"]} | {name: value for name, value in told["models"].items() if value}


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):  # not on this system
        return None


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
